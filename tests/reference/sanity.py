"""The slow twins of the similarities of two maps: numpy, float64, cell by cell and window by window."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def spearman(first: Array, second: Array, where: npt.NDArray[np.bool_] | None = None) -> float:
    """Pearson's correlation of the ranks of the cells in `where`; NaN where a map, or those cells of it, tell none."""
    if not (_tells(first) and _tells(second)):
        return math.nan
    inside = np.ones(first.shape, bool) if where is None else where
    ranks = [_ranks(maps[inside].tolist()) for maps in (first, second)]
    one, two = ([r - sum(own) / len(own) for r in own] for own in ranks)
    spread = sum(a * a for a in one) * sum(b * b for b in two)
    return sum(a * b for a, b in zip(one, two, strict=True)) / math.sqrt(spread) if spread else math.nan


def ssim(first: Array, second: Array, window: int = 7) -> float:
    """Wang et al. 2004, equation 13, over windows of equal weights within the maps, each map with maximum 1."""
    rows, columns = first.shape
    side = max(odd for odd in range(1, window + 1, 2) if odd <= min(rows, columns))
    if side < 3 or not (_tells(first) and _tells(second)):
        return math.nan
    one, two = first / first.max(), second / second.max()
    values = []
    for i in range(rows - side + 1):
        for j in range(columns - side + 1):
            a, b = one[i : i + side, j : j + side], two[i : i + side, j : j + side]
            u, v, n = a.mean(), b.mean(), side * side
            s, t = ((a - u) ** 2).sum() / (n - 1), ((b - v) ** 2).sum() / (n - 1)
            shared = ((a - u) * (b - v)).sum() / (n - 1)
            values.append(
                (2 * u * v + 1e-4) * (2 * shared + 9e-4) / ((u * u + v * v + 1e-4) * (s + t + 9e-4)),
            )
    return float(np.mean(values))


def _ranks(cells: list[float]) -> list[float]:
    """How many cells lie below each, and half of its equals."""
    return [sum(y < x for y in cells) + (sum(y == x for y in cells) + 1) / 2 for x in cells]


def _tells(values: Array) -> bool:
    return bool(np.isfinite(values).all()) and values.max() > 0 and values.max() - values.min() > 1e-14
