"""The slow twin of agreement between two maps: numpy, float64, cell by cell."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def agreement(first: Array, second: Array) -> tuple[float, float]:
    """Pearson's correlation and the largest difference of two maps with maximum 1; NaN where they have none."""
    if any(math.isnan(one.sum()) or one.max() == 0 for one in (first, second)):
        return math.nan, math.nan
    rows, columns = first.shape
    pairs = [(first[i, j] / first.max(), second[i, j] / second.max()) for i in range(rows) for j in range(columns)]
    difference = max(abs(a - b) for a, b in pairs)
    mean_a, mean_b = sum(a for a, _ in pairs) / len(pairs), sum(b for _, b in pairs) / len(pairs)
    covariance = sum((a - mean_a) * (b - mean_b) for a, b in pairs)
    spread_a, spread_b = sum((a - mean_a) ** 2 for a, _ in pairs), sum((b - mean_b) ** 2 for _, b in pairs)
    if min(spread_a, spread_b) < 1e-20:
        return math.nan, difference
    return covariance / math.sqrt(spread_a * spread_b), difference
