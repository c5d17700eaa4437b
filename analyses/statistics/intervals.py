"""Few seeds and many images: an interval that says so."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analyses.reading.arrays import Floats
from analyses.statistics.bootstrap import PORTION, Interval, bootstrap_means, deviation, percentiles, portions
from analyses.statistics.bounds import ANY, Bounds
from analyses.statistics.variance import linearised

NOTE = "(crossed bootstrap, widened where few seeds differ; with one seed it speaks of the images alone)"
"""What captions say of the intervals."""


class Squares(NamedTuple):
    """Mean squares of two-way tables of seeds x images without repeats, and their sizes: an array each."""

    seed: Floats
    image: Floats
    rest: Floats
    seeds: NDArray[np.int64]
    images: NDArray[np.int64]


def mean_squares(matrix: ArrayLike) -> Squares:
    """Return the mean squares of seeds x images matrices, over the images defined for every seed.

    With row means r_s, column means c_i and the mean m: I sum_s (r_s - m)^2 / (S - 1) for the seeds,
    S sum_i (c_i - m)^2 / (I - 1) for the images, sum_si (x_si - r_s - c_i + m)^2 / ((S - 1) (I - 1)) for the rest.

    Args:
        matrix: (..., seeds, images); NaN is undefined. A seed without any value is left out.

    Returns:
        The mean squares, (...); NaN with fewer than two images. With one seed `seed` and `rest` are zero.

    Raises:
        ValueError: fewer than two axes.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, chapter 4 (two-way crossed, no repeats).
    """
    values = _table(matrix).astype(np.float64, copy=False)
    defined: NDArray[np.bool_] = ~np.isnan(values)
    has_value: NDArray[np.bool_] = np.asarray(defined.any(axis=-1))
    lacking = np.asarray((~defined & has_value[..., None]).any(axis=-2))
    complete: NDArray[np.bool_] = ~lacking & np.asarray(has_value.any(axis=-1, keepdims=True))
    seeds, images = has_value.sum(axis=-1), complete.sum(axis=-1)
    counted = has_value[..., None] & complete[..., None, :]
    filled = np.where(counted, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # without seeds or images: undefined, as below
        rows = filled.sum(axis=-1) / images[..., None]
        columns = filled.sum(axis=-2) / seeds[..., None]
        mean = filled.sum(axis=(-1, -2)) / (seeds * images)
        of_seeds = np.where(has_value, (rows - mean[..., None]) ** 2, 0.0).sum(axis=-1)
        of_images = np.where(complete, (columns - mean[..., None]) ** 2, 0.0).sum(axis=-1)
        left = filled - rows[..., None] - columns[..., None, :] + mean[..., None, None]
        of_rest = np.where(counted, left**2, 0.0).sum(axis=(-1, -2))
        several, few = seeds > 1, images < 2
        seed = np.where(several, images * of_seeds / np.maximum(seeds - 1, 1), 0.0)
        image = seeds * of_images / (images - 1)
        rest = np.where(several, of_rest / (np.maximum(seeds - 1, 1) * (images - 1)), 0.0)
    seed, image, rest = (np.where(few, math.nan, square) for square in (seed, image, rest))
    return Squares(seed, image, rest, seeds, images)


def half_width(matrix: ArrayLike, confidence: float = 0.95) -> Floats:
    """Return half the width of the t interval of means over crossed random seeds and images.

    The mean's variance is (M_seed + M_image - M_rest) / (S I), components below zero being zero, and its degrees of
    freedom are Satterthwaite's, (M_seed + M_image - M_rest)^2 over the sum of each M^2 / df, at least those of the
    seeds. Where the seeds differ much, three of them give two degrees of freedom and a wide interval.

    Args:
        matrix: (..., seeds, images); NaN is undefined: see `linearised`.
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        Half the width, (...); NaN with fewer than two images.

    Source: Satterthwaite, Biometrics Bulletin 2, 1946; Searle, Casella and McCulloch 1992, section 4.5.
    """
    values = _table(matrix)
    if values.size > max(PORTION, math.prod(values.shape[-2:])):
        several = values.reshape(-1, *values.shape[-2:])
        halves = [half_width(several[rows], confidence) for rows in portions(several)]
        return np.concatenate(halves).reshape(values.shape[:-2])
    squares = mean_squares(linearised(values))
    seed, image = np.maximum(squares.seed, squares.rest), np.maximum(squares.image, squares.rest)
    total = seed + image - squares.rest
    of_images = np.maximum(squares.images - 1.0, 1.0)
    of_seeds = np.maximum(squares.seeds - 1.0, 1.0)
    variance = seed**2 / of_seeds + image**2 / of_images + squares.rest**2 / (of_seeds * of_images)
    degrees = np.divide(total**2, variance, out=np.ones_like(total), where=variance > 0)
    freedom = np.where(squares.seeds > 1, np.maximum(degrees, np.minimum(of_seeds, of_images)), of_images)
    cells = np.maximum(squares.seeds * squares.images, 1)
    half: Floats = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(total / cells)
    return half


def bootstrap_interval(
    matrix: ArrayLike,
    generator: np.random.Generator,
    resamples: int = 10_000,
    confidence: float = 0.95,
    bounds: Bounds = ANY,
) -> Interval:
    """Return the means of seeds x images matrices with the crossed bootstrap's intervals, widened for few seeds.

    The percentile interval of three resampled seeds is too narrow where seeds differ: its coverage falls to 78 % of
    95 %. So its two halves are stretched about the estimate by the factor

        k = max(1, half_width / (z sd of the resampled means)),   z the normal quantile

    which is about 1 where seeds do not differ and images are many, and keeps the bootstrap's skewness. Of skewed seeds
    three say too little: where lognormal ones make up the variance, coverage is 84 % (docs/operating.md).

    Args:
        matrix: (..., seeds, images); NaN is undefined and left out. With one seed the interval speaks of the images
            alone. Leading axes are independent quantities that share the resamples.
        generator: draws the resamples.
        resamples: the number of resamples.
        confidence: the interval's nominal coverage, between 0 and 1.
        bounds: what the quantities can be; no interval goes beyond.

    Returns:
        Estimates and ends, (...); ends are NaN with fewer than two images that have a value.

    Raises:
        ValueError: fewer than two axes, no resamples, or a confidence outside (0, 1).

    Source: the widening after Hesterberg, The American Statistician 69(4), 2015, section 5.3 (bootstrap intervals of
        small samples are too narrow by the factor of a biased deviation and a normal quantile).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: wanted is one between 0 and 1")
    values = _table(matrix)
    estimate, resampled = bootstrap_means(values, generator, resamples)
    return Interval(estimate, *widened(values, estimate, resampled, confidence, bounds))


