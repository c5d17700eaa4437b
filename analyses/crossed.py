"""Few seeds and many images: an interval that says so, and the mixed model that checks it."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from analyses.stats import Floats, Interval, bootstrap_means, percentiles

MOST_IMAGES = 100
"""Images that the mixed model is fitted to: its cost grows with the cube of seeds x images."""


class Squares(NamedTuple):
    """Mean squares of a two-way table of seeds x images without repeats, and its size."""

    seed: float
    image: float
    rest: float
    seeds: int
    images: int


class Mixed(NamedTuple):
    """The mean of a mixed model with its interval, and the standard deviations of its random parts."""

    estimate: float
    low: float
    high: float
    seed: float
    image: float
    rest: float
    images: int


def mean_squares(matrix: ArrayLike) -> Squares:
    """Return the mean squares of a seeds x images matrix, over the images defined for every seed.

    With row means r_s, column means c_i and the mean m: I sum_s (r_s - m)^2 / (S - 1) for the seeds,
    S sum_i (c_i - m)^2 / (I - 1) for the images, sum_si (x_si - r_s - c_i + m)^2 / ((S - 1) (I - 1)) for the rest.

    Args:
        matrix: (seeds, images); NaN is undefined.

    Returns:
        The mean squares; NaN with fewer than two images. With one seed `seed` and `rest` are zero.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, chapter 4 (two-way crossed, no repeats).
    """
    values = _table(matrix)
    values = values[:, ~np.isnan(values).any(axis=0)]
    seeds, images = values.shape
    if images < 2 or not seeds:
        return Squares(math.nan, math.nan, math.nan, seeds, images)
    rows, columns, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    of_images = seeds * float(columns.var(ddof=1))
    if seeds == 1:
        return Squares(0.0, of_images, 0.0, seeds, images)
    rest = float(((values - rows[:, None] - columns + mean) ** 2).sum()) / ((seeds - 1) * (images - 1))
    return Squares(images * float(rows.var(ddof=1)), of_images, rest, seeds, images)


def half_width(matrix: ArrayLike, confidence: float = 0.95) -> float:
    """Return half the width of the t interval of a mean over crossed random seeds and images.

    The mean's variance is (M_seed + M_image - M_rest) / (S I), components below zero being zero, and its degrees of
    freedom are Satterthwaite's, (M_seed + M_image - M_rest)^2 over the sum of each M^2 / df, at least those of the
    seeds. Where the seeds differ much, three of them give two degrees of freedom and a wide interval.

    Args:
        matrix: (seeds, images); NaN is undefined: images without a value for some seed are left out.
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        Half the width; NaN with fewer than two images.

    Source: Satterthwaite, Biometrics Bulletin 2, 1946; Searle, Casella and McCulloch 1992, section 4.5.
    """
    squares = mean_squares(matrix)
    if math.isnan(squares.image):
        return math.nan
    cells = squares.seeds * squares.images
    seed, image = max(squares.seed, squares.rest), max(squares.image, squares.rest)
    total = seed + image - squares.rest
    if total == 0:
        return 0.0
    freedom = float(squares.images - 1)
    if squares.seeds > 1:
        parts = seed**2 / (squares.seeds - 1) + image**2 / freedom
        parts += squares.rest**2 / ((squares.seeds - 1) * freedom)
        freedom = max(total**2 / parts, min(squares.seeds - 1, freedom))
    return float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(total / cells)


def crossed_interval(
    matrix: ArrayLike, generator: np.random.Generator, resamples: int = 10_000, confidence: float = 0.95
) -> Interval:
    """Return the mean of a seeds x images matrix with the crossed bootstrap's interval, widened for few seeds.

    The percentile interval of three resampled seeds is too narrow where seeds differ: its coverage falls to 78 % of
    95 %. So its two halves are stretched about the estimate by the factor

        k = max(1, half_width / (z sd of the resampled means)),   z the normal quantile

    which is 1.00 where seeds do not differ, and keeps the bootstrap's skewness.

    Args:
        matrix: (seeds, images); NaN is undefined and left out. With one seed the interval speaks of the images alone.
        generator: draws the resamples.
        resamples: the number of resamples.
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        Estimate and bounds; bounds are NaN with fewer than two images defined for every seed.

    Raises:
        ValueError: no matrix, no resamples, or a confidence outside (0, 1).

    Source: the widening after Hesterberg, The American Statistician 69(4), 2015, section 5.3 (bootstrap intervals of
        small samples are too narrow by the factor of a biased deviation and a normal quantile).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}: wanted is one between 0 and 1")
    values = _table(matrix)
    estimate, resampled = bootstrap_means(values, generator, resamples)
    low, high = percentiles(resampled, confidence)
    factor = widening(values, resampled, confidence)
    return Interval(estimate, estimate + factor * (low - estimate), estimate + factor * (high - estimate))


