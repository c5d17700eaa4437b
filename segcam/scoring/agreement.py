"""How far two maps agree: correlation, largest difference, rank correlation, structural similarity; map by map."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import booleans, real, whole
from segcam.errors import InputError
from segcam.scoring.normalise import ascending, refuse_negative

WINDOW = 7
"""Side of the window of `ssim`, in cells."""
C1, C2 = 0.01**2, 0.03**2
"""What keeps SSIM finite, for values from 0 to 1 (Wang et al. 2004)."""


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
        InputError: the maps are no numbers, differ in shape, or are negative.

    Source: segcam.
    """
    first, second = _pair(first, second)
    one, two = _unit(first), _unit(second)
    difference = (one - two).abs().amax((2, 3))
    one, two = (cells - cells.mean((2, 3), keepdim=True) for cells in (one, two))
    variances = one.square().mean((2, 3)), two.square().mean((2, 3))
    correlation = (one * two).mean((2, 3)) / (variances[0].sqrt() * variances[1].sqrt())
    noise = 8 * torch.finfo(one.dtype).eps  # what rounding leaves of a constant map with maximum 1
    constant = torch.minimum(*variances) <= noise**2
    return Agreement(correlation.clamp(-1, 1).masked_fill(constant, torch.nan), difference)


def spearman(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"], where: Bool[Tensor, "b h w"] | None = None
) -> Float[Tensor, "b m"]:
    """Return Spearman's rank correlation of the cells of two maps, pair by pair; equal values share their mean rank.

    With the ranks `r` of a map's cells it is `cov(r1, r2) / sqrt(var r1 var r2)`.

    Args:
        first: maps, not negative.
        second: other maps of the same shape.
        where: the cells that are compared; all by default.

    Returns:
        -1..1; 1 for maps of the same order. NaN where a map is blank, undefined (NaN or infinity) or constant up to
        rounding, and where fewer than two cells are compared or one map's are all equal.

    Raises:
        InputError: the maps are no numbers, differ in shape, or are negative.

    Source: Adebayo et al., NeurIPS 2018, section 3 (there of absolute values; maps are not negative here).
    """
    first, second = _pair(first, second)
    b, _, h, w = first.shape
    if where is not None:
        where = booleans(where, "where").to(first.device)
        if where.shape != (b, h, w):
            raise InputError(f"where is {tuple(where.shape)}: the cells compared, {(b, h, w)}, are needed")
    inside = torch.ones(b, 1, h * w, device=first.device) if where is None else where.flatten(1)[:, None]
    weights = inside.double()
    number = weights.sum(2, keepdim=True)
    centred = []
    for maps in (first, second):
        cells = maps if where is None else maps.masked_fill(~where[:, None], torch.inf)  # last in order
        rank = ranks(cells).flatten(2)
        centred.append((rank - (rank * weights).sum(2, keepdim=True) / number) * weights)
    variances = [deviation.square().sum(2) for deviation in centred]
    correlation = (centred[0] * centred[1]).sum(2) / (variances[0] * variances[1]).sqrt()  # equal ranks: 0 / 0
    return correlation.clamp(-1, 1).masked_fill(_flat(first) | _flat(second), torch.nan)


def ranks(maps: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m h w"]:
    """Return the rank of each cell in its map from 1, equal values with the mean of their ranks, in float64.

    Ranks of a map that holds NaN mean nothing.
    """
    maps = real(maps, "maps")
    cells = maps.flatten(2).contiguous()
    ordered = ascending(cells)
    below = torch.searchsorted(ordered, cells)
    upto = torch.searchsorted(ordered, cells, right=True)
    return ((below + upto + 1).double() / 2).view(tuple(maps.shape))


def ssim(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"], window: int = WINDOW
) -> Float[Tensor, "b m"]:
    """Return the structural similarity of two maps, each divided by its maximum, pair by pair.

    In each window of equal weights that lies within the map,

        (2 u1 u2 + C1) (2 s12 + C2) / ((u1^2 + u2^2 + C1) (s1^2 + s2^2 + C2))

    of the means `u`, variances `s^2` and covariance `s12` (over `n - 1`), with C1 = 0.01^2 and C2 = 0.03^2; then the
    mean over the windows. It is `skimage.metrics.structural_similarity` with `data_range=1`.

    Args:
        first: maps, not negative.
        second: other maps of the same shape.
        window: side of the window, in cells. On a grid with a shorter side the largest odd number is taken that fits.

    Returns:
        -1..1; 1 for equal maps. NaN where a map is blank, undefined or constant up to rounding, and on grids with a
        side of less than three cells.

    Raises:
        InputError: the maps are no numbers, differ in shape or are negative, or the window is no odd number from 3.

    Source: Wang et al., IEEE Transactions on Image Processing 2004, equation 13.
    """
    first, second = _pair(first, second)
    window = whole(window, "the window of SSIM")
    if window < 3 or window % 2 == 0:
        raise InputError(f"the window of SSIM is {window}: an odd number of cells from 3 is needed")
    side = min(window, *first.shape[2:])
    side -= side % 2 == 0
    if side < 3:
        return torch.full(first.shape[:2], torch.nan, dtype=torch.float64, device=first.device)
    one, two = (maps.double() / maps.double().amax((2, 3), keepdim=True) for maps in (first, second))
    mean_1, mean_2, square_1, square_2, product = (
        _windows(values, side) for values in (one, two, one.square(), two.square(), one * two)
    )
    wider = side**2 / (side**2 - 1)  # from the mean over n to that over n - 1
    spread = wider * (square_1 - mean_1.square() + square_2 - mean_2.square())
    shared = wider * (product - mean_1 * mean_2)
    above = (2 * mean_1 * mean_2 + C1) * (2 * shared + C2)
    similarity: Tensor = (above / ((mean_1.square() + mean_2.square() + C1) * (spread + C2))).mean((2, 3))
    return similarity.masked_fill(_flat(first) | _flat(second), torch.nan)


def _windows(values: Float[Tensor, "b m h w"], side: int) -> Float[Tensor, "b m h2 w2"]:
    """Return the mean of each window within the map; of rows first, which takes fewer steps than of cells."""
    means: Tensor = F.avg_pool2d(F.avg_pool2d(values, (side, 1), stride=1), (1, side), stride=1)
    return means


def _flat(maps: Float[Tensor, "b m h w"]) -> Bool[Tensor, "b m"]:
    """Return which maps are blank, undefined or constant up to rounding."""
    top, bottom = maps.amax((2, 3)), maps.amin((2, 3))
    return ~(top > 0) | ~top.isfinite() | (top - bottom <= 8 * torch.finfo(maps.dtype).eps * top)


def _unit(maps: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m h w"]:
    """Divide each map by its maximum; a blank one is NaN throughout."""
    return maps / maps.amax((2, 3), keepdim=True)


def _pair(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b m h w"]
) -> tuple[Float[Tensor, "b m h w"], Float[Tensor, "b m h w"]]:
    """Return two stacks of maps as they are compared: float32, or both float64, on the device of the first.

    Raises:
        InputError: they differ in shape, have no cell, or are negative.
    """
    one, two = (real(maps, "maps") for maps in (first, second))
    if one.shape != two.shape or one.ndim != 4 or 0 in one.shape[2:]:
        raise InputError(
            f"maps of {tuple(one.shape)} and {tuple(two.shape)} cannot be compared: give equal shapes, "
            "(images, maps, h, w)"
        )
    for maps in (one, two):
        refuse_negative(maps.flatten(2).amin(2), "compared")
    wide = torch.promote_types(one.dtype, two.dtype)
    return one.to(wide), two.to(one.device, wide)