def widened(
    matrix: ArrayLike, estimate: ArrayLike, resampled: Floats, confidence: float = 0.95, bounds: Bounds = ANY
) -> tuple[Floats, Floats]:
    """Return the ends of `bootstrap_interval` from matrices, (..., seeds, images), and their resampled means.

    Args:
        matrix: what the estimate is the mean of, or nearly so: its seeds and images say how wide an interval is due.
        estimate: (...).
        resampled: (resamples, ...).
        confidence: the interval's nominal coverage, between 0 and 1.
        bounds: what the quantities can be.
    """
    middle = np.asarray(estimate, dtype=np.float64)
    factor = widening(half_width(matrix, confidence), resampled, confidence)
    low, high = (middle + factor * (end - middle) for end in percentiles(resampled, confidence))
    return bounds.cut(middle, low, high)


def widening(half: ArrayLike, resampled: Floats, confidence: float = 0.95) -> Floats:
    """Return the factors k of `bootstrap_interval`, 1 or more.

    Args:
        half: half the widths of the intervals that are due, (...).
        resampled: (resamples, ...).
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        The factors, (...); NaN where `half` is, or with fewer than two resamples; 1 where the resamples do not vary.
    """
    due, spread = np.asarray(half, dtype=np.float64), deviation(resampled)
    normal = float(stats.norm.ppf((1 + confidence) / 2)) * spread
    factor = np.maximum(1.0, np.divide(due, normal, out=np.ones_like(due), where=normal > 0))
    return np.where(np.isnan(due) | np.isnan(spread), math.nan, factor)


def _table(matrix: ArrayLike) -> Floats:
    """Return the numbers without seeds that have no value at all."""
    values: Floats = np.asarray(matrix)
    if values.dtype != np.float32:
        values = values.astype(np.float64, copy=False)
    if values.ndim < 2:
        raise ValueError(f"shape {values.shape}: wanted are the axes (..., seeds, images)")
    others = tuple(range(values.ndim - 2))
    return values[..., ~np.isnan(values).all(axis=(*others, -1)), :] if values.size else values
