"""How well a map, cut in two, overlaps the object."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.ranking import Ranking, ranking
from segcam.scoring.reference import Reference

BINS = 256
CONSTANT = 8
"""Steps of `Ranking` between lowest and highest value up to which a map is constant but for rounding."""


@metric(label="IoU", direction="higher", lower=0.0, upper=1.0, chance=None, every_pixel=True)
def iou(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Intersection over union of the foreground with the upsampled map above its Otsu threshold.

    The map is upsampled bilinearly to the image; the threshold is that of all its pixels, the border takes no part in
    the overlap.

    Returns:
        0..1. NaN for a blank, undefined or constant map, which has no threshold, and where either mask is empty.

    Source: Otsu, IEEE Trans. SMC 1979; as scikit-image's `threshold_otsu` with 256 bins.
    """
    order = ranking(maps, reference)
    falls = otsu(order)
    inside, beside = order.within(falls)
    overlap = inside.to(reference.dtype) / (reference.foreground_pixels[:, None] + beside)
    undefined = order.undefined | reference.one_sided[:, None] | falls.isnan()
    return overlap.masked_fill(undefined, torch.nan)


def otsu(order: Ranking) -> Float[Tensor, "b m"]:
    """Return the threshold that parts each map's pixels best: the largest variance between the two classes.

    Of 256 bins from the smallest value to the largest, the centre of the last one of the lower class; pixels above it
    are of the upper class. Of equal variances the first from below.

    Returns:
        How far it lies below the map's maximum, in steps of `Ranking`, float64; NaN for maps constant up to rounding.
    """
    range_ = order.falls[..., -1:].double()
    edges = range_ * torch.arange(1, BINS, dtype=torch.float64, device=range_.device) / BINS
    inner = torch.searchsorted(order.falls, edges.floor().to(order.falls.dtype), right=True)
    ends = [torch.zeros_like(inner[..., :1]), inner, torch.full_like(inner[..., :1], order.falls.shape[2])]
    variance = _between(torch.cat(ends, 2).diff(dim=2).double())
    cut = BINS - 2 - variance.flip(2).argmax(2, keepdim=True)  # bins counted from above: the upper class ends here
    fall = (cut + 1.5) * range_ / BINS
    return fall.masked_fill(range_ <= CONSTANT, torch.nan)[..., 0]


def _between(counts: Float[Tensor, "b m n"]) -> Float[Tensor, "b m k"]:
    """Return the variance between the classes for a cut behind each bin but the last."""
    places = torch.arange(counts.shape[2], dtype=counts.dtype, device=counts.device)
    number, total = counts.cumsum(2)[..., :-1], (counts * places).cumsum(2)
    rest = counts.sum(2, keepdim=True) - number
    below, above = total[..., :-1] / number, (total[..., -1:] - total[..., :-1]) / rest
    return number * rest * (below - above).square()
