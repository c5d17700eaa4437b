"""Rank correlation of two quantities over images, of several trainings, with its interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyses.reading.arrays import Floats, nan_mean
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, crossed_draws
from analyses.statistics.bounds import CORRELATION
from analyses.statistics.intervals import widened
from analyses.statistics.jackknife import GROUPS

FEWEST = 10
"""Images with both values, below which a rank correlation says nothing."""
SAME = 1e-5
"""Values of a seed that differ by this share of the largest, or less, do not vary: it is rounding alone."""
_CHUNK = 256


class Correlation(NamedTuple):
    """Spearman's correlation, averaged over seeds, with the ends of its interval, and the images it is of."""

    rho: float
    low: float
    high: float
    n: int


def correlations(
    ones: ArrayLike, others: ArrayLike, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> list[list[Correlation]]:
    """Return Spearman's correlation over images of each quantity with each other, with crossed-bootstrap intervals.

    Each seed's correlation is taken over the images that have both values, ties at their mean rank, and these are
    averaged over the seeds. A resample draws S seeds and, independently, I images with replacement and ranks the drawn
    images anew:

        rho_r = sum_s u_rs spearman(x_s, y_s; v_r) / sum_s u_rs

    The percentile interval is widened for few seeds as that of a mean, by the pseudo-values of each seed without
    groups of images, and cut at -1 and 1.

    Args:
        ones: (quantities, seeds, images); NaN is undefined.
        others: (other quantities, seeds, images).
        resamples: the number of resamples.
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        For each of the ones a list, an item for each of the others. A seed with fewer than `FEWEST` images that have
        both values, or of which either quantity does not vary, is left out; NaN where that is all of them.

    Source: Spearman, American Journal of Psychology 15, 1904; ranks anew in each resample as Efron and Tibshirani, An
        Introduction to the Bootstrap, 1993, chapter 10.
    """
    first, rest = _varying(np.asarray(ones, np.float64)), _varying(np.asarray(others, np.float64))
    seeds, images = first.shape[1:]
    drawn_seeds, drawn_images = crossed_draws(np.random.default_rng(SEED), seeds, images, resamples)
    groups = min(GROUPS, images)
    without = np.arange(images)[None] % groups != np.arange(groups)[:, None]
    weights = np.concatenate([np.ones((1, images)), without, drawn_images])
    rho = np.stack([_of_seed(first[:, s], rest[:, s], weights) for s in range(seeds)], axis=2)
    of_all, left_out, drawn = np.split(rho, [1, 1 + groups], axis=3)
    defined = ~np.isnan(drawn)
    total = (drawn_seeds.T * defined).sum(axis=2)
    resampled = np.full(total.shape, np.nan)
    np.divide((drawn_seeds.T * np.where(defined, drawn, 0.0)).sum(axis=2), total, out=resampled, where=total > 0)
    estimate = nan_mean(of_all[..., 0])
    table = groups * of_all - (groups - 1) * left_out
    low, high = widened(table, estimate, np.moveaxis(resampled, -1, 0), confidence, CORRELATION)
    known = ~np.isnan(of_all) & ~np.isnan(first)[:, None] & ~np.isnan(rest)[None]
    counts = known.any(axis=2).sum(axis=-1)
    return [
        [
            Correlation(float(estimate[i, k]), float(low[i, k]), float(high[i, k]), int(counts[i, k]))
            for k in range(len(rest))
        ]
        for i in range(len(first))
    ]


def _varying(values: Floats) -> Floats:
    """Return values, (quantities, seeds, images), without those of a seed that differ by rounding alone."""
    least, most = np.fmin.reduce(values, axis=-1), np.fmax.reduce(values, axis=-1)
    same = most - least <= SAME * np.fmax(np.abs(least), np.abs(most))
    return np.where(same[..., None], np.nan, values)


def _of_seed(ones: Floats, others: Floats, weights: NDArray[Any]) -> Floats:
    """Return the correlations of each weighting, (ones, others, weightings); NaN where they are undefined."""
    found = np.full((len(ones), len(others), len(weights)), np.nan)
    pairs: dict[bytes, list[tuple[int, int]]] = {}
    masks = ~np.isnan(ones)[:, None] & ~np.isnan(others)[None]
    for i, k in np.ndindex(masks.shape[:2]):  # those of the same images share ranks
        if masks[i, k].sum() >= FEWEST:
            pairs.setdefault(masks[i, k].tobytes(), []).append((i, k))
    for alike in pairs.values():
        defined = masks[alike[0]]
        for start in range(0, len(weights), _CHUNK):
            rows = slice(start, start + _CHUNK)
            weight = weights[rows][:, defined].astype(np.float64)
            y = {k: _scaled(others[k, defined], weight) for k in dict.fromkeys(k for _, k in alike)}
            for i in dict.fromkeys(i for i, _ in alike):
                x = _scaled(ones[i, defined], weight)
                for k in (k for j, k in alike if j == i):
                    found[i, k, rows] = np.einsum("ri,ri->r", x, y[k])
    return found


def _scaled(values: Floats, weights: Floats) -> Floats:
    """Return weighted mean ranks, centred, with the root of the weights, each row of length 1; NaN without variation.

    The product of two such rows is the correlation of values that are each as often there as they weigh.
    """
    order = np.argsort(values, kind="stable")
    ordered, sorted_weights = values[order], weights[:, order]
    upto = np.cumsum(sorted_weights, axis=1)
    middle = upto - sorted_weights / 2
    last = np.searchsorted(ordered, ordered, side="right") - 1
    if (tied := np.flatnonzero(np.diff(last, prepend=-1) == 0)).size:
        groups = np.flatnonzero(np.isin(last, last[tied]))
        first = np.searchsorted(ordered, ordered[groups], side="left")
        below = upto[:, first] - sorted_weights[:, first]
        middle[:, groups] = (below + upto[:, last[groups]]) / 2
    ranks = np.empty_like(upto)
    ranks[:, order] = middle - upto[:, -1:] / 2  # their weighted mean is 0
    ranks *= np.sqrt(weights)
    size = np.sqrt(np.einsum("ri,ri->r", ranks, ranks))[:, None]
    scaled: Floats = np.full_like(ranks, np.nan)
    np.divide(ranks, size, out=scaled, where=size > 0)
    return scaled
