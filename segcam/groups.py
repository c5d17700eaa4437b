"""Groups of maps: images of a data set whose maps are alike, and whether they are further apart than by chance.

A network that looks at a mark in the corner of some photographs has maps of two kinds. Nobody sees that in ten maps;
grouped, it shows. It needs numpy and scikit-learn alone: a run is read where there is no torch.

Source: the idea is Lapuschkin et al., 'Unmasking Clever Hans predictors and assessing what machines really learn',
Nature Communications 10, 2019 (spectral relevance analysis). Chance is after Tibshirani, Walther and Hastie,
'Estimating the number of clusters in a data set via the gap statistic', JRSS B 63, 2001, and Liu, Hayes, Nobel and
Marron, 'Statistical significance of clustering', JASA 103, 2008; halves are after Hennig, 'Cluster-wise assessment of
cluster stability', Computational Statistics and Data Analysis 52, 2007; the valley is Hartigan and Hartigan, 'The dip
test of unimodality', Annals of Statistics 13, 1985. That places of objects are taken out is ours, and that the valley
is looked for between a group and as many of its neighbours.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from segcam.errors import InputError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

CELLS = 16
"""The longer side of the maps that are compared, at most: where things lie, not their edges."""
AXES = 10
"""Principal axes along which things are grouped, and of what is given that are taken out, at most."""
MOST = 6
"""Groups that are tried, at most."""
FEW_AN_AXIS = 8
"""Things for each axis of what is given: with fewer, noise would be taken out with it."""
SMALLEST = 5
"""Things that a group needs."""
FEWEST = 4 * SMALLEST
"""Things without which there is one group alone."""
LARGEST = 500
"""Things that groups are made of: of more, as many are drawn, and the others go to the group with the nearest mean."""
DRAWS, HALVES = 39, 20
"""Clouds of each kind that stand for chance, so that beyond all of them is beyond 1 in 40; and random halves for the
stability."""
STABLE = 0.75
"""Below this groups are not found again in halves (Hennig's rule for each group, and ours for all of them)."""
FEW = 1 / 2
"""An odd group's size over that of the largest, at most. Odd is what is beside the usual, and of groups of like size
none is the usual one: the largest must be twice as large. Of two groups the odd one then has a third at most; of three
of a third each none is odd."""
FACING = 20
"""Points of a group between which and as many of another one a valley is looked for, at least, where it has them; of
larger groups half. What is far from the border tells of a curve's bend and not of a valley."""
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


def group_maps(
    maps: ArrayLike | Sequence[ArrayLike],
    *,
    given: ArrayLike | None = None,
    cells: int = CELLS,
    most: int = MOST,
    draws: int = DRAWS,
    halves: int = HALVES,
    seed: int = 0,
) -> Groups:
    """Group images by where their maps have their energy.

    A map's positive part is averaged over areas to at most `cells` a side and divided by its sum, and the root is
    taken: two maps are then as far apart as Hellinger's distance says, whatever their scale. Maps of several layers are
    joined, each layer with the same spread. Where the object lies moves all maps, and would be what they are grouped
    by: with `given`, as the masks, what goes with it linearly, along its first `AXES` principal axes, is taken out. See
    `group_points` for the rest.

    >>> rng = np.random.default_rng(0)
    >>> maps = rng.random((60, 8, 8))
    >>> maps[:15, :2, :2] += 2  # these look at a corner
    >>> groups = group_maps(maps)
    >>> groups.sizes.tolist(), groups.odd.tolist(), sorted(groups.order[45:].tolist()) == list(range(15))
    ([45, 15], [False, True], True)

    Args:
        maps: `(n, h, w)`, of one method and layer; or several such of the same images, on grids of their own. An image
            all of whose maps are blank, or have NaN or infinity, has no group; of one that lacks some these count as
            the other images' mean.
        given: `(n, h, w)`, what is known to differ between the images, as the masks of their objects.
        cells: the longer side that is compared, 1 or more.
        most: groups at most, 2 or more.
        draws: clouds of each kind, and even spreads, that stand for chance, 2 or more.
        halves: random halves, 1 or more.
        seed: of all that is drawn: the same numbers give the same groups.

    Raises:
        InputError: a shape or number is wrong, or scikit-learn is missing.
    """
    several = isinstance(maps, Sequence) and len(maps) and np.ndim(maps[0]) == 3
    layers: list[ArrayLike] = list(maps) if several else [maps]  # type: ignore[arg-type, list-item]
    points, has = zip(*(_layer_points(layer, cells, "maps") for layer in layers), strict=True)
    if len(counts := {len(one) for one in points}) > 1:
        raise InputError(f"maps of {', '.join(map(str, sorted(counts)))} images: give each layer's of the same ones")
    any_map = np.any(has, axis=0)
    joined = np.where(any_map[:, None], np.hstack(points), math.nan)
    masks = None if given is None else map_points(given, cells, "given")[0]
    return group_points(joined, given=masks, most=most, draws=draws, halves=halves, seed=seed)


def map_points(maps: ArrayLike, cells: int = CELLS, what: str = "maps") -> tuple[Floats, NDArray[np.bool_]]:
    """Return maps as points whose distance is Hellinger's, `(n, d)`, and which have energy at all, `(n,)`.

    Args:
        maps: `(n, h, w)`.
        cells: the longer side, at most; larger grids are averaged over areas.
        what: their name, for errors.

    Raises:
        InputError: they are no such array of numbers, or `cells` is below 1.
    """
    values = _numbers(maps, 3, what, "(n, h, w)")
    if cells < 1:
        raise InputError(f"cells {cells}: wanted is 1 or more")
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all((1, 2)))
    positive = np.where(finite[:, None, None], np.maximum(values, 0), 0)
    high, wide = values.shape[1:]
    if max(high, wide) > cells:
        share = cells / max(high, wide)
        size = (max(1, round(wide * share)), max(1, round(high * share)))
        small = [Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BOX) for one in positive]
        positive = np.array([np.asarray(one, np.float64) for one in small]).reshape(-1, size[1], size[0])
    flat = positive.reshape(len(positive), math.prod(positive.shape[1:]))
    total = flat.sum(1, keepdims=True)
    has = finite & (total[:, 0] > 0)
    return np.sqrt(np.divide(flat, total, out=np.zeros_like(flat), where=has[:, None])), has


