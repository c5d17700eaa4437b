"""Whether a map's maximum lies on the object."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference

TOP = 1 - 1e-5
"""Share of the maximum from which a cell is one of the maxima: rounding shall not choose between equals."""


@metric(label="Pointing game", direction="higher", lower=0.0, upper=1.0, chance="area")
def pointing_game(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """The foreground's share of the area of the map's highest cell, or cells where they are tied.

    The maximum is that of the layer's own grid, and a cell stands for all its pixels, which are thus tied: the value is
    the foreground's share of their area. (The maximum of the upsampled map would not do: bilinear upsampling lowers
    peaks everywhere but at the image's frame, and noise would point there.) The border counts on neither side, and
    cells that are all border take no part.

    Returns:
        0 or 1 for a maximum on one side, between where it is on both; the foreground's area share for a uniform map.
        NaN for a blank or undefined map, where either mask is empty, and where all of the map is on the border.

    Source: Zhang et al., ECCV 2016 (Excitation Backprop), section 4.2, with the mask for the box and no tolerance.
    """
    inside, beside = reference.foreground_share[:, None], reference.background_share[:, None]
    cells = unit(maps, reference)
    cells = cells * (inside + beside > 0)  # NaN stays
    top = cells.amax((2, 3), keepdim=True)
    tied = (cells >= TOP * top).to(cells.dtype)
    hits, misses = ((tied * share).sum((2, 3)) for share in (inside, beside))
    undefined = ~(top[..., 0, 0] > 0) | reference.one_sided[:, None]
    return (hits / (hits + misses)).clamp(0, 1).masked_fill(undefined, torch.nan)
