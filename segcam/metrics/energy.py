"""How much of a map lies on the object: energy inside the mask, its gain over chance, and the background's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference


def masses(maps: Float[Tensor, "b m h w"], reference: Reference) -> tuple[Float[Tensor, "b m"], Float[Tensor, "b m"]]:
    """Return the sums of the upsampled maps over foreground and background, up to each map's scale.

    Both are exact on the grid: the masks are pulled back instead of the maps upsampled. NaN for a blank or undefined
    map and where either mask is empty.
    """

    def make() -> tuple[Tensor, Tensor]:
        sums = unit(maps, reference).flatten(2) @ _sides(reference).transpose(1, 2)
        inside, outside = sums.masked_fill(reference.one_sided[:, None, None], torch.nan).unbind(-1)
        return inside, outside

    return reference.shared("masses", maps, make)


def _sides(reference: Reference) -> Float[Tensor, "b 2 n"]:
    sides = (reference.foreground.flatten(1), reference.background.flatten(1))
    return reference.once("sides", lambda: torch.stack(sides, 1))


@metric(label="Energy inside", direction="higher", lower=0.0, upper=1.0, chance="area")
def energy_inside(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Sum of the map over the foreground / over foreground and background.

    `sum_F L / sum_{F+B} L`, where L is the map upsampled bilinearly to the image. The border belongs to neither side
    and counts nowhere.

    Returns:
        Shares in 0..1; a uniform map scores the foreground's area share. NaN for a blank or undefined map, where
        either mask is empty, and where all energy is on the border.

    Source: Wang et al. 2020 (Score-CAM), section 4.3, energy-based pointing game; with masks for boxes Arras et al.
    2022 (CLEVR-XAI), relevance mass accuracy.
    """
    inside, outside = masses(maps, reference)
    return inside / (inside + outside)


@metric(label="Energy gain", direction="higher", lower=None, upper=1.0, chance=0.0)
def energy_gain(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """(energy inside - a) / (1 - a), with a the foreground's area share.

    It is what is gained over chance, over what is left to gain; `a = |F| / (|F| + |B|)`.

    Returns:
        At most 1, which is all energy inside; 0 for a uniform map; `-a / (1 - a)` for none inside. NaN where
        `energy_inside` is.

    Source: segcam; from Wang et al. 2020 (Score-CAM), energy-based pointing game, and Arras et al. 2022 (CLEVR-XAI),
    relevance mass accuracy.
    """
    share = reference.area[:, None]
    return (energy_inside(maps, reference) - share) / (1 - share)


@metric(label="Background ratio", direction="lower", lower=0.0, upper=1.0, chance=0.5)
def background_ratio(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """The map's mean on the background / (that + its mean on the foreground).

    `mean_B L / (mean_B L + mean_F L)`, where L is the map upsampled bilinearly to the image. Means, not sums, so a
    large background does not count for more.

    Returns:
        Ratios in 0..1; above 0.5 a background pixel has more of the map than a foreground pixel. NaN for a blank or
        undefined map, where either mask is empty, and where all energy is on the border.
    """
    inside, outside = masses(maps, reference)
    on_object = inside / reference.foreground_pixels[:, None]
    beside = outside / reference.background_pixels[:, None]
    return beside / (beside + on_object)
