"""Shares on regions and distances from outlines again, slowly: numpy in float64, one map at a time, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.bool_]


def shares(large: Array, regions: Sequence[Pixels]) -> list[float]:
    """Each region's part of what an upsampled map has on all of them."""
    total = sum(float(large[y, x]) for y, x in np.ndindex(*large.shape) if any(region[y, x] for region in regions))
    return [float(large[region].sum()) / total if region.any() and total else math.nan for region in regions]


def distances(inside: Pixels) -> Array:
    """From each pixel to the nearest one of the other side, by trying all of them; half of that step is the outline."""
    found = np.full(inside.shape, math.nan)
    for y, x in np.ndindex(*inside.shape):
        steps = [math.hypot(y - v, x - u) for v, u in np.argwhere(inside != inside[y, x])]
        if steps:
            found[y, x] = (min(steps) - 0.5) * (-1 if inside[y, x] else 1)
    return found


def half(large: Array, away: Array, outside: Pixels) -> float:
    """The first distance at which as much lies before as beyond."""
    pixels = sorted((float(away[y, x]), float(large[y, x])) for y, x in np.argwhere(outside))
    total = math.fsum(value for _, value in pixels)
    if not total > 0:
        return math.nan
    for end in sorted({place for place, _ in pixels}):
        if math.fsum(value for place, value in pixels if place <= end) >= total / 2 * (1 - 1e-9):
            return end
    raise AssertionError


def change(answer: Callable[[Array], Array], image: Array, gone: Pixels, chosen: Pixels, colour: Array) -> float:
    """The mean score over pixels once a region has one colour, less what it was, over its size."""
    other = np.where(gone, colour[:, None, None], image)
    before, after = (float(answer(one)[chosen].mean()) for one in (image, other))
    return (after - before) / abs(before)
