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
QUALITY = 60
"""Of the WebP: its error is about the step between two bytes of a small map, and it takes two thirds of the room."""
ROUGH = 22
"""Quality of the pictures of images with maps of few cells alone."""
ALIGNED = 4
"""Tiles begin at multiples of so many pixels, as the blocks of the WebP do: else they would run into each other."""

Bytes = NDArray[np.uint8]


@dataclass
class TileSheet:
    """Maps of one image as tiles of one picture."""

    _numbers: dict[tuple[tuple[int, ...], bytes], int] = field(default_factory=dict)

    def add(self, root: Bytes) -> int:
        """Return the number of the tile of a small map's bytes (h, w)."""
        return self._numbers.setdefault((root.shape, root.tobytes()), len(self._numbers))

    def picture(self, quality: int = QUALITY) -> tuple[bytes, list[tuple[int, int, int, int]]]:
        """Return the sheet as WebP, and each tile's place in it: left, top, width and height; empty without tiles."""
        if not self._numbers:
            return b"", []
        tiles = [np.frombuffer(content, np.uint8).reshape(shape) for shape, content in self._numbers]
        blocks = [np.pad(tile, [(0, -side % ALIGNED) for side in tile.shape], mode="edge") for tile in tiles]
        corners, height = _shelves([(block.shape[0], block.shape[1]) for block in blocks])
        sheet = np.zeros((height, WIDTH), dtype=np.uint8)
        for block, (left, top) in zip(blocks, corners, strict=True):
            sheet[top : top + block.shape[0], left : left + block.shape[1]] = block
        buffer = io.BytesIO()
        Image.fromarray(sheet).convert("RGB").save(buffer, "webp", quality=quality, method=6)
        places = [(*corner, tile.shape[1], tile.shape[0]) for corner, tile in zip(corners, tiles, strict=True)]
        return buffer.getvalue(), places


def _shelves(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], int]:
    """Return left and top of each block, packed on shelves of blocks of one size, and the height of all shelves."""
    corners = [(0, 0)] * len(sizes)
    left = top = shelf = 0
    last: tuple[int, int] | None = None
    for number in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        high, wide = sizes[number]
        if (high, wide) != last or left + wide > WIDTH:
            top, left, shelf, last = top + shelf, 0, high, (high, wide)
        corners[number] = (left, top)
        left += wide
    return corners, top + shelf
