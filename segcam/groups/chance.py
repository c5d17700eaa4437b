"""What clouds without groups have when they are cut as well: how far apart groups are by chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from segcam.groups.cuts import Cut, cuts_of
from segcam.groups.kinds import Floats


class Chance(NamedTuple):
    """What one kind of clouds has: by number of groups the gaps to it and its mean; and each cloud's largest gap."""

    gaps: dict[int, float]
    usual: dict[int, float]
    of_clouds: Floats


def chance_of(
    cloud: Floats,
    of_kind: Callable[[Floats, np.random.Generator], Floats],
    cuts: dict[int, Cut],
    rng: np.random.Generator,
    *,
    most: int,
    draws: int,
    seed: int,
) -> Chance:
    """Return what clouds of one kind have when they are cut as these points were.

    Args:
        cloud: the points.
        of_kind: draws as many points without groups.
        cuts: the points' groups, by their number.
        rng: what is drawn comes from it.
        most: groups at most.
        draws: clouds.
        seed: of k-means.
    """
    clouds = [cuts_of(of_kind(cloud, rng), most, seed) for _ in range(draws)]
    usual = {count: _usual([each[count].mean for each in clouds if count in each]) for count in range(2, most + 1)}
    of_clouds = [max((_gap(cut, usual[n]) for n, cut in each.items()), default=-math.inf) for each in clouds]
    gaps = {count: _gap(cut, usual[count]) for count, cut in cuts.items()}
    return Chance(gaps, {count: mean for count, (mean, _) in usual.items()}, np.array(of_clouds))


def normal(cloud: Floats, rng: np.random.Generator) -> Floats:
    """Return as many points of a normal distribution that is as wide along each axis."""
    drawn: Floats = rng.standard_normal(cloud.shape) * cloud.std(0)
    return drawn


def even(cloud: Floats, rng: np.random.Generator) -> Floats:
    """Return as many points spread evenly between the ends along each axis."""
    drawn: Floats = rng.uniform(cloud.min(0), cloud.max(0), cloud.shape)
    return drawn


def _usual(separations: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of what clouds have."""
    return (
        (float(np.mean(separations)), float(np.std(separations, ddof=1))) if len(separations) > 1 else (math.nan, 0.0)
    )


def _gap(cut: Cut, usual: tuple[float, float]) -> float:
    """Return how far a cut lies above the usual; of a number of groups that no two clouds have, nothing is known."""
    mean, deviation = usual
    return (cut.mean - mean) / deviation if deviation > 0 else -math.inf
