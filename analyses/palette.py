"""Pictures in few colours, as charts are published and shown: plain areas keep theirs, however many there are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RUN = 8
"""Equal pixels in a row or column that make a plain area."""
NEAR = 6.0
"""Levels of a channel, of 255, by which colours of plain areas may differ that become one."""

Codes = NDArray[np.uint32]


class Reduced(NamedTuple):
    """A picture of few colours, and by how many levels of a channel a colour of its plain areas is off at most."""

    picture: Image.Image
    off: int


def reduced(picture: Image.Image, colours: int) -> Reduced:
    """Return a picture in at most so many colours, without dithering; the same each time.

    Plain areas, as of a key, a cell or a step of a colour bar, get theirs first, up to three quarters of what there
    is; where these are more, near ones become that of the largest area. What is left goes to edges, by a median cut:
    alone it would give most to what has most pixels, and make a bar's rare end another colour.

    Args:
        picture: RGB.
        colours: 2 to 256.
    """
    codes = packed(picture)
    plain, counts = _plain(codes)
    kept = _cover(_parts(plain[np.argsort(-counts, kind="stable")]), colours * 3 // 4)
    left = colours - len(kept)
    cut = picture.quantize(left, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    table = np.concatenate([kept, np.array(cut.getpalette()).reshape(-1, 3)[:left]]).astype(np.uint8)
    known = Image.new("P", (1, 1))
    known.putpalette(table.tobytes())
    coded = np.array(picture.quantize(palette=known, dither=Image.Dither.NONE))
    off = 0
    if plain.size:  # Pillow takes a near one, which need not be the nearest
        apart = np.abs(_parts(plain)[:, None] - table.astype(np.int32)).max(2)
        at = np.minimum(np.searchsorted(plain, codes), plain.size - 1)
        there = plain[at] == codes
        coded[there] = apart.argmin(1).astype(np.uint8)[at[there]]
        off = int(apart.min(1).max())
    out = Image.fromarray(coded, "P")
    out.putpalette(table.tobytes())
    return Reduced(out, off)


def packed(picture: Image.Image) -> Codes:
    """Return each pixel's colour as one number, (rows, columns)."""
    pixels = np.asarray(picture).astype(np.uint32)
    return pixels @ np.array([1 << 16, 1 << 8, 1], np.uint32)


def _parts(codes: Codes) -> NDArray[np.int32]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.int32)


def _plain(codes: Codes) -> tuple[Codes, NDArray[np.int64]]:
    """Return the colours of plain areas, in order, and how many runs of `RUN` pixels each has."""
    found = []
    for lines in (codes, codes.T):
        starts = lines.shape[1] - RUN + 1
        if starts > 0:
            equal = lines[:, 1:] == lines[:, :-1]
            runs = np.logical_and.reduce([equal[:, at : at + starts] for at in range(RUN - 1)])
            found.append(lines[:, :starts][runs])
    return np.unique(np.concatenate([np.zeros(0, np.uint32), *found]), return_counts=True)


def _cover(colours: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """Return at most so many of the colours (n, 3), the first ones first, from which no other is far."""
    near = NEAR
    while len(kept := _apart(colours, near, most)) > most:
        near *= 1.5
    return kept


def _apart(colours: NDArray[np.int32], near: float, most: int) -> NDArray[np.int32]:
    """Return those of the colours that no earlier one is near; more than `most` are not sought."""
    kept: list[NDArray[np.int32]] = []
    left = colours
    while len(left) and len(kept) <= most:
        kept.append(left[0])
        left = left[np.abs(left - left[0]).max(1) > near]
    return np.array(kept, np.int32).reshape(-1, 3)
