"""Tests of paired values: Page's trend, and Holm's correction for several of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pingouin as pg
from numpy.typing import ArrayLike
from scipy import stats

from analyses.reading.arrays import Floats


class Outcome(NamedTuple):
    """A two-sided test: its p-value, an effect size between -1 and 1, and the images it is of."""

    p: float
    effect: float
    n: int


def page(matrix: ArrayLike) -> Outcome:
    """Test whether the columns rise in their order, by Page's L, two-sided; falling columns have a negative effect.

    L = sum_j j R_j with R_j the sum over the images of the ranks within each image. The effect is

        (L - L0) / (L1 - L0),   L0 = n k (k + 1)^2 / 4,   L1 = n k (k + 1) (2 k + 1) / 6

    of n images and k columns: 1 where every image rises throughout, 0 at chance, -1 where every one falls. Without
    ties it is the mean over the images of Spearman's correlation with the order. p is twice the smaller one-sided p.

    Args:
        matrix: (images, columns), three columns at least; images with NaN are left out.

    Returns:
        p, effect and the number of images that are whole; NaN with fewer than two of these.

    Raises:
        ValueError: fewer than three columns.

    Source: Page, JASA 58, 1963; SciPy's `page_trend_test`.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 3:
        raise ValueError(f"shape {values.shape}: wanted are (images, columns) with three columns at least")
    values = values[~np.isnan(values).any(axis=1)]
    images, columns = values.shape
    if images < 2:
        return Outcome(math.nan, math.nan, images)
    rising, falling = (stats.page_trend_test(order) for order in (values, values[:, ::-1]))
    chance = images * columns * (columns + 1) ** 2 / 4
    most = images * columns * (columns + 1) * (2 * columns + 1) / 6
    p = min(1.0, 2 * min(float(rising.pvalue), float(falling.pvalue)))
    return Outcome(p, (float(rising.statistic) - chance) / (most - chance), images)


def trend_weights(columns: int) -> Floats:
    """Return the weights that give the change of the fitted line from the first to the last of evenly spaced columns.

    w_j = (k - 1) (j - m) / sum_i (i - m)^2 with m = (k + 1) / 2. Two columns give last minus first.

    >>> trend_weights(3).tolist()
    [-1.0, 0.0, 1.0]
    """
    if columns < 2:
        raise ValueError(f"columns {columns}: a trend needs two at least")
    places = np.arange(columns) - (columns - 1) / 2
    weights: Floats = (columns - 1) * places / (places**2).sum()
    return weights


def holm(values: Sequence[float], families: Sequence[str]) -> Floats:
    """Return p-values adjusted by Holm's step-down within each family; NaN stays NaN and counts for nothing.

    In a family of m sorted p: max over i <= j of (m - i + 1) p_i, at most 1.

    Args:
        values: the raw p-values.
        families: the family of each.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979; pingouin's `multicomp`.
    """
    raw, names = np.asarray(values, dtype=np.float64), np.asarray(families, dtype=object)
    adjusted = np.full(raw.shape, np.nan)
    for name in dict.fromkeys(families):
        members = (names == name) & ~np.isnan(raw)
        if members.any():
            adjusted[members] = pg.multicomp(raw[members], method="holm")[1]
    return adjusted
