"""Grids: which rows and columns a layer's cells or tokens can have on an image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

from segcam.scoring.grids import Grid

COARSEST = 128
"""The largest stride with which a margin, cells that a network drops at the edges or pads inside, is thought of."""


MOST_PREFIX = 16
"""As many class and register tokens may come before the image's own."""


class Fit(IntEnum):
    """How well a grid covers an image, see `fit`."""

    NONE = 0
    UNEVEN = 1
    MARGIN = 2
    STRIDE = 3
    EXACT = 4


@lru_cache(maxsize=4096)
def fit(grid: Grid, size: Grid) -> Fit:
    """Return how well a grid of square cells fits an image.

    `EXACT`: both sides have the same number of pixels a cell, without a rest. `STRIDE`: one whole number of pixels a
    cell rounds both sides down, `floor(side / stride)`, or both up, as strided convolutions, pooling and patches do.
    `MARGIN`: any other number does, or rounds one side up and the other down; or both axes lack about the same number
    of pixels, as behind unpadded convolutions; or the image was padded inside, to multiples of a power of two.
    `UNEVEN`: cells are up to twice as long as they are wide.

    >>> fit((24, 24), (96, 96)).name, fit((5, 7), (37, 51)).name, fit((24, 96), (96, 96)).name
    ('EXACT', 'STRIDE', 'NONE')
    """
    if min(grid) < 1:
        return Fit.NONE
    if size[0] * grid[1] == size[1] * grid[0]:
        return Fit.EXACT
    if any(grid in of_stride(stride, size) for stride in range(1, max(size) + 1)):
        return Fit.STRIDE
    if _has_margin(grid, size):
        return Fit.MARGIN
    length, width = (side / cells for side, cells in zip(size, grid, strict=True))
    return Fit.UNEVEN if max(length, width) <= 2 * min(length, width) else Fit.NONE


def _has_margin(grid: Grid, size: Grid) -> bool:
    less = [side / (cells + 1) for side, cells in zip(size, grid, strict=True)]
    more = [side / (cells - 1) if cells > 1 else math.inf for side, cells in zip(size, grid, strict=True)]
    padded = [[-(-side // block) * block for side in size] for block in (16, 32, 64)]
    if max(less) < min(more) or any(rows * grid[1] == columns * grid[0] for rows, columns in padded):
        return True
    for stride in range(1, COARSEST + 1):
        margins = [side - stride * cells for side, cells in zip(size, grid, strict=True)]
        small = all(0 < 2 * margin < side for margin, side in zip(margins, size, strict=True))
        if small and abs(margins[0] - margins[1]) < stride:
            return True
    return False


def of_stride(stride: int, size: Grid) -> tuple[Grid, ...]:
    """Return the grids of cells of a stride: rounded up, as padded convolutions do, and down, as plain patches do."""
    up = (math.ceil(size[0] / stride), math.ceil(size[1] / stride))
    down = (size[0] // stride, size[1] // stride)
    return (up, down) if down != up and min(down) > 0 else (up,)


def of_count(cells: int, size: Grid) -> list[Grid]:
    """Return the grids with just so many cells that one stride gives.

    >>> of_count(96, (128, 192)), of_count(36, (100, 100)), of_count(17, (96, 96))
    ([(8, 12)], [(6, 6)], [])
    """
    pairs = [(rows, cells // rows) for rows in range(1, cells + 1) if cells % rows == 0]
    return [grid for grid in pairs if fit(grid, size) >= Fit.STRIDE]


def of_tokens(tokens: int, size: Grid, stride: int) -> Grid | None:
    """Return the grid of tokens of a known stride, before which class and register tokens may come; None without one.

    >>> of_tokens(97, (128, 192), 16), of_tokens(36, (100, 100), 16), of_tokens(17, (96, 96), 16)
    ((8, 12), (6, 6), None)
    """
    left = {tokens - rows * columns: (rows, columns) for rows, columns in of_stride(stride, size)}
    return next((left[n] for n in sorted(left) if 0 <= n <= min(MOST_PREFIX, left[n][0] * left[n][1])), None)


def best(grids: Iterable[Grid], size: Grid) -> Grid | None:
    """Return the grid that fits an image best; None where none does, or several do as well."""
    ranked = sorted(((fit(grid, size), grid) for grid in set(grids)), reverse=True)
    ranked = [pair for pair in ranked if pair[0] is not Fit.NONE]
    if not ranked or (len(ranked) > 1 and ranked[0][0] is ranked[1][0]):
        return None
    return ranked[0][1]
