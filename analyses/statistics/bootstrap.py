"""Numbers in, an estimate and its interval out; the randomness comes from the caller's generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyses.reading.arrays import Floats, nan_mean

RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0
"""What intervals are of where nothing else is said."""
NOISE = 0.04
"""Share of half an interval's width by which other resamples, as many, move its ends: one standard error, at most."""

_CHUNK = 256  # resamples drawn at once: bounds the memory at thousands of images
_Draws = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.unsignedinteger[Any]]]
_MOST_WAYS = 400  # to draw seeds, up to which a product each is faster than one a seed
_MOST_KEPT = 4
_MOST_BYTES = 1 << 26
"""Of draws that are kept beside the last ones."""
PORTION = 1 << 21
"""Numbers that are computed with at once: what is held beside a large array is a few times as many."""
_KEPT: dict[tuple[str, int, int, int], tuple[_Draws, Any]] = {}


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval, each of the shape of what was estimated."""

    estimate: Floats
    low: Floats
    high: Floats


def bootstrap_mean(
    matrix: ArrayLike, generator: np.random.Generator, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of a seeds x images matrix with the percentile interval of the crossed bootstrap.

    A resample draws S seeds and, independently, I images with replacement, and takes the mean over the defined entries
    of the rows and columns drawn, each as often as it was drawn:

        m_r = sum_si u_rs v_ri x_si / sum_si u_rs v_ri [x_si is defined]

    with the multiplicities u (of the seeds) and v (of the images). Leading axes are independent quantities that share
    the resamples. With one seed the interval speaks of the images alone.

    Args:
        matrix: (..., seeds, images); NaN is undefined and left out.
        generator: draws first the seeds of all resamples, then the images.
        resamples: the number of resamples.
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        Estimate and bounds, of shape (...); NaN where nothing is defined.

    Raises:
        ValueError: fewer than two axes, no resamples, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: wanted is one between 0 and 1")
    estimate, resampled = bootstrap_means(matrix, generator, resamples)
    return Interval(estimate, *percentiles(resampled, confidence))


def bootstrap_means(
    matrix: ArrayLike, generator: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """Return the means of `bootstrap_mean` and their crossed resamples, for what is computed from several of them.

    Args:
        matrix: (..., seeds, images); NaN is undefined and left out.
        generator: draws first the seeds of all resamples, then the images.
        resamples: the number of resamples.

    Returns:
        The means, (...), and the resampled ones, (resamples, ...); NaN where nothing is defined or was drawn.

    Raises:
        ValueError: fewer than two axes, or no resamples.
    """
    values = np.asarray(matrix)
    if values.ndim < 2 or resamples < 1:
        raise ValueError(
            f"shape {values.shape}, resamples {resamples}: wanted are the axes (..., seeds, images) and at least 1 "
            "resample"
        )
    shape = values.shape[:-2]
    if values.size == 0:
        return np.full(shape, np.nan), np.full((resamples, *shape), np.nan)
    values = values.reshape(-1, *values.shape[-2:])
    draws = _draws(generator, values.shape[1], values.shape[2], resamples)
    estimate, resampled = np.empty(len(values)), np.empty((resamples, len(values)))
    for rows in portions(values):
        numbers = values[rows].astype(np.float64)
        defined = ~np.isnan(numbers)
        filled = np.where(defined, numbers, 0.0)
        estimate[rows] = _ratio(filled.sum((1, 2)), defined.sum((1, 2)))
        resampled[:, rows] = _resampled(filled, defined, draws)
    return estimate.reshape(shape), resampled.reshape(resamples, *shape)


def portions(values: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of an array's first axis, each of as many numbers as are computed with at once, or of one item."""
    at_once = max(1, PORTION // max(1, math.prod(values.shape[1:])))
    for first in range(0, len(values), at_once):
        yield slice(first, first + at_once)


def class_iou(counts: ArrayLike) -> Floats:
    """Return each class's IoU from confusion counts, (..., truth, predicted); NaN for a class not in the truth."""
    matrix = np.asarray(counts, dtype=np.float64)
    hits, truth = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1)
    return _ratio(hits, np.where(truth > 0, truth + matrix.sum(axis=-2) - hits, 0.0))


def mean_iou(counts: ArrayLike) -> Floats:
    """Return the mean IoU, (...), over the classes present in the truth; NaN where there is none.

    >>> float(mean_iou([[3, 1], [1, 1]]))
    0.4666666666666667
    """
    return nan_mean(class_iou(counts))


