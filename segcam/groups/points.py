"""Maps and numbers as points of a cloud, without what goes with what is known of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from segcam.errors import InputError
from segcam.groups.kinds import Floats, Labels

CELLS = 16
"""The longer side of the maps that are compared, at most: where things lie, not their edges."""
AXES = 10
"""Principal axes along which things are grouped, and of what is given that are taken out, at most."""
FEW_AN_AXIS = 8
"""Things for each axis of what is given: with fewer, noise would be taken out with it."""


def map_points(maps: ArrayLike, cells: int = CELLS, what: str = "maps") -> tuple[Floats, NDArray[np.bool_]]:
    """Return maps as points whose distance is Hellinger's, `(n, d)`, and which have energy at all, `(n,)`.

    Args:
        maps: `(n, h, w)`.
        cells: the longer side, at most; larger grids are averaged over areas.
        what: their name, for errors.

    Raises:
        InputError: they are no such array of numbers, or `cells` is below 1.
    """
    values = numbers_of(maps, 3, what, "(n, h, w)")
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


def layer_points(maps: ArrayLike, cells: int, what: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Return maps as points about their mean, as far from it as any layer's; and which have energy.

    Those without energy are at the mean.
    """
    points, has = map_points(maps, cells, what)
    away = np.where(has[:, None], points - (points[has].mean(0) if has.any() else 0), 0.0)
    spread = math.sqrt(np.square(away).sum() / max(1, int(has.sum())))
    return away / (spread or 1.0), has


def numbers_of(given: ArrayLike, axes: int, what: str, shape: str) -> Floats:
    """Return an array of numbers as floats.

    Args:
        given: the numbers.
        axes: how many axes they must have.
        what: their name, for errors.
        shape: what is wanted, for errors.

    Raises:
        InputError: they are no numbers, or of another shape.
    """
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: no array of numbers ({error}); give one of shape {shape}") from error
    if values.ndim != axes or 0 in values.shape[1:]:
        raise InputError(f"{what} of shape {values.shape}: wanted is {shape}")
    return values


def cloud_of(values: Floats, given: Floats | None, drawn: Labels) -> Floats:
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


def places_of(everyone: Floats, defined: NDArray[np.bool_]) -> Floats:
    """Return where the defined points lie along two axes; the signs of axes are free, and are fixed here."""
    two = np.zeros((len(everyone), 2))
    axes = everyone[:, :2]
    if axes.size:
        furthest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0)
        two[:, : axes.shape[1]] = axes * np.where(furthest < 0, -1.0, 1.0)
    places = np.full((len(defined), 2), math.nan)
    places[defined] = two
    return places
