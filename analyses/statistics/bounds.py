"""What a quantity can be: no interval goes beyond it, and each holds its estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from analyses.reading.arrays import Floats
from analyses.reading.manifest import Metric


class Bounds(NamedTuple):
    """The least and the largest value of quantities: numbers, or arrays that broadcast to the estimates' shape."""

    lower: ArrayLike = -math.inf
    upper: ArrayLike = math.inf

    def cut(self, estimate: ArrayLike, low: ArrayLike, high: ArrayLike) -> tuple[Floats, Floats]:
        """Return the ends of intervals, cut off at the bounds and moved out to the estimate where they miss it.

        Ends that were widened for few seeds may lie beyond what the quantity can be; percentiles of resamples of what
        is no mean, as a rank correlation, may lie on one side of the estimate.

        Args:
            estimate: (...), within the bounds but for rounding.
            low: the lower ends, (...); NaN stays NaN.
            high: the upper ends, (...).
        """
        least: Floats = np.minimum(np.clip(low, self.lower, self.upper), estimate)
        largest: Floats = np.maximum(np.clip(high, self.lower, self.upper), estimate)
        return least, largest

    def weighted(self, weights: Sequence[float]) -> Bounds:
        """Return the bounds of a weighted sum of as many such quantities.

        >>> SHARE.weighted([1, -1]), CORRELATION.weighted([2]), Bounds(lower=0).weighted([1, -1])
        (Bounds(lower=-1.0, upper=1.0), Bounds(lower=-2.0, upper=2.0), Bounds(lower=-inf, upper=inf))
        """
        gained = sum(weight for weight in weights if weight > 0)
        lost = -sum(weight for weight in weights if weight < 0)
        return Bounds(
            _times(gained, self.lower) - _times(lost, self.upper), _times(gained, self.upper) - _times(lost, self.lower)
        )


def _times(weight: float, bound: ArrayLike) -> Floats | float:
    product = weight * np.asarray(bound, dtype=np.float64) if weight else np.zeros(np.shape(bound))
    return float(product) if not product.ndim else product


ANY = Bounds()
SHARE = Bounds(0.0, 1.0)
CORRELATION = Bounds(-1.0, 1.0)


def of(metrics: Sequence[Metric], axes: int = 0) -> Bounds:
    """Return the bounds of metrics, (metrics, ...), with as many axes of length 1 behind as estimates have others."""
    shape = (len(metrics), *(1 for _ in range(axes)))
    lower, upper = (
        np.array([getattr(metric, end) for metric in metrics], dtype=np.float64).reshape(shape)
        for end in ("lower", "upper")
    )
    return Bounds(lower, upper)


def stacked(several: Sequence[Bounds]) -> Bounds:
    """Return the bounds of several groups of quantities, of one shape each, along a first axis."""
    lower, upper = zip(*several, strict=True)
    return Bounds(*(np.stack([np.asarray(end, dtype=np.float64) for end in ends]) for ends in (lower, upper)))
