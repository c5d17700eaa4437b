"""Whether two targets have the same maps: correlation and largest difference, map by map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError


class Agreement(NamedTuple):
    """How far two maps of one image, layer and method agree.

    Attributes:
        correlation: Pearson's, over the cells, `(b, m)`.
        difference: the largest difference of any cell, each map over its maximum, `(b, m)`.
    """

    correlation: Float[Tensor, "b m"]
    difference: Float[Tensor, "b m"]


def agreement(first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"]) -> Agreement:
    """Compare the maps of two targets, pair by pair.

    With `M = L / max L`, the correlation is `cov(M1, M2) / sqrt(var M1 var M2)` over the cells, and the difference
    `max |M1 - M2|`: 0 where one map is a multiple of the other, as Grad-CAM's are for any two sets of pixels where
    nothing but a 1x1 convolution and linear upsampling follow the layer.

    Args:
        first: maps of one target on the layer's grid, not negative.
        second: maps of the other, of the same images, layer and methods.

    Returns:
        Correlations in -1..1, clipped to that against rounding only, and differences in 0..1. Both are NaN where a map
        is blank or undefined (NaN); the correlation also where one is constant up to rounding, or has a single cell.

    Raises:
        InputError: the maps differ in shape.

    Source: segcam.
    """
    if first.shape != second.shape:
        raise InputError(
            f"maps of {tuple(first.shape)} and {tuple(second.shape)} cannot be compared: give equal shapes"
        )
    one, two = _unit(first), _unit(second)
    difference = (one - two).abs().amax((2, 3))
    one, two = (cells - cells.mean((2, 3), keepdim=True) for cells in (one, two))
    variances = one.square().mean((2, 3)), two.square().mean((2, 3))
    correlation = (one * two).mean((2, 3)) / (variances[0].sqrt() * variances[1].sqrt())
    noise = 8 * torch.finfo(one.dtype).eps  # what rounding leaves of a constant map with maximum 1
    constant = torch.minimum(*variances) <= noise**2
    return Agreement(correlation.clamp(-1, 1).masked_fill(constant, torch.nan), difference)


def _unit(maps: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m h w"]:
    """Divide each map by its maximum; a blank one is NaN throughout."""
    return maps / maps.amax((2, 3), keepdim=True)
