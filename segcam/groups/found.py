"""What is found: groups of things, how far apart they are, and which of them are odd."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segcam.groups.kinds import Floats, Labels

STABLE = 0.75
"""Below this groups are not found again in halves (Hennig's rule for each group, and ours for all of them)."""
FEW = 1 / 2
"""An odd group's size over that of the largest, at most. Odd is what is beside the usual, and of groups of like size
none is the usual one: the largest must be twice as large. Of two groups the odd one then has a third at most; of three
of a third each none is odd."""
WITHOUT = -1
"""The group of what has no map."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of `n` things, `k` of them, the largest first.

    Attributes:
        labels: the group of each, `(n,)`; `WITHOUT` for those that are undefined.
        order: those that have a group by group, in it the most typical first, `(m,)`.
        sizes: of the groups, `(k,)`.
        silhouettes: how much nearer each is to its own group than to the nearest other, `(n,)`, from -1 to 1; NaN for
            those without a group, where there is one group alone, and beyond the `LARGEST` that groups are made of.
        of_group: their mean in each group, `(k,)`.
        separation: their mean.
        by_chance: mean of `separation` over clouds without groups, cut into as many groups; of the two kinds of clouds
            that with the lesser gap.
        gap: how far the separation lies above `by_chance`, in standard deviations over the clouds: the lesser of the
            two kinds.
        chance: the same of each cloud at the number of groups where its own is largest, `(draws,)`; of a normal and an
            even cloud the larger one.
        stability: how far groups of random halves agree with these, 1 at most, 0 by chance (adjusted Rand index).
        found_again: how well each group is found again in halves, `(k,)`: what it has in common with the group that is
            most alike, as a share of both (Jaccard's index), from 0 to 1.
        places: along the first two principal axes, in which groups are seen, `(n, 2)`; NaN for those that are
            undefined. The place furthest out on an axis is positive; where there is no second axis it is 0.
        valley: whether points are rare between each group and every other, `(k,)`: the share of even spreads, these
            among them, whose dip is as large, the largest over the other groups; NaN where there is one group alone.
    """

    labels: Labels
    order: Labels
    sizes: Labels
    silhouettes: Floats
    of_group: Floats
    separation: float
    by_chance: float
    gap: float
    chance: Floats
    stability: float
    found_again: Floats
    valley: Floats
    places: Floats

    @property
    def count(self) -> int:
        """How many groups there are; 1 where no cut leaves every group `SMALLEST`, 0 where nothing is defined."""
        return len(self.sizes)

    @property
    def p(self) -> float:
        """Share of the clouds, this one among them, that are as far apart; NaN where there is one group alone."""
        as_far = 1 + int((self.chance >= self.gap).sum())
        return math.nan if math.isnan(self.gap) else as_far / (1 + len(self.chance))

    @property
    def holds(self) -> bool:
        """Whether there are groups at all: further apart than in any cloud, and found again in halves."""
        return bool(self.gap > np.max(self.chance, initial=-math.inf)) and self.stability >= STABLE

    @property
    def small(self) -> NDArray[np.bool_]:
        """Which groups have `FEW` of the largest one's size at most, `(k,)`."""
        small: NDArray[np.bool_] = self.sizes <= FEW * self.sizes.max(initial=0)
        return small

    @property
    def odd(self) -> NDArray[np.bool_]:
        """Which groups are odd, `(k,)`.

        Groups hold; this one is found again, is parted from every other by a valley deeper than any of an even spread,
        and is small.
        """
        parted = self.valley <= 1 / (1 + len(self.chance))
        odd: NDArray[np.bool_] = self.holds & (self.found_again >= STABLE) & parted & self.small
        return odd