def group_points(
    points: ArrayLike,
    *,
    given: ArrayLike | None = None,
    most: int = MOST,
    draws: int = DRAWS,
    halves: int = HALVES,
    seed: int = 0,
) -> Groups:
    """Group points, such as the scores of images in units of their spread.

    Points are turned to their first `AXES` principal axes and cut into 2 to `most` groups by k-means. One cloud can be
    cut as well: so as many points are drawn from a normal distribution with the same spread along each axis, and from
    an even one with the same ends, `draws` times each, and cut the same way. The gap of a number of groups is how far
    the mean silhouette lies above its mean over these clouds, in their standard deviations: the lesser of the two
    kinds. Of the numbers whose gap is larger than any of any cloud, and whose groups have `SMALLEST` points each, the
    one is taken whose groups are found again best in random halves; where no gap is, that of the largest one.

    A continuum, such as objects of all sizes, can lie on a curve that is further from either cloud than these are from
    each other, and k-means cuts it in the same places again and again. What it lacks is a valley: a group's points that
    face another group, half of them or `FACING`, and as many of the other's that face it, are then spread evenly along
    the line between them, or become fewer to one end. `valley` says how often the dip of even spreads, which are the
    least clear of all that have one peak, is as large.

    Args:
        points: `(n, d)`; one with NaN or infinity has no group.
        given: `(n, e)`, numbers that say what is known to differ: what goes with them linearly is taken out first.
        most: groups at most, 2 or more.
        draws: clouds of each kind, and even spreads, that stand for chance, 2 or more.
        halves: random halves, 1 or more.
        seed: of all that is drawn: the same numbers give the same groups.

    Raises:
        InputError: a shape or number is wrong, or scikit-learn is missing.
    """
    values = _numbers(points, 2, "points", "(n, d)")
    for name, number, least in (("most", most, 2), ("draws", draws, 2), ("halves", halves, 1)):
        if number < least:
            raise InputError(f"{name} {number}: wanted is {least} or more")
    defined: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(1))
    known = None if given is None else _numbers(given, 2, "given", "(n, e)")
    if known is not None:
        if len(known) != len(values):
            raise InputError(f"given: {len(known)} beside {len(values)}; give one of each")
        defined &= np.isfinite(known).all(1)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(int(defined.sum()))[:LARGEST])
    everyone = _cloud(values[defined], None if known is None else known[defined], drawn)
    cloud = everyone[drawn]
    cuts = _cuts(cloud, most, seed)
    if not cuts:
        return _one_group(defined, everyone)
    chances = [_chance(cloud, of_kind, cuts, rng, most=most, draws=draws, seed=seed) for of_kind in (_normal, _even)]
    gaps = {count: min(one.gaps[count] for one in chances) for count in cuts}
    of_clouds = np.max([one.of_clouds for one in chances], axis=0)
    beyond = [number for number in cuts if gaps[number] > of_clouds.max()]
    tried = beyond or [max(cuts, key=lambda number: gaps[number])]
    again = {number: _again(cloud, cuts[number].labels, halves, seed) for number in tried}
    count = max(again, key=lambda number: again[number][0])
    found, (stability, found_again) = cuts[count], again[count]
    means = np.stack([cloud[found.labels == one].mean(0) for one in range(count)])
    of_all = np.square(everyone[:, None] - means).sum(2).argmin(1)  # of those that were not drawn: the nearest group
    of_all[drawn] = found.labels
    renumbered, place = _by_size(of_all), np.zeros(count, np.int64)
    place[renumbered] = of_all
    labels, silhouettes = np.full(len(values), WITHOUT), np.full(len(values), math.nan)
    labels[defined] = renumbered
    silhouettes[np.flatnonzero(defined)[drawn]] = found.silhouettes
    of_group = np.array([found.silhouettes[found.labels == one].mean() for one in range(count)])
    return Groups(
        labels=labels,
        order=np.flatnonzero(defined)[_typical(everyone, renumbered)],
        sizes=np.bincount(renumbered, minlength=count),
        silhouettes=silhouettes,
        of_group=of_group[place],
        separation=found.mean,
        by_chance=min(chances, key=lambda one: one.gaps[count]).usual[count],
        gap=gaps[count],
        chance=of_clouds,
        stability=stability,
        found_again=found_again[place],
        valley=_valleys(cloud, found.labels, draws, seed)[place],
        places=_places(everyone, defined),
    )


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
    numbers = np.sort(_numbers(values, 1, "values", "(n,)"))
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