def bootstrap_miou(
    counts: ArrayLike, generator: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Floats, Floats]:
    """Return the mean IoU of confusion counts of seeds x images, averaged over seeds, and its crossed resamples.

    A resample draws S seeds and, independently, I images with replacement; each seed's counts are summed over the
    images drawn, its mean IoU taken, and these are averaged over the seeds drawn:

        m_r = sum_s u_rs mean_iou(sum_i v_ri n_si) / sum_s u_rs

    Leading axes share the resamples, so that their differences are paired.

    Args:
        counts: (..., seeds, images, truth, predicted); zero where an image was not tested.
        generator: draws first the seeds of all resamples, then the images.
        resamples: the number of resamples.

    Returns:
        The estimate, (...), and the resampled values, (resamples, ...); NaN where no class is in the truth.
    """
    values = np.asarray(counts, dtype=np.float64)
    *shape, seeds, images, classes, _ = values.shape
    estimate = _mean_over_seeds(mean_iou(values.sum(axis=-3)), np.ones(seeds))
    ways, way, drawn_images = _draws(generator, seeds, images, resamples)
    by_image = np.moveaxis(values, -3, 0).reshape(images, -1)
    resampled = np.empty((resamples, *shape))
    for start in range(0, resamples, _CHUNK):
        rows = slice(start, min(start + _CHUNK, resamples))
        size = rows.stop - rows.start
        totals = (drawn_images[rows].astype(np.float64) @ by_image).reshape(size, *shape, seeds, classes, classes)
        weights = ways[way[rows]].reshape(size, *(1 for _ in shape), seeds)
        resampled[rows] = _mean_over_seeds(mean_iou(totals), weights)
    return estimate, resampled


def crossed_draws(
    generator: np.random.Generator, seeds: int, images: int, resamples: int = RESAMPLES
) -> tuple[Floats, NDArray[np.unsignedinteger[Any]]]:
    """Return how often each resample draws each seed and each image, for statistics that are no means.

    Args:
        generator: draws first the seeds of all resamples, then the images.
        seeds: their number.
        images: their number.
        resamples: the number of resamples.

    Returns:
        (resamples, seeds) and (resamples, images), whole numbers.
    """
    ways, way, drawn_images = _draws(generator, seeds, images, resamples)
    return ways[way], drawn_images


