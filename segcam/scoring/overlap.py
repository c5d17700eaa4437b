"""How well maps, cut at a threshold, overlap the object: one curve over all thresholds, and which is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.arrays import Numbers
from segcam.errors import InputError, shown
from segcam.precision import in_full_precision
from segcam.scoring.normalise import BLOCK, checked
from segcam.scoring.ranking import STEPS, ranking
from segcam.scoring.reference import Reference, pieces

THRESHOLDS = (0.01, 0.02, *(round(0.05 * n, 2) for n in range(1, 20)))
"""Shares of a map's maximum: 0.05, 0.10, ..., 0.95, and two below, where the best of peaked maps lie."""


class Overlap(NamedTuple):
    """How well maps overlap the object at each threshold.

    Attributes:
        iou: intersection over union, `(b, m, t)`.
        dice: twice the intersection over the sum of both areas, `(b, m, t)`; it is `2 iou / (1 + iou)`.
    """

    iou: Float[Tensor, "b m t"]
    dice: Float[Tensor, "b m t"]


@in_full_precision
def overlap_curve(maps: Numbers, reference: Reference, thresholds: Sequence[float] = THRESHOLDS) -> Overlap:
    """Cut maps at shares of their maximum, and compare what is above with the foreground.

    A map is upsampled bilinearly to the image; a pixel is above a threshold `t` where it is at least `t` times the
    highest pixel, up to 1/2^18 of it. The border takes no part. Of padded canvases the picture alone counts.

    >>> from segcam.scoring import Scenery
    >>> left = torch.zeros(1, 4, 4, dtype=torch.bool)
    >>> left[:, :, :2] = True
    >>> reference = Scenery(torch.rand(1, 4, 4), left, ~left, ("one",)).on((4, 4))
    >>> map_ = torch.tensor([0.9, 0.6, 0.3, 0.0]).expand(1, 1, 4, 4)
    >>> overlap_curve(map_, reference, [0.25, 0.5, 0.75]).iou.flatten().tolist()
    [0.6666666865348816, 1.0, 0.5]

    Args:
        maps: non-negative maps on the reference's grid, `(b, m, h, w)`.
        reference: what they are measured against.
        thresholds: `t` shares of a map's maximum, above 0 and at most 1, in any order.

    Returns:
        0..1; NaN for a blank or undefined map, and where foreground or background is empty.

    Raises:
        InputError: a threshold is no such share, there is none, or the maps are not as they must be; see
            `segcam.scoring.normalise.checked`.

    Source: Jaccard 1901; Dice, Ecology 26, 1945; thresholds of the maximum as Zhou et al. 2016 (CAM) box objects.
    """
    shares = [float(share) for share in thresholds]
    if not shares or not all(0 < share <= 1 for share in shares):
        raise InputError(f"thresholds are {shown(list(thresholds))}: shares of a map's maximum in (0, 1] are needed")
    maps = checked(maps, reference)
    found = maps.new_empty((2, *maps.shape[:2], len(shares)), dtype=reference.dtype)
    for images, cut, part, _ in pieces(maps, reference):
        found[:, images] = torch.stack(_cut(cut, part, shares))
    return Overlap(*found)


def best_threshold(values: Numbers, thresholds: Sequence[float] = THRESHOLDS) -> float:
    """Return the threshold with the highest mean overlap; of equals the lowest. NaN where nothing is defined.

    Choose it on other images than it is then judged on: the best of the test images themselves is no result.

    >>> best_threshold(torch.tensor([[[0.2, 0.5, 0.4]], [[0.3, 0.6, 0.9]]]), [0.25, 0.5, 0.75])
    0.75

    Args:
        values: `Overlap.iou` or `Overlap.dice`, `(..., t)`; NaN is left out.
        thresholds: those that they are of.

    Raises:
        InputError: there are values of another number of thresholds.
    """
    table = torch.as_tensor(values).double()
    if table.ndim == 0 or table.shape[-1] != len(thresholds):
        raise InputError(
            f"values are {tuple(table.shape)} for {len(thresholds)} thresholds: a value a threshold is needed"
        )
    means = table.reshape(-1, len(thresholds)).nanmean(0).tolist()
    best = max((mean for mean in means if not math.isnan(mean)), default=math.nan)
    return float(min((share for share, mean in zip(thresholds, means, strict=True) if mean == best), default=math.nan))


def _cut(maps: Float[Tensor, "b m h w"], reference: Reference, shares: Sequence[float]) -> Overlap:
    """Cut maps where everything is valid: a few at once, since every pixel is ranked."""
    numbers = maps.shape[0] * maps.shape[1] * reference.size[0] * reference.size[1]
    blocks = maps.chunk(1 + numbers // BLOCK, 1) if maps.is_cpu and reference.maps is not maps else (maps,)
    falls = torch.tensor([round((1 - share) * STEPS) for share in shares], device=maps.device)
    parts = [_of_block(block, reference, falls) for block in blocks]
    iou = torch.cat(parts, 1)
    return Overlap(iou, 2 * iou / (1 + iou))


def _of_block(maps: Float[Tensor, "b m h w"], reference: Reference, falls: Tensor) -> Float[Tensor, "b m t"]:
    order = ranking(maps, reference)
    counts = [order.within(fall.expand(maps.shape[:2]).double()) for fall in falls]
    inside, beside = (torch.stack(one, 2) for one in zip(*counts, strict=True))
    iou = inside.to(reference.dtype) / (reference.foreground_pixels[:, None, None] + beside)
    undefined = order.undefined | reference.one_sided[:, None]
    return iou.masked_fill(undefined[..., None], torch.nan)