def _valleys(cloud: Floats, labels: Labels, draws: int, seed: int) -> Floats:
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


class _Cut(NamedTuple):
    """Points in groups, the largest first, with their silhouettes."""

    labels: Labels
    silhouettes: Floats

    @property
    def mean(self) -> float:
        return float(self.silhouettes.mean())


def _layer_points(maps: ArrayLike, cells: int, what: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Return maps as points about their mean, as far from it as any layer's; and which have energy.

    Those without energy are at the mean.
    """
    points, has = map_points(maps, cells, what)
    away = np.where(has[:, None], points - (points[has].mean(0) if has.any() else 0), 0.0)
    spread = math.sqrt(np.square(away).sum() / max(1, int(has.sum())))
    return away / (spread or 1.0), has


def _numbers(given: ArrayLike, axes: int, what: str, shape: str) -> Floats:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: no array of numbers ({error}); give one of shape {shape}") from error
    if values.ndim != axes or 0 in values.shape[1:]:
        raise InputError(f"{what} of shape {values.shape}: wanted is {shape}")
    return values


def _cloud(values: Floats, given: Floats | None, drawn: Labels) -> Floats:
    """Return points along the first principal axes of those that are drawn, less what goes with what is given."""
    if not len(values):
        return values
    away = values - values[drawn].mean(0)
    if given is not None:
        of_given = given - given[drawn].mean(0)
        known = of_given @ _axes(of_given[drawn], min(AXES, len(drawn) // FEW_AN_AXIS))
        away = away - known @ np.linalg.lstsq(known[drawn], away[drawn], rcond=None)[0]
    cloud: Floats = away @ _axes(away[drawn], AXES)
    return cloud


def _axes(away: Floats, most: int) -> Floats:
    """Return the first principal axes of points about their mean, the widest first, `(d, axes)`; their signs are free.

    They are those of the smaller of the two products, of points or of axes, which has the same widths.
    """
    few = len(away) < away.shape[1]
    widths, vectors = np.linalg.eigh(away @ away.T if few else away.T @ away)
    first = np.argsort(-widths, kind="stable")[:most]
    first = first[widths[first] > widths.max(initial=0) * 1e-12]
    axes: Floats = away.T @ vectors[:, first] / np.sqrt(widths[first]) if few else vectors[:, first]
    return axes


def _normal(cloud: Floats, rng: np.random.Generator) -> Floats:
    """Return as many points of a normal distribution that is as wide along each axis."""
    drawn: Floats = rng.standard_normal(cloud.shape) * cloud.std(0)
    return drawn


def _even(cloud: Floats, rng: np.random.Generator) -> Floats:
    """Return as many points spread evenly between the ends along each axis."""
    drawn: Floats = rng.uniform(cloud.min(0), cloud.max(0), cloud.shape)
    return drawn


class _Chance(NamedTuple):
    """What one kind of clouds has: by number of groups the gaps to it and its mean; and each cloud's largest gap."""

    gaps: dict[int, float]
    usual: dict[int, float]
    of_clouds: Floats


def _chance(
    cloud: Floats,
    of_kind: Callable[[Floats, np.random.Generator], Floats],
    cuts: dict[int, _Cut],
    rng: np.random.Generator,
    *,
    most: int,
    draws: int,
    seed: int,
) -> _Chance:
    clouds = [_cuts(of_kind(cloud, rng), most, seed) for _ in range(draws)]
    usual = {count: _usual([each[count].mean for each in clouds if count in each]) for count in range(2, most + 1)}
    of_clouds = [max((_gap(cut, usual[n]) for n, cut in each.items()), default=-math.inf) for each in clouds]
    gaps = {count: _gap(cut, usual[count]) for count, cut in cuts.items()}
    return _Chance(gaps, {count: mean for count, (mean, _) in usual.items()}, np.array(of_clouds))


def _cuts(cloud: Floats, most: int, seed: int) -> dict[int, _Cut]:
    """Return points cut into each number of groups that leaves every one large enough."""
    if len(cloud) < FEWEST or not cloud.any():
        return {}
    distances, cuts = _distances(cloud), {}
    for count in range(2, min(most, len(cloud) // SMALLEST) + 1):
        labels = _by_size(_split(cloud, count, seed))
        sizes = np.bincount(labels)
        if len(sizes) == count and sizes.min() >= SMALLEST:
            cuts[count] = _Cut(labels, _silhouettes(distances, labels))
    return cuts


def _usual(separations: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of what clouds have."""
    return (
        (float(np.mean(separations)), float(np.std(separations, ddof=1))) if len(separations) > 1 else (math.nan, 0.0)
    )


def _gap(cut: _Cut, usual: tuple[float, float]) -> float:
    """Return how far a cut lies above the usual; of a number of groups that no two clouds have, nothing is known."""
    mean, deviation = usual
    return (cut.mean - mean) / deviation if deviation > 0 else -math.inf


def _split(cloud: Floats, count: int, seed: int) -> Labels:
    """Return at most `count` groups by k-means."""
    try:
        from sklearn.cluster import KMeans  # noqa: PLC0415  (heavy, and not needed by others)
    except ImportError as error:
        raise InputError("grouping needs scikit-learn: pip install scikit-learn") from error
    with warnings.catch_warnings():  # of fewer different points than groups there are fewer groups
        warnings.simplefilter("ignore")
        labels: Labels = KMeans(count, n_init=4, random_state=seed).fit_predict(cloud).astype(np.int64)
    return labels


def _by_size(labels: Labels) -> Labels:
    """Number groups by their sizes, the largest first; of equal ones by their first point."""
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    renumbered: Labels = place[inverse]
    return renumbered


def _distances(cloud: Floats) -> Floats:
    squares = np.square(cloud).sum(1)
    distances: Floats = np.sqrt(np.maximum(squares[:, None] + squares - 2 * cloud @ cloud.T, 0))
    np.fill_diagonal(distances, 0)
    return distances


def _distances_to(points: Floats, place: Floats) -> Floats:
    squares: Floats = np.square(points - place).sum(1)
    return squares


def _silhouettes(distances: Floats, labels: Labels) -> Floats:
    """Return each point's silhouette, (b - a) / max(a, b): a to the others of its own group, b to the nearest other.

    Source: Rousseeuw, Journal of Computational and Applied Mathematics 20, 1987.
    """
    members = labels[:, None] == np.arange(labels.max() + 1)
    sums, sizes = distances @ members, members.sum(0)
    own = np.arange(len(labels)), labels
    inside = sums[own] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[own] = math.inf
    outside = means.min(1)
    largest = np.maximum(inside, outside)
    silhouettes: Floats = np.divide(outside - inside, largest, out=np.zeros(len(labels)), where=largest > 0)
    return silhouettes


def _again(cloud: Floats, labels: Labels, halves: int, seed: int) -> tuple[float, Floats]:
    """Return how far as many groups of random halves agree with these, all and each of them."""
    from sklearn.metrics import adjusted_rand_score  # noqa: PLC0415  (as above)

    rng, count = np.random.default_rng(seed), int(labels.max()) + 1
    agreed, alike = [], []
    for _ in range(halves):
        rows = np.sort(rng.permutation(len(cloud))[: (len(cloud) + 1) // 2])
        found = _split(cloud[rows], count, int(rng.integers(2**31)))
        agreed.append(float(adjusted_rand_score(labels[rows], found)))
        before = (labels[rows, None] == np.arange(count)).astype(np.float64)
        after = (found[:, None] == np.arange(count)).astype(np.float64)
        common = before.T @ after
        either = before.sum(0)[:, None] + after.sum(0) - common
        of_half = np.divide(common, either, out=np.zeros_like(common), where=either > 0).max(1)
        alike.append(np.where(before.any(0), of_half, math.nan))  # a group may have nothing in a half
    shares = [of[~np.isnan(of)] for of in np.array(alike).T]
    found_again = [float(of.mean()) if len(of) else 0.0 for of in shares]
    return float(np.mean(agreed)), np.array(found_again)


def _typical(cloud: Floats, labels: Labels) -> Labels:
    """Return the points by group, in it the nearest to its mean first."""
    away = np.zeros(len(cloud))
    for one in range(labels.max(initial=-1) + 1):
        rows = labels == one
        away[rows] = np.square(cloud[rows] - cloud[rows].mean(0)).sum(1)
    order: Labels = np.lexsort((np.arange(len(cloud)), away.round(9), labels))
    return order


def _places(everyone: Floats, defined: NDArray[np.bool_]) -> Floats:
    """Return where the defined points lie along two axes; the signs of axes are free, and are fixed here."""
    two = np.zeros((len(everyone), 2))
    axes = everyone[:, :2]
    if axes.size:
        furthest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0)
        two[:, : axes.shape[1]] = axes * np.where(furthest < 0, -1.0, 1.0)
    places = np.full((len(defined), 2), math.nan)
    places[defined] = two
    return places


def _one_group(defined: NDArray[np.bool_], everyone: Floats) -> Groups:
    """Return all that is defined as one group, of which nothing else can be said."""
    nothing, none = np.full(len(defined), math.nan), math.nan
    order: Labels = np.flatnonzero(defined)
    count = min(1, len(order))
    return Groups(
        labels=np.where(defined, 0, WITHOUT),
        order=order,
        sizes=np.array([len(order)] * count, np.int64),
        silhouettes=nothing,
        of_group=np.full(count, none),
        separation=none,
        by_chance=none,
        gap=none,
        chance=np.empty(0),
        stability=none,
        found_again=np.full(count, none),
        valley=np.full(count, none),
        places=_places(everyone, defined),
    )