def percentiles(resampled: Floats, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Return the bounds of the percentile interval of resampled values, (resamples, ...); NaN where none is defined."""
    low, high = _quantiles(resampled.reshape(len(resampled), -1), confidence)
    return low.reshape(resampled.shape[1:]), high.reshape(resampled.shape[1:])


def quartiles(values: ArrayLike) -> tuple[float, float, float]:
    """Return the median and the first and third quartile of the values that are defined; NaN where none is.

    >>> quartiles([4.0, 1.0, float("nan"), 2.0, 3.0, 5.0])
    (3.0, 2.0, 4.0)
    """
    defined = np.asarray(values, dtype=np.float64).ravel()
    defined = defined[~np.isnan(defined)]
    if not defined.size:
        return np.nan, np.nan, np.nan
    middle, low, high = (float(value) for value in np.quantile(defined, [0.5, 0.25, 0.75]))
    return middle, low, high


def _mean_over_seeds(values: Floats, weights: Floats) -> Floats:
    defined = ~np.isnan(values)
    return _ratio((np.where(defined, values, 0.0) * weights).sum(axis=-1), (defined * weights).sum(axis=-1))


def _resampled(filled: Floats, defined: NDArray[np.bool_], draws: _Draws) -> Floats:
    """Return the resampled means, (resamples, quantities).

    Few seeds can be drawn in few ways (three in ten): of each way the seeds are summed once, and one product over the
    images serves all resamples that drew them so. Eight can in thousands: then each seed has a product of its own.
    """
    quantities, seeds, images = filled.shape
    ways, way, drawn_images = draws
    patterns, of_pattern = (None, None) if defined.all() else _distinct(defined)
    means = np.empty((len(way), quantities))
    if len(ways) > _MOST_WAYS:
        for start in range(0, len(way), _CHUNK):
            at = slice(start, start + _CHUNK)
            drawn = ways[way[at]], drawn_images[at].astype(np.float64)
            counts = seeds * images if patterns is None else _over_seeds(*drawn, patterns)[:, of_pattern]
            means[at] = _ratio(_over_seeds(*drawn, filled), counts)
        return means
    for i, weights in enumerate(ways):
        by_image = (weights @ filled).T
        counted = None if patterns is None else (weights @ patterns).T
        members = np.flatnonzero(way == i)
        for start in range(0, len(members), _CHUNK):
            rows = members[start : start + _CHUNK]
            image_weights = drawn_images[rows].astype(np.float64)
            totals = image_weights @ by_image
            if counted is None:  # as many entries in every resample
                means[rows] = totals / (seeds * images)
            else:
                means[rows] = _ratio(totals, (image_weights @ counted)[:, of_pattern])
    return means


def _over_seeds(weights: Floats, image_weights: Floats, tables: Floats) -> Floats:
    """Return the weighted sums over seeds and images, (resamples, tables), of tables (tables, seeds, images)."""
    totals = np.zeros((len(weights), len(tables)))
    for seed in range(tables.shape[1]):
        totals += weights[:, seed, None] * (image_weights @ tables[:, seed].T)
    return totals


def _draws(generator: np.random.Generator, seeds: int, images: int, resamples: int) -> _Draws:
    """Return the ways in which seeds were drawn, each resample's way, and how often it drew each image.

    The last ones are kept: many estimates start from the same generator, so that their differences are paired. The
    generator is left as if it had drawn.
    """
    key = (repr(generator.bit_generator.state), seeds, images, resamples)
    entry = _KEPT.get(key)
    if entry is None:
        drawn_seeds = _multiplicities(generator.integers(seeds, size=(resamples, seeds)), seeds)
        drawn_images: NDArray[np.unsignedinteger[Any]] = np.empty((resamples, images), dtype=np.uint8)
        for start in range(0, resamples, _CHUNK):
            rows = slice(start, min(start + _CHUNK, resamples))
            counts = _multiplicities(generator.integers(images, size=(rows.stop - rows.start, images)), images)
            if counts.max() > np.iinfo(drawn_images.dtype).max:  # of thousands of images none is drawn so often
                drawn_images = drawn_images.astype(np.uint32)
            drawn_images[rows] = counts
        ways, way = np.unique(drawn_seeds, axis=0, return_inverse=True)
        entry = (ways, way.ravel(), drawn_images), generator.bit_generator.state
        if len(_KEPT) >= _MOST_KEPT or sum(kept[0][2].nbytes for kept in _KEPT.values()) > _MOST_BYTES:
            _KEPT.clear()
        _KEPT[key] = entry
    draws, generator.bit_generator.state = entry
    return draws


def _distinct(defined: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
    """Return the tables that differ, as numbers, and which of them each one is: metrics of one map share theirs."""
    positions: dict[bytes, int] = {}
    packed = np.packbits(defined.reshape(len(defined), -1), axis=1)
    which = [positions.setdefault(row.tobytes(), len(positions)) for row in packed]
    first = np.unique(which, return_index=True)[1]
    return defined[first].astype(np.float64), np.array(which, dtype=np.int64)


def _multiplicities(draws: NDArray[np.int64], size: int) -> Floats:
    """Return how often each of `size` things was drawn in each row, (rows, size)."""
    rows = len(draws)
    flat = (draws + np.arange(rows)[:, None] * size).ravel()
    return np.bincount(flat, minlength=rows * size).reshape(rows, size).astype(np.float64)


def _ratio(totals: Floats, counts: ArrayLike) -> Floats:
    ratio = np.full(totals.shape, np.nan)
    np.divide(totals, counts, out=ratio, where=np.asarray(counts) > 0)
    return ratio


def _quantiles(means: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the lower and upper quantiles of columns, NaN left out: numpy's linear ones, of all columns at once.

    Columns with as many values have theirs at the same places: `numpy.nanquantile` goes through them one by one.
    """
    tail = (1 - confidence) / 2
    bounds = np.full((2, means.shape[1]), np.nan)
    counts = (~np.isnan(means)).sum(axis=0)
    for count in np.unique(counts[counts > 0]):
        alike = counts == count
        columns = means if alike.all() else means[:, alike]
        at = [(count - 1) * tail, (count - 1) * (1 - tail)]
        below = [math.floor(place) for place in at]
        above = [min(place + 1, int(count) - 1) for place in below]
        parted = np.partition(columns, sorted({*below, *above}), axis=0)  # NaN stand last
        for row, place, low, high in zip(bounds, at, below, above, strict=True):
            row[alike] = parted[low] + (place - low) * (parted[high] - parted[low])
    return bounds[0], bounds[1]


def deviation(values: Floats) -> Floats:
    """Return the standard deviation of each column, NaN left out; NaN where nothing is defined."""
    spread = np.asarray(np.std(values, axis=0))  # many times faster than the one that looks for NaN
    undefined = np.isnan(spread) & ~np.isnan(values).all(axis=0)
    if undefined.any():
        spread[undefined] = np.nanstd(values[:, undefined], axis=0)
    return spread
