"""Slow twins of what groups of maps are made of, from the definitions alone."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linprog

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


def dip(values: Array) -> float:
    """The least distance to a function with one peak, which is at one of the numbers: a linear programme for each.

    Its values at the numbers are sought, at the peak before and after a jump, and the distance `d`.
    """
    points, counts = np.unique(values, return_counts=True)
    n, k = len(values), len(points)
    after = np.cumsum(counts) / n
    before = after - counts / n
    least = math.inf
    for peak in range(k):
        index = [i if i <= peak else i + 1 for i in range(k)]  # of the peak, the value before the jump
        rows, limits = [], []

        def at_most(terms: dict[int, float], limit: float, rows: list = rows, limits: list = limits) -> None:
            row = np.zeros(k + 2)
            for at, factor in terms.items():
                row[at] += factor
            rows.append(row)
            limits.append(limit)

        for i in range(k):
            at_most({index[i]: 1, k + 1: -1}, before[i])
            at_most({index[i] + (i == peak): -1, k + 1: -1}, -after[i])
        at_most({peak: 1, peak + 1: -1}, 0)
        left = list(range(peak + 1))
        right = [peak + 1, *(index[i] for i in range(peak + 1, k))]
        for part, at, sign in ((left, points[: peak + 1], 1), (right, points[peak:], -1)):
            for a in range(len(part) - 1):
                at_most({part[a]: 1, part[a + 1]: -1}, 0)
            for a in range(len(part) - 2):
                one, two = 1 / (at[a + 1] - at[a]), 1 / (at[a + 2] - at[a + 1])
                at_most({part[a]: -one * sign, part[a + 1]: (one + two) * sign, part[a + 2]: -two * sign}, 0)
        found = linprog(np.eye(k + 2)[-1], np.array(rows), np.array(limits), bounds=[(0, 1)] * (k + 1) + [(0, None)])
        least = min(least, found.fun)
    return float(least)
