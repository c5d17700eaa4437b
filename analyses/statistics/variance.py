"""How sure a mean over crossed random factors is: seeds, images, and blocks or layers where a claim averages them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analyses.reading.arrays import Floats

Factors = tuple[int, ...]
"""Axes of a table."""


class Sureness(NamedTuple):
    """Of a mean over crossed factors.

    Attributes:
        variance: of the mean; NaN where a factor that should vary has one value and no other varies.
        freedom: Satterthwaite's degrees of freedom, at least those of the factor with the fewest.
    """

    variance: Floats
    freedom: Floats

    def half_width(self, confidence: float = 0.95) -> Floats:
        """Return half the width of the t interval."""
        half: Floats = stats.t.ppf((1 + confidence) / 2, self.freedom) * np.sqrt(self.variance)
        return half


def linearised(matrix: ArrayLike) -> Floats:
    """Return a table without gaps whose mean is that of the defined entries, and varies as that does.

    A mean over defined entries is a ratio, `m = sum d x / sum d` with `d` 1 where `x` is defined. To first order it
    varies as the mean of `m + d (x - m) / mean(d)` does: an entry without a value adds nothing, and the others weigh
    more. So images of which some seeds have no value are neither dropped nor filled.

    Args:
        matrix: (..., seeds, images); NaN is undefined. A seed or an image without any value is no part of the mean.

    Returns:
        The table, of the same shape; NaN in rows and columns that are no part of the mean.

    Source: Cochran, Sampling Techniques, 3rd edition, 1977, section 6.5 (a ratio's variance by linearisation).
    """
    values = np.asarray(matrix, dtype=np.float64)
    defined = ~np.isnan(values)
    part = defined.any(axis=-1, keepdims=True) & defined.any(axis=-2, keepdims=True)
    number, cells = defined.sum(axis=(-1, -2), keepdims=True), part.sum(axis=(-1, -2), keepdims=True)
    mean = np.divide(
        np.where(defined, values, 0.0).sum(axis=(-1, -2), keepdims=True),
        number,
        out=np.zeros(number.shape),
        where=number > 0,
    )
    weight = np.divide(cells, number, out=np.zeros(number.shape), where=number > 0)
    return np.where(part, mean + np.where(defined, values - mean, 0.0) * weight, math.nan)


def sureness(table: ArrayLike) -> Sureness:
    """Return how sure the mean of one table of crossed random factors is, an axis a factor.

    With the mean square M_A of each set A of factors, and c_A the component that its expectation holds beyond those
    of the larger sets, at least 0,

        variance = sum_A max(0, c_A) / n_A,   n_A = the product of the sizes of A's factors

    which for two factors is `(M_1 + M_2 - M_12) / (n_1 n_2)` with no mean square below that of the rest. The degrees
    of freedom are Satterthwaite's for that sum of mean squares.

    Args:
        table: an entry a combination of the factors' values; no NaN.

    Returns:
        A number each. A factor with one value has no component: the mean then speaks of that value alone.

    Source: Searle, Casella and McCulloch, Variance Components, 1992, chapter 4; Satterthwaite, Biometrics Bulletin 2,
        1946.
    """
    values, several = _varying(table)
    if not several or np.isnan(values).any():
        return Sureness(np.array(math.nan), np.array(math.nan))
    expected, components = _components(values)
    variance = sum(component / _size(values.shape, factors) for factors, component in components.items())
    # The variance is a sum of mean squares: each of odd sets adds, each of even sets is taken off.
    parts = [(square / values.size) ** 2 / _freedom(values.shape, factors) for factors, square in expected.items()]
    fewest = min(values.shape) - 1.0
    freedom = variance**2 / sum(parts) if sum(parts) > 0 else fewest
    return Sureness(np.array(variance), np.array(max(freedom, fewest)))


def components(table: ArrayLike) -> dict[Factors, float]:
    """Return the variance of each set of factors beyond those of the smaller ones, at least 0; see `sureness`.

    Args:
        table: an entry a combination of the factors' values; no NaN. A factor with one value has no variance.

    Returns:
        By the axes of the factors; the set of all is what is left.
    """
    values, several = _varying(table)
    _, found = _components(values)
    return {tuple(several[axis] for axis in factors): variance for factors, variance in found.items()}


def variance_with(table: ArrayLike, axis: int, number: int) -> float:
    """Return the variance that the mean would have with as many values of one factor; see `sureness`.

    NaN where the factor has one value here, so that nobody knows how it varies.
    """
    values, several = _varying(table)
    if axis not in several or np.isnan(values).any():
        return math.nan
    _, components = _components(values)
    sizes = tuple(number if several[i] == axis else size for i, size in enumerate(values.shape))
    return float(sum(component / _size(sizes, factors) for factors, component in components.items()))


def _varying(table: ArrayLike) -> tuple[Floats, Factors]:
    """Return a table without the factors that have one value, and the axes of the others."""
    values = np.asarray(table, dtype=np.float64)
    if not values.size:  # nothing is defined
        return values.reshape(0), ()
    several = tuple(axis for axis, size in enumerate(values.shape) if size > 1)
    return values.reshape([values.shape[axis] for axis in several]), several


def _components(values: Floats) -> tuple[dict[Factors, float], dict[Factors, float]]:
    """Return each set's mean square, none below what the larger sets alone give it, and each set's variance."""
    expected: dict[Factors, float] = {}
    components: dict[Factors, float] = {}
    for factors in sorted(_sets(values.ndim), key=len, reverse=True):
        beyond = sum(
            components[larger] * _times(values.shape, larger) for larger in components if set(factors) < set(larger)
        )
        expected[factors] = max(_mean_square(values, factors), beyond)
        components[factors] = (expected[factors] - beyond) / _times(values.shape, factors)
    return expected, components


def _sets(factors: int) -> Iterator[Factors]:
    return chain.from_iterable(combinations(range(factors), number) for number in range(1, factors + 1))


def _size(shape: tuple[int, ...], factors: Factors) -> int:
    return math.prod(shape[axis] for axis in factors)


def _times(shape: tuple[int, ...], factors: Factors) -> int:
    """Return how many entries share a value of the factors."""
    return math.prod(shape) // _size(shape, factors)


def _freedom(shape: tuple[int, ...], factors: Factors) -> int:
    return math.prod(shape[axis] - 1 for axis in factors)


def _mean_square(values: Floats, factors: Factors) -> float:
    """Return the mean square of an effect: of the means over the other factors, without those of smaller sets."""
    effect = values.mean(axis=tuple(axis for axis in range(values.ndim) if axis not in factors), keepdims=True)
    for axis in factors:  # taking off the mean along each of its axes leaves the interaction alone
        effect = effect - effect.mean(axis=axis, keepdims=True)
    total = float(np.square(effect).sum()) * _times(values.shape, factors)
    return total / _freedom(values.shape, factors)
