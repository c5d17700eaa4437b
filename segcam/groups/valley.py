"""Whether points are rare between two groups: the dip of their distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from segcam.errors import InputError
from segcam.groups.kinds import Floats, Labels
from segcam.groups.points import numbers_of

FACING = 20
"""Points of a group between which and as many of another one a valley is looked for, at least, where it has them; of
larger groups half. What is far from the border tells of a curve's bend and not of a valley."""


def valleys(cloud: Floats, labels: Labels, draws: int, seed: int) -> Floats:
    """Return of each group the share of even spreads whose dip is as large as that towards another group, at most."""
    rng, count = np.random.default_rng(seed), int(labels.max()) + 1
    means = [cloud[labels == one].mean(0) for one in range(count)]
    even: dict[int, Floats] = {}
    largest = np.zeros(count)
    for one in range(count):
        for other in range(count):
            if one == other:
                continue
            mine, theirs = cloud[labels == one], cloud[labels == other]
            few = max(FACING, (len(mine) + 1) // 2)
            near = mine[_distances_to(mine, means[other]).argsort(kind="stable")[:few]]
            facing = theirs[_distances_to(theirs, means[one]).argsort(kind="stable")[: len(near)]]
            both = np.r_[near, facing] @ (facing.mean(0) - near.mean(0))
            n = len(both)
            if n not in even:
                even[n] = np.array([dip(rng.random(n)) for _ in range(draws)])
            as_large = 1 + int((even[n] >= dip(both)).sum())
            largest[one] = max(largest[one], as_large / (1 + draws))
    return largest


def _distances_to(points: Floats, place: Floats) -> Floats:
    squares: Floats = np.square(points - place).sum(1)
    return squares


def dip(values: ArrayLike) -> float:
    """Return how far numbers are from having one peak.

    It is the least `max |F - G|` of their distribution function `F` to any `G` with one peak, which is convex up to it
    and concave behind it.

    >>> round(dip([0, 0.1, 0.2, 5, 5.1, 5.2]), 3), round(dip(range(6)), 3)
    (0.24, 0.083)

    Args:
        values: `(n,)`, one or more.

    Returns:
        `1 / (2 n)` to 1/4; 0 of equal numbers.

    Raises:
        InputError: they are no such numbers.

    Source: Hartigan and Hartigan, Annals of Statistics 13, 1985; computed as Hartigan, Applied Statistics 34, 1985
    (AS 217): in the interval that may hold the peak, minorant and majorant are taken and the interval narrowed.
    """
    numbers = np.sort(numbers_of(values, 1, "values", "(n,)"))
    if not len(numbers) or not np.isfinite(numbers).all():
        raise InputError("values hold NaN or infinity, or there is none: give one finite number or more")
    points, counts = np.unique(numbers, return_counts=True)
    if len(points) == 1:
        return 0.0
    after = np.cumsum(counts) / len(numbers)
    before = after - counts / len(numbers)
    largest, first, last = 1 / len(numbers), 0, len(points) - 1
    while last > first:
        inside = slice(first, last + 1)
        low, low_touches = _minorant(points[inside], before[inside])
        high, high_touches = _minorant(-points[inside][::-1], -after[inside][::-1])
        high, high_touches = -high[::-1], (last - first) - high_touches[::-1]
        between = high - low
        touches = np.union1d(low_touches, high_touches)
        widest = int(touches[between[touches].argmax()])
        if between[widest] <= largest:
            break
        left = int(low_touches[low_touches <= widest].max())
        right = int(high_touches[high_touches >= widest].min())
        of_left = (after[inside] - low)[:left].max(initial=0)  # equal numbers at an end may be the peak
        of_right = (high - before[inside])[right + 1 :].max(initial=0)
        largest = max(largest, of_left, of_right)
        if (left, right) == (0, last - first):
            break
        first, last = first + left, first + right
    return float(largest / 2)


def _minorant(x: Floats, y: Floats) -> tuple[Floats, Labels]:
    """Return the greatest convex function below points, at their places, and which of them it touches."""
    touches: list[int] = []
    for i in range(len(x)):
        while len(touches) > 1:
            one, two = touches[-2:]
            if (y[two] - y[one]) * (x[i] - x[one]) < (y[i] - y[one]) * (x[two] - x[one]):
                break
            touches.pop()
        touches.append(i)
    kept = np.array(touches)
    return np.interp(x, x[kept], y[kept]), kept
