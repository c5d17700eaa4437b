"""Maps small: on their own grids of at most 64 cells a side, in 128 steps, all of an image in one picture."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcam.draw.display import Display

CELLS = 64
"""The longer side of a stored map, at most; larger grids are averaged over areas."""
STEPS = 128
"""Steps from zero to a map's maximum: finer ones are not seen, and take half as much room again."""
WIDTH = 512
BLANK, UNDEFINED = -1, -2
"""In place of a tile: the map is zero everywhere, or has values that are no numbers."""

Bytes = NDArray[np.uint8]
Values = NDArray[np.floating] | Bytes


@dataclass
class TileSheet:
    """Maps of one image as tiles of one picture; equal maps share a tile."""

    _numbers: dict[tuple[tuple[int, ...], bytes], int] = field(default_factory=dict)
    _uppers: list[float] = field(default_factory=list)

    def add(self, values: Values) -> int:
        """Return the number of the tile of a map (h, w), or `BLANK` or `UNDEFINED`."""
        if not np.isfinite(values).all():
            return UNDEFINED
        grey = quantised(values)
        if not grey.any():
            return BLANK
        number = self._numbers.setdefault((grey.shape, grey.tobytes()), len(self._numbers))
        if number == len(self._uppers):  # of the whole map, as the figures have it, over what has the highest byte
            self._uppers.append(float(f"{Display.of(values).upper / float(_averaged(values).max()):.4g}"))
        return number

    def picture(self) -> tuple[bytes, list[tuple[int, int, int, int, float]]]:
        """Return the sheet as lossless WebP, and each tile's place in it; empty without tiles.

        A place is left, top, width and height, and the map's upper end over the value that has the highest byte.
        """
        if not self._numbers:
            return b"", []
        tiles = [np.frombuffer(content, np.uint8).reshape(shape) for shape, content in self._numbers]
        places, height = _shelves([(tile.shape[0], tile.shape[1]) for tile in tiles])
        sheet = np.zeros((height, WIDTH), dtype=np.uint8)
        for tile, (left, top, width, high) in zip(tiles, places, strict=True):
            sheet[top : top + high, left : left + width] = tile
        buffer = io.BytesIO()
        Image.fromarray(sheet).convert("RGB").save(buffer, "webp", lossless=True, quality=75, method=4)
        ends = zip(places, self._uppers, strict=True)
        return buffer.getvalue(), [(left, top, wide, high, upper) for (left, top, wide, high), upper in ends]


def quantised(values: Values) -> Bytes:
    """Return the positive part of a map as bytes: averaged to `CELLS`, over its maximum, in `STEPS` from 0 to 254.

    A map without a positive value is zero everywhere; one with any has a byte of 254. Bytes made so stay as they are.
    """
    small = _averaged(values)
    peak = small.max()
    if not peak > 0:
        return np.zeros(small.shape, dtype=np.uint8)
    return (2 * np.rint((STEPS - 1) * (small.astype(np.float64) / float(peak)))).astype(np.uint8)


def _averaged(values: Values) -> NDArray[np.float32]:
    """Return the positive part of a map, averaged to `CELLS`."""
    small = np.maximum(np.asarray(values, dtype=np.float32), 0)
    high, wide = small.shape
    if max(high, wide) > CELLS:
        share = CELLS / max(high, wide)
        size = (max(1, round(wide * share)), max(1, round(high * share)))
        small = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BOX))
    return small


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
