"""Means, quantiles and performance profiles over images, map by map in plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def over_seeds(values: dict[int, float]) -> float:
    """The mean of the seeds' values that are defined."""
    known = [value for value in values.values() if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """Hyndman and Fan's definition 7: linear between the neighbours of place share x (n - 1)."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def mean_of_maps(maps: dict[tuple[str, int, str], float], value: Callable[[float], float]) -> float:
    """The mean of `value` over maps, keyed by layer, seed and image: over layers first, then over seeds and images."""
    cells: dict[tuple[int, str], list[float]] = {}
    for (_layer, seed, image), score in maps.items():
        cells.setdefault((seed, image), []).append(value(score))
    means = [sum(found) / len(found) for found in cells.values()]
    return sum(means) / len(means)


def share_above(maps: dict[tuple[str, int, str], float], bar: float, sign: int) -> float:
    """The share of maps on the better side of a bar; one without a value is on none."""
    return mean_of_maps(maps, lambda x: float(not math.isnan(x) and sign * (x - bar) > 1e-6))


def area_above(maps: dict[tuple[str, int, str], float], chance: float, best: float) -> float:
    """The area under the profile from chance to the best value, over their distance, by small steps of the bar."""
    steps, sign = 4000, 1 if best > chance else -1
    bars = [chance + (k + 0.5) / steps * (best - chance) for k in range(steps)]

    def passed(score: float) -> float:
        return 0.0 if math.isnan(score) else sum(sign * (score - bar) > 0 for bar in bars) / steps

    return mean_of_maps(maps, passed)
