"""One number of several parts: their mean over crossed seeds and images, and the parts beside it, all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analyses.reading.arrays import Floats
from analyses.statistics.bootstrap import Interval, bootstrap_means, deviation, percentiles
from analyses.statistics.bounds import ANY, Bounds
from analyses.statistics.decisions import near
from analyses.statistics.intervals import widening
from analyses.statistics.variance import linearised, sureness, variance_with


class Estimate(NamedTuple):
    """An estimate, its crossed resamples, and a table whose mean varies as it does.

    Attributes:
        value: the estimate.
        resampled: (resamples,).
        table: (seeds, images): its mean is the estimate and varies as that does; NaN in rows and columns that are no
            part of it.
        bounds: what it can be.
    """

    value: float
    resampled: Floats
    table: Floats
    bounds: Bounds = ANY


class Combined(NamedTuple):
    """The mean of parts, and the parts.

    Attributes:
        estimate, low, high: the mean of the parts with its interval.
        parts: their estimates with simultaneous bounds: all of them hold at once at the confidence asked for.
        table: what tells how sure the mean is: (seeds, images), or (parts, seeds, images) where parts are random.
        error: the standard error of the bounds that comes of drawing no more resamples.
    """

    estimate: float
    low: float
    high: float
    parts: Interval
    table: Floats
    error: float

    def is_above(self, border: float = 0.0) -> bool:
        """Return whether the interval lies above a border, whatever resamples were drawn."""
        return self.low > border and not near(self.low, border, self.error)


def means(parts: Sequence[ArrayLike], state: int, resamples: int) -> list[Estimate]:
    """Return the means of parts' numbers, (seeds, images) each of one shape; their resamples are paired."""
    stacked = np.stack([np.asarray(part, dtype=np.float64) for part in parts])
    estimates, resampled = bootstrap_means(stacked, np.random.default_rng(state), resamples)
    tables = linearised(stacked)
    return [Estimate(float(m), resampled[:, i], tables[i]) for i, m in enumerate(estimates)]


def combine(parts: Sequence[Estimate], confidence: float = 0.95, *, random: bool = False, state: int = 0) -> Combined:
    """Return the mean of parts with an interval, and simultaneous intervals of the parts.

    The interval is the crossed bootstrap's percentile interval, stretched about the estimate to the width of the t
    interval of `sureness` where that is wider, as `bootstrap_interval` does. Simultaneous intervals are

        m_p +- c s_p,   c the quantile of max_p |m*_p - m_p| / s_p over the resamples

    with the resamples' standard deviations `s_p`, or those of t at the confidence that `c` is of one part, where these
    are wider.

    Args:
        parts: estimates in one unit, whose resamples drew the same seeds and images.
        confidence: nominal coverage, between 0 and 1.
        random: whether the parts are a sample of others like them, a third crossed factor; with one part they cannot
            be.
        state: of the generator that draws the parts.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2.4 (max-t); Owen, The
        pigeonhole bootstrap, Annals of Applied Statistics 1(2), 2007 (crossed factors).
    """
    values = np.array([part.value for part in parts])
    resampled = np.stack([part.resampled for part in parts], axis=1)
    tables = np.stack([part.table for part in parts])
    seeds, images = (~np.isnan(tables).all(axis=(0, axis)) for axis in (2, 1))
    tables = tables[:, seeds][:, :, images]
    tables = np.where(np.isnan(tables), values[:, None, None], tables)
    random = random and len(parts) > 1
    weights = np.full((len(resampled), len(parts)), 1.0)
    if random:
        weights = np.random.default_rng(state).multinomial(
            len(parts), np.full(len(parts), 1 / len(parts)), len(resampled)
        )
    drawn = (weights * resampled).sum(axis=1) / len(parts)
    table = tables if random else tables.mean(axis=0)
    estimate = float(values.mean())
    factor = float(widening(sureness(table).half_width(confidence), drawn, confidence))
    low, high = (estimate + factor * (float(end) - estimate) for end in percentiles(drawn, confidence))
    lower, upper = np.array([part.bounds for part in parts], dtype=np.float64).T
    low, high = (float(end) for end in Bounds(lower.mean(), upper.mean()).cut(estimate, low, high))
    at_once = _at_once(values, resampled, tables, confidence)
    at_once = Interval(values, *Bounds(lower, upper).cut(*at_once))
    return Combined(estimate, low, high, at_once, table, factor * noise(drawn, confidence))


def noise(resampled: Floats, confidence: float = 0.95) -> float:
    """Return the standard error of the outer quantiles that comes of the number of resamples.

    The rank of a quantile among R resamples has the standard deviation `sqrt(R q (1 - q))`; what lies between the
    values at one such distance below and above is twice the error. The larger of both ends' is returned.
    """
    values = np.sort(resampled[~np.isnan(resampled)])
    if len(values) < 2:
        return math.nan
    tail = (1 - confidence) / 2
    spread = math.sqrt(len(values) * tail * (1 - tail))
    errors = []
    for q in (tail, 1 - tail):
        ranks = np.clip(np.round((len(values) - 1) * q + np.array([-spread, spread])), 0, len(values) - 1).astype(int)
        errors.append(float(values[ranks[1]] - values[ranks[0]]) / 2)
    return max(errors)


def _at_once(values: Floats, resampled: Floats, tables: Floats, confidence: float) -> Interval:
    spread = deviation(resampled)
    away = np.abs(resampled - values) / np.where(spread > 0, spread, np.inf)
    largest = np.max(np.where(np.isnan(away), 0.0, away), axis=1)
    reach = float(np.quantile(largest, confidence))
    of_each = float(2 * stats.norm.cdf(reach) - 1)  # the confidence that a part alone would have with it
    widths = np.array([float(sureness(table).half_width(of_each)) for table in tables])
    half = np.where(np.isnan(widths), math.nan, np.maximum(reach * spread, widths))
    return Interval(values, values - half, values + half)


def needed(combined: Combined, smallest: float = 1.0, power: float = 0.8, most: int = 100) -> int | None:
    """Return how many seeds would decide with a power, were the estimate the truth; None where `most` would not.

    Beyond the smallest effect the interval must leave it behind, within it keep inside: the distance of the estimate
    from the smallest effect is to be `t(0.975) + t(power)` standard errors.

    Args:
        combined: with a table of several seeds.
        smallest: the smallest effect of interest.
        power: the probability wanted.
        most: seeds that are thought of.
    """
    distance = abs(abs(combined.estimate) - smallest)
    for seeds in range(2, most + 1):
        variance = variance_with(combined.table, combined.table.ndim - 2, seeds)
        quantiles = stats.t.ppf([0.975, power], seeds - 1).sum()
        if distance >= quantiles * math.sqrt(variance):
            return seeds
    return None
