"""All maps of an image in one picture, on their own grids of at most 64 cells a side; equal maps share a tile."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELLS = 64
"""The longer side of a stored map, at most; larger grids are averaged over areas."""
WIDTH = 512
LOSSY = 60
"""Quality of pictures of maps that are looked at small alone."""

Bytes = NDArray[np.uint8]


@dataclass
class TileSheet:
    """Maps of one image as tiles of one picture."""

    _numbers: dict[tuple[tuple[int, ...], bytes], int] = field(default_factory=dict)

    def add(self, root: Bytes) -> int:
        """Return the number of the tile of a small map's bytes (h, w)."""
        return self._numbers.setdefault((root.shape, root.tobytes()), len(self._numbers))

    def picture(self, *, lossless: bool = True) -> tuple[bytes, list[tuple[int, int, int, int]]]:
        """Return the sheet as WebP, and each tile's place in it: left, top, width and height; empty without tiles."""
        if not self._numbers:
            return b"", []
        tiles = [np.frombuffer(content, np.uint8).reshape(shape) for shape, content in self._numbers]
        places, height = _shelves([(tile.shape[0], tile.shape[1]) for tile in tiles])
        sheet = np.zeros((height, WIDTH), dtype=np.uint8)
        for tile, (left, top, width, high) in zip(tiles, places, strict=True):
            sheet[top : top + high, left : left + width] = tile
        buffer = io.BytesIO()
        quality = 75 if lossless else LOSSY
        Image.fromarray(sheet).convert("RGB").save(buffer, "webp", lossless=lossless, quality=quality, method=4)
        return buffer.getvalue(), places


def _shelves(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int, int, int]], int]:
    """Return the place of each tile, packed on shelves of tiles of one size, and the height of all shelves."""
    places = [(0, 0, 0, 0)] * len(sizes)
    left = top = shelf = 0
    last: tuple[int, int] | None = None
    for number in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        high, wide = sizes[number]
        if (high, wide) != last or left + wide > WIDTH:
            top, left, shelf, last = top + shelf, 0, high, (high, wide)
        places[number] = (left, top, wide, high)
        left += wide
    return places, top + shelf
