"""How much of a map lies on the object: energy inside the mask, and its gain over the mask's area."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import METRICS, Metric
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


def energy_inside(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return the share of the map's energy that lies on the foreground: `sum_F L / sum_{F+B} L`.

    L is the map upsampled bilinearly to the image. The border belongs to neither side and counts nowhere.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        Shares in 0..1; a uniform map scores the foreground's area share. NaN for a blank or undefined map, where
        either mask is empty, and where all energy is on the border.

    Source: Wang et al. 2020 (Score-CAM), section 4.3, energy-based pointing game; with masks for boxes it is the
    relevance mass accuracy of Arras et al. 2022 (CLEVR-XAI).
    """
    inside, outside = masses(maps, reference)
    return inside / (inside + outside)


def energy_gain(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return the energy inside less what chance gives, over what is left to gain: `(energy_inside - a) / (1 - a)`.

    `a = |F| / (|F| + |B|)` is the foreground's area share.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        At most 1, which is all energy inside; 0 for a uniform map; `-a / (1 - a)` for none inside. NaN where
        `energy_inside` is.
    """
    share = reference.area[:, None]
    return (energy_inside(maps, reference) - share) / (1 - share)


METRICS.add(
    Metric(
        name="energy_inside",
        label="Energy inside",
        compute=energy_inside,
        summary="sum of the map over the foreground / over foreground and background",
        direction="higher",
        lower=0.0,
        upper=1.0,
        chance="area",
        source="Wang et al. 2020 (Score-CAM), energy-based pointing game; "
        "Arras et al. 2022 (CLEVR-XAI), relevance mass accuracy",
    )
)

METRICS.add(
    Metric(
        name="energy_gain",
        label="Energy gain",
        compute=energy_gain,
        summary="(energy inside - a) / (1 - a), with a the foreground's area share",
        direction="higher",
        lower=None,
        upper=1.0,
        chance=0.0,
        source="segcam; from Wang et al. 2020 (Score-CAM), energy-based pointing game, and "
        "Arras et al. 2022 (CLEVR-XAI), relevance mass accuracy",
    )
)