def widening(matrix: ArrayLike, resampled: Floats, confidence: float = 0.95) -> float:
    """Return the factor k of `crossed_interval`, 1 or more, from a matrix and the resamples of its mean.

    NaN with fewer than two images defined for every seed; 1 where the resamples do not vary.
    """
    wanted = half_width(matrix, confidence)
    if math.isnan(wanted) or np.isnan(resampled).all():
        return math.nan
    normal = float(stats.norm.ppf((1 + confidence) / 2)) * float(np.nanstd(resampled))
    return max(1.0, wanted / normal) if normal > 0 else 1.0


def mixed_model(matrix: ArrayLike, generator: np.random.Generator, confidence: float = 0.95) -> Mixed:
    """Return the mean of x_si = mean + seed_s + image_i + rest_si, fitted by restricted maximum likelihood.

    Random parts are normal and crossed; the interval is that of t with S - 1 degrees of freedom, which is wide: a
    check of `crossed_interval`, not its rival. Of more than `MOST_IMAGES` images as many are drawn.

    Args:
        matrix: (seeds, images); NaN is undefined and left out.
        generator: draws the images where there are many.
        confidence: the interval's nominal coverage, between 0 and 1.

    Returns:
        The mean, its interval, the three standard deviations and the number of images; all NaN with fewer than two
        seeds or images, where differences do not vary, or where the fit does not converge.

    Source: Pinheiro and Bates, Mixed-Effects Models in S and S-PLUS, 2000; statsmodels' MixedLM.
    """
    values = _table(matrix)
    values = values[:, ~np.isnan(values).all(axis=0)]
    if values.shape[1] > MOST_IMAGES:
        values = values[:, np.sort(generator.choice(values.shape[1], MOST_IMAGES, replace=False))]
    seed, image = np.nonzero(~np.isnan(values))
    nan = math.nan
    nothing = Mixed(nan, nan, nan, nan, nan, nan, values.shape[1])
    if len(values) < 2 or values.shape[1] < 2 or not np.nanstd(values):
        return nothing
    scale = float(np.nanstd(values))
    frame = pd.DataFrame({"value": values[seed, image] / scale, "seed": seed, "image": image, "all": 0})
    parts = {"image": "0 + C(image)", "seed": "0 + C(seed)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance at zero is a result here; steps by gradients fail there
        try:
            fit = smf.mixedlm("value ~ 1", frame, groups="all", vc_formula=parts).fit(reml=True, method="nm")
        except np.linalg.LinAlgError:
            return nothing
    mean, error = scale * float(fit.fe_params.iloc[0]), scale * float(fit.bse_fe.iloc[0])
    if not fit.converged or not math.isfinite(error):
        return nothing
    half = error * float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    of_image, of_seed = (scale * math.sqrt(max(0.0, float(part))) for part in fit.vcomp)
    rest = scale * math.sqrt(float(fit.scale))
    return Mixed(mean, mean - half, mean + half, of_seed, of_image, rest, values.shape[1])


def _table(matrix: ArrayLike) -> NDArray[np.float64]:
    values: Floats = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"shape {values.shape}: wanted is a matrix of (seeds, images)")
    return values[~np.isnan(values).all(axis=1)] if values.size else values
