"""How wide the lines are that a map draws, in input pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # whose parts are imported when they are asked for
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.grids import Grid
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

FAINT = 0.05
"""Share of the map's maximum that a line stands out at least."""

ROUNDING = 1e-5
"""Share by which a line may be too short: rounding shall not decide on squares of cells."""

UNITS = 2**20
"""Weights are counted in such parts of the map's maximum, so that their sums are exact."""


@metric(label="Line width", direction="none", lower=0.0, upper=None, chance=None, unit="px", masks=False)
def line_width(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Median width of the map's ridges, across them at half of what they stand out, in input pixels.

    Rows, columns and both diagonals of the layer's grid are read as profiles. A profile's peaks are cut at their height
    less half their prominence, linear between cells, which gives the width a across. There the map is followed at right
    angles: it is a ridge where it stays above the cut for at least a to either side, b in all. The ridge's width is
    then `a b / sqrt(a^2 + b^2)`, which is exact for a straight line at any angle. The value is the median over all such
    places, each weighing what it stands out (at least 1/20 of the map's maximum): the strongest lines count, and a haze
    below them does not matter.

    No line is narrower than the grid's cells. Drawn lines of w pixels on cells of s measure within 0.7 s of w where w
    is 3 s and more, and a tenth of s at the median over places and angles; narrower ones from s to 2 s, as they fall on
    the cells. Lines along the frame have one side, and no width.

    Returns:
        Widths in pixels, above 0. NaN for a blank or undefined map, and for one without ridges: dots, patches, grids of
        fewer than three cells a side.

    Source: segcam; the prominence of peaks and their width are those of `scipy.signal.peak_widths`, which runs it.
    """
    cells = unit(maps, reference)
    step = (
        tuple(pixels / count for pixels, count in zip(reference.size, reference.grid, strict=True))
        if reference.placement is None
        else reference.placement.step
    )
    values = _widths(cells.flatten(0, 1).double().numpy(force=True), (step[0], step[1]))
    widths = torch.from_numpy(values).to(cells).view(cells.shape[:2])
    return widths.masked_fill(cells.flatten(2).isnan().any(2), torch.nan)


@dataclass(frozen=True, eq=False)
class Profiles:
    """The cells of a grid in the order of the profiles in one direction, each profile between two walls.

    Attributes:
        cells: the cell at each place; the number of cells, which no cell has, for a wall.
        places: the place of each cell.
        first: the place where the profile of each cell begins.
        last: and where it ends.
    """

    cells: Places
    places: Places
    first: Places
    last: Places


ACROSS = ((0, 1), (1, 0), (2, 3), (3, 2))
"""Directions of profiles, each with that at right angles."""


@lru_cache(maxsize=64)
def _profiles(grid: Grid) -> tuple[Profiles, ...]:
    """Return the profiles in each direction: rows and columns, and the diagonals."""
    rows, columns = grid
    numbers = np.arange(rows * columns).reshape(grid)
    diagonals, others = ([sheet.diagonal(k) for k in range(1 - rows, columns)] for sheet in (numbers, numbers[:, ::-1]))
    return tuple(map(_joined, (list(numbers), list(numbers.T), diagonals, others)))


def _joined(profiles: list[Places]) -> Profiles:
    count = sum(map(len, profiles))
    wall = np.array([count])
    cells = np.concatenate([wall, *(part for profile in profiles for part in (profile, wall))])
    places, first, last = (np.empty(count, np.int64) for _ in range(3))
    at = 1
    for profile in profiles:
        places[profile] = np.arange(at, at + len(profile))
        first[profile], last[profile] = at, at + len(profile) - 1
        at += len(profile) + 1
    return Profiles(cells, places, first, last)


def _widths(maps: Floats, step: tuple[float, float]) -> Floats:
    """Return the median width of the ridges of each of `(n, h, w)` maps; NaN where there are none."""
    n, grid = len(maps), (maps.shape[1], maps.shape[2])
    walled = np.concatenate([np.nan_to_num(maps.reshape(n, -1)), np.full((n, 1), np.inf)], 1)
    profiles = _profiles(grid)
    values = [np.take(walled, one.cells, axis=1).ravel() for one in profiles]  # in the order of memory, as ravel needs
    slope = math.hypot(*step)
    pixels = (step[1], step[0], slope, slope)
    found = [
        _ridges((profiles[one], values[one]), (profiles[other], values[other]), pixels[one], pixels[other])
        for one, other in ACROSS
    ]
    of, width, weight = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _medians(of, width, weight, n)


def _ridges(
    crossed: tuple[Profiles, Floats], beside: tuple[Profiles, Floats], pixels: float, along: float
) -> tuple[Places, Floats, Places]:
    """Find the ridges that profiles in one direction cross: of which map, how wide, and how far they stand out.

    Args:
        crossed: the profiles across, and the values on them, map by map, with infinity for a wall.
        beside: those at right angles.
        pixels: from one cell to the next across.
        along: the same at right angles.
    """
    (one, profiles), (other, turned) = crossed, beside
    _, found = scipy.signal.find_peaks(profiles, plateau_size=1)
    low, up = ((found["left_edges"] + found["right_edges"] + more) // 2 for more in (0, 1))
    heights = profiles[low]
    able = np.isfinite(heights) & (heights >= FAINT)  # no peak stands out more than it is high
    low, up = low[able], up[able]
    stands_out, left, right = scipy.signal.peak_prominences(profiles, low)
    clear = stands_out >= FAINT
    low, up, stands_out, bases = low[clear], up[clear], stands_out[clear], (left[clear], right[clear])
    across = scipy.signal.peak_widths(profiles, low, 0.5, (stands_out, *bases))[0] * pixels
    two = np.flatnonzero(up > low)  # the middles of an even plateau share its weight
    again = np.concatenate([np.arange(len(low)), two])
    weight = stands_out[again]
    weight[two] /= 2
    weight[len(low) :] /= 2
    of, place = np.divmod(np.concatenate([low, up[two]]), len(one.cells))
    cell, start = one.cells[place], of * len(other.cells)
    at, first, last = (start + places[cell] for places in (other.places, other.first, other.last))
    inner = (first < at) & (at < last)
    of, at, first, last, again, weight = (part[inner] for part in (of, at, first, last, again, weight))
    _, _, left, right = scipy.signal.peak_widths(turned, at, 0.5, (stands_out[again], first, last))
    across, length = across[again], (right - left) * along
    ridge = np.minimum(at - left, right - at) * along >= across * (1 - ROUNDING)
    across, length = across[ridge], length[ridge]
    return of[ridge], across * length / np.hypot(across, length), np.rint(weight[ridge] * UNITS).astype(np.int64)


def _medians(of: Places, values: Floats, weights: Places, n: int) -> Floats:
    """Return the weighted median, the lower one of two, of the values of each of n maps; NaN where it has none."""
    order = np.lexsort((values, of))
    of, values, weights = of[order], values[order], weights[order]
    until = weights.cumsum()
    first, end = np.searchsorted(of, np.arange(n)), np.searchsorted(of, np.arange(n), "right")
    some = end > first
    first, end = first[some], end[some]
    before = until[first] - weights[first]
    medians = np.full(n, np.nan)
    medians[some] = values[np.searchsorted(until, before + (until[end - 1] - before + 1) // 2)]
    return medians
