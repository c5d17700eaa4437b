"""Slow twins of what groups of maps are made of, from the definitions alone."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.metrics import Array


def shrunk(values: Array, size: tuple[int, int]) -> Array:
    """The positive part, averaged over blocks; sides must divide."""
    high, wide = values.shape[0] // size[0], values.shape[1] // size[1]
    out = np.zeros(size)
    for y, x in np.ndindex(*size):
        out[y, x] = np.maximum(values[y * high : (y + 1) * high, x * wide : (x + 1) * wide], 0).mean()
    return out


def hellinger(one: Array, other: Array) -> float:
    """Hellinger's distance of two maps as distributions, without the factor 1 / sqrt 2."""
    total = 0.0
    for p, q in zip((one / one.sum()).flat, (other / other.sum()).flat, strict=True):
        total += (math.sqrt(p) - math.sqrt(q)) ** 2
    return math.sqrt(total)


def jaccard(one: set[int], other: set[int]) -> float:
    """What two sets share, of all that is in either."""
    return len(one & other) / len(one | other)
