"""Groups of maps or of points: as many as are further apart than by chance, or one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segcam.errors import InputError
from segcam.groups.chance import chance_of, even, normal
from segcam.groups.cuts import by_size, cuts_of, found_in_halves, typical_first
from segcam.groups.found import WITHOUT, Groups
from segcam.groups.kinds import Floats, Labels
from segcam.groups.points import CELLS, cloud_of, layer_points, map_points, numbers_of, places_of
from segcam.groups.valley import valleys

MOST = 6
"""Groups that are tried, at most."""
LARGEST = 500
"""Things that groups are made of: of more, as many are drawn, and the others go to the group with the nearest mean."""
DRAWS = 39
"""Clouds of each kind that stand for chance, so that beyond all of them is beyond 1 in 40."""
HALVES = 20
"""Random halves for the stability."""


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
    points, has = zip(*(layer_points(layer, cells, "maps") for layer in layers), strict=True)
    if len(counts := {len(one) for one in points}) > 1:
        raise InputError(f"maps of {', '.join(map(str, sorted(counts)))} images: give each layer's of the same ones")
    any_map = np.any(has, axis=0)
    joined = np.where(any_map[:, None], np.hstack(points), math.nan)
    masks = None if given is None else map_points(given, cells, "given")[0]
    return group_points(joined, given=masks, most=most, draws=draws, halves=halves, seed=seed)


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
    values = numbers_of(points, 2, "points", "(n, d)")
    for name, number, least in (("most", most, 2), ("draws", draws, 2), ("halves", halves, 1)):
        if number < least:
            raise InputError(f"{name} {number}: wanted is {least} or more")
    defined: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(1))
    known = None if given is None else numbers_of(given, 2, "given", "(n, e)")
    if known is not None:
        if len(known) != len(values):
            raise InputError(f"given: {len(known)} beside {len(values)}; give one of each")
        defined &= np.isfinite(known).all(1)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(int(defined.sum()))[:LARGEST])
    everyone = cloud_of(values[defined], None if known is None else known[defined], drawn)
    cloud = everyone[drawn]
    cuts = cuts_of(cloud, most, seed)
    if not cuts:
        return _one_group(defined, everyone)
    chances = [chance_of(cloud, of_kind, cuts, rng, most=most, draws=draws, seed=seed) for of_kind in (normal, even)]
    gaps = {count: min(one.gaps[count] for one in chances) for count in cuts}
    of_clouds = np.max([one.of_clouds for one in chances], axis=0)
    beyond = [number for number in cuts if gaps[number] > of_clouds.max()]
    tried = beyond or [max(cuts, key=lambda number: gaps[number])]
    again = {number: found_in_halves(cloud, cuts[number].labels, halves, seed) for number in tried}
    count = max(again, key=lambda number: again[number][0])
    found, (stability, found_again) = cuts[count], again[count]
    means = np.stack([cloud[found.labels == one].mean(0) for one in range(count)])
    of_all = np.square(everyone[:, None] - means).sum(2).argmin(1)  # of those that were not drawn: the nearest group
    of_all[drawn] = found.labels
    renumbered, place = by_size(of_all), np.zeros(count, np.int64)
    place[renumbered] = of_all
    labels, silhouettes = np.full(len(values), WITHOUT), np.full(len(values), math.nan)
    labels[defined] = renumbered
    silhouettes[np.flatnonzero(defined)[drawn]] = found.silhouettes
    of_group = np.array([found.silhouettes[found.labels == one].mean() for one in range(count)])
    return Groups(
        labels=labels,
        order=np.flatnonzero(defined)[typical_first(everyone, renumbered)],
        sizes=np.bincount(renumbered, minlength=count),
        silhouettes=silhouettes,
        of_group=of_group[place],
        separation=found.mean,
        by_chance=min(chances, key=lambda one: one.gaps[count]).usual[count],
        gap=gaps[count],
        chance=of_clouds,
        stability=stability,
        found_again=found_again[place],
        valley=valleys(cloud, found.labels, draws, seed)[place],
        places=places_of(everyone, defined),
    )


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
        places=places_of(everyone, defined),
    )
