"""Maps as bytes in few arrays: a file with an array a map spends more on names than on maps of few cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAYS = NAMES, TILES, SHAPES, NUMBERS, TOPS = ("map_names", "tiles", "tile_shapes", "tile_numbers", "tops")
"""The arrays: the maps' names; the bytes of all tiles, each once, one behind the other; the rows and columns of each;
the tile of each map and image; and the value of a byte of 255, NaN for an undefined map."""

Coded = tuple[NDArray[np.uint8], float]
"""A map: a cell is `top * (byte / 255) ** 2`, and the top."""


def pack(maps: Mapping[str, Sequence[Coded]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of maps by name, an item an image; those of one name and image have one grid."""
    numbers: dict[tuple[tuple[int, ...], bytes], int] = {}
    tiles = [
        [numbers.setdefault((root.shape, root.tobytes()), len(numbers)) for root, _ in of_images]
        for of_images in maps.values()
    ]
    return {
        NAMES: np.array(list(maps), dtype=np.str_),
        TILES: np.frombuffer(b"".join(content for _, content in numbers), np.uint8),
        SHAPES: np.array([shape for shape, _ in numbers], np.uint16).reshape(-1, 2),
        NUMBERS: np.array(tiles, np.uint16).reshape(len(maps), -1),
        TOPS: np.array([[top for _, top in of_images] for of_images in maps.values()], np.float32).reshape(
            len(maps), -1
        ),
    }


def unpack(file: Any) -> dict[str, NDArray[np.float32]]:
    """Return the maps of an opened file `(images, rows, columns)` by name; none where it packs none."""
    if NAMES not in file.files:
        return {}
    shapes, tiles = file[SHAPES].astype(int), file[TILES]
    ends = [0, *np.cumsum(shapes.prod(axis=1)).tolist()]
    roots = [tiles[a:b].reshape(shape) / np.float32(255) for (a, b), shape in zip(pairwise(ends), shapes, strict=True)]
    out = {}
    for name, of_map, tops in zip(file[NAMES], file[NUMBERS], file[TOPS], strict=True):
        shape = max((roots[number].shape for number in of_map), key=lambda one: one[0] * one[1])
        values = [
            np.full(shape, np.nan) if np.isnan(top) else top * roots[number] ** 2
            for number, top in zip(of_map, tops, strict=True)
        ]
        out[str(name)] = np.stack(values).astype(np.float32)
    return out


def names(file: Any) -> list[str]:
    """Return the names of all maps of an opened file, packed or not."""
    packed = map(str, file[NAMES]) if NAMES in file.files else ()
    return [*(name for name in file.files if name.count("|") >= 2), *packed]
