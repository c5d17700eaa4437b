"""Numbers in, an estimate and its interval out; the randomness comes from the caller's generator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 256  # resamples drawn at once: bounds the memory at thousands of images

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval, each of the shape of what was estimated."""

    estimate: Floats
    low: Floats
    high: Floats


def bootstrap_mean(
    matrix: ArrayLike, generator: np.random.Generator, resamples: int = 2000, confidence: float = 0.95
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
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim < 2 or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"shape {values.shape}, resamples {resamples}, confidence {confidence}: wanted are the axes "
            "(..., seeds, images), at least 1 resample and a confidence between 0 and 1"
        )
    shape = values.shape[:-2]
    if values.size == 0:
        return Interval(*np.full((3, *shape), np.nan))
    values = values.reshape(-1, *values.shape[-2:])
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0.0)
    estimate = _ratio(filled.sum((1, 2)), defined.sum((1, 2)))
    low, high = _quantiles(_resampled(filled, defined, generator, resamples), confidence)
    return Interval(estimate.reshape(shape), low.reshape(shape), high.reshape(shape))


def _resampled(filled: Floats, defined: NDArray[np.bool_], generator: np.random.Generator, resamples: int) -> Floats:
    """Return the resampled means, (resamples, quantities)."""
    quantities, seeds, images = filled.shape
    seed_weights = _multiplicities(generator.integers(seeds, size=(resamples, seeds)), seeds)
    by_image = filled.reshape(-1, images).T
    defined_by_image = defined.reshape(-1, images).T.astype(np.float64)
    means = np.empty((resamples, quantities))
    for start in range(0, resamples, _CHUNK):
        rows = slice(start, min(start + _CHUNK, resamples))
        size = rows.stop - rows.start
        image_weights = _multiplicities(generator.integers(images, size=(size, images)), images)
        weights = seed_weights[rows]
        totals = (image_weights @ by_image).reshape(size, quantities, seeds)
        counts = (image_weights @ defined_by_image).reshape(size, quantities, seeds)
        means[rows] = _ratio(np.einsum("rks,rs->rk", totals, weights), np.einsum("rks,rs->rk", counts, weights))
    return means


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
    tail = (1 - confidence) / 2
    bounds = np.full((2, means.shape[1]), np.nan)
    known = ~np.isnan(means).all(axis=0)
    if known.any():
        bounds[:, known] = np.nanquantile(means[:, known], [tail, 1 - tail], axis=0)
    return bounds[0], bounds[1]
