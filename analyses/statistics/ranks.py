"""Several methods on the same images: Friedman's test, Nemenyi's comparisons, and their diagram."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scikit_posthocs as sp
from numpy.typing import ArrayLike
from scipy import stats

from analyses.reading.arrays import Floats

ALPHA = 0.05


class Ranks(NamedTuple):
    """How methods rank on the same images.

    Attributes:
        mean: each method's mean rank, 1 the best, (methods,).
        p: of Friedman's test that all rank alike.
        agreement: Kendall's W, 0 (images disagree) to 1 (every image has the same order).
        pairs: Nemenyi's p of each pair, (methods, methods), 1 on the diagonal.
        distance: the critical difference of two mean ranks.
        n: images with a value of every method.
    """

    mean: Floats
    p: float
    agreement: float
    pairs: Floats
    distance: float
    n: int


def rank(matrix: ArrayLike, *, higher_is_better: bool = True) -> Ranks:
    """Rank methods on every image, test whether they differ (Friedman), and which pairs do (Nemenyi).

    With mean ranks R_j of k methods on n images, chi2 = 12 n / (k (k + 1)) sum_j (R_j - (k + 1) / 2)^2 (corrected for
    ties), W = chi2 / (n (k - 1)), and two methods differ where their mean ranks are further apart than

        CD = q / sqrt(2) * sqrt(k (k + 1) / (6 n)),   q the studentized range's quantile for k means at 5 %.

    Args:
        matrix: (images, methods), three methods at least; images with NaN are left out.
        higher_is_better: whether rank 1 goes to the highest value.

    Returns:
        Ranks, tests and the number of images; NaN with fewer than two images, or where every image ties all methods.

    Raises:
        ValueError: fewer than three methods.

    Source: Friedman, JASA 32, 1937; Demšar, JMLR 7, 2006, section 3.2.2; SciPy and scikit-posthocs.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 3:
        raise ValueError(f"shape {values.shape}: wanted are (images, methods) with three methods at least")
    values = values[~np.isnan(values).any(axis=1)]
    images, methods = values.shape
    if images < 2:
        nothing = np.full(methods, np.nan)
        return Ranks(nothing, math.nan, math.nan, np.full((methods, methods), np.nan), math.nan, images)
    mean = stats.rankdata(-values if higher_is_better else values, axis=1).mean(axis=0)
    distance = critical_difference(methods, images)
    if np.ptp(values, axis=1).max() == 0:
        return Ranks(mean, math.nan, math.nan, np.ones((methods, methods)), distance, images)
    test = stats.friedmanchisquare(*values.T)
    pairs = sp.posthoc_nemenyi_friedman(values).to_numpy(dtype=np.float64)
    agreement = float(test.statistic) / (images * (methods - 1))
    return Ranks(mean, float(test.pvalue), agreement, pairs, distance, images)


def critical_difference(methods: int, images: int, alpha: float = ALPHA) -> float:
    """Return the difference of mean ranks beyond which Nemenyi calls two methods different.

    >>> round(critical_difference(5, 30), 3)  # q / sqrt(2) = 2.728 in Demšar 2006, table 5a
    1.114
    """
    range_ = float(stats.studentized_range.ppf(1 - alpha, methods, np.inf))
    return range_ / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * images))
