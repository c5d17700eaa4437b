"""On which side of a border an interval lies for sure: no decision is that of the generator that drew the resamples."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyses.reading.arrays import Floats
from analyses.statistics.bootstrap import NOISE, RESAMPLES

SURE = 4.0
"""Standard errors of the bootstrap that an interval's end keeps from a border, so that other resamples agree."""


def near(end: ArrayLike, border: float, error: ArrayLike) -> NDArray[np.bool_]:
    """Return whether ends lie so near a border that other resamples, as many, could put them on its other side.

    Args:
        end: of intervals, (...).
        border: in the same unit.
        error: the ends' standard errors that come of drawing no more resamples, (...).
    """
    return np.asarray(np.abs(np.asarray(end, dtype=np.float64) - border) < SURE * np.asarray(error))


def end_errors(estimate: ArrayLike, low: ArrayLike, high: ArrayLike, resamples: int = RESAMPLES) -> Floats:
    """Return the most that other resamples move the ends of intervals by, as a standard error, (2, ...): low and high.

    It is `NOISE` of half the width, or of an end's own distance from the estimate where that is more; it falls with
    the root of the resamples. An end that was cut off at a bound counts as near as it was put, never the other one.

    Args:
        estimate: what the intervals are of, (...).
        low: their lower ends, (...).
        high: their upper ends, (...).
        resamples: of which they are.
    """
    middle, ends = np.asarray(estimate, dtype=np.float64), np.stack(np.broadcast_arrays(low, high)).astype(np.float64)
    half = np.maximum((ends[1] - ends[0]) / 2, np.abs(ends - middle))
    return np.asarray(NOISE * math.sqrt(RESAMPLES / resamples) * half)


def side(interval: Iterable[ArrayLike], border: float = 0.0, *, resamples: int = RESAMPLES) -> NDArray[np.int8]:
    """Return on which side of a border intervals lie for sure: 1 above it, -1 below it, 0 neither, or undefined.

    An end that lies within `SURE` standard errors of the bootstrap from the border, about a sixth of half the width at
    2,000 resamples, is not beyond it: other resamples could say otherwise.

    Args:
        interval: what the intervals are of, their lower and their upper ends, (...) each; NaN decides nothing.
        border: what they are to lie beyond.
        resamples: of which they are.

    >>> side((0.5, [0.4, 0.01, -0.1], 0.6)).tolist(), side((-0.5, -0.8, -0.2)).item()
    ([1, 0, 0], -1)
    """
    estimate, low, high = interval
    ends = np.stack(np.broadcast_arrays(low, high)).astype(np.float64)
    close = near(ends, border, end_errors(estimate, low, high, resamples))
    known = ~np.isnan(np.asarray(estimate, dtype=np.float64))
    above, below = (ends[0] > border) & ~close[0] & known, (ends[1] < border) & ~close[1] & known
    return np.asarray(above.astype(np.int8) - below.astype(np.int8))
