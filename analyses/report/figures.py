"""The figures' pictures: smaller than the printed ones, as WebP."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageSequence

from analyses import palette, printing
from analyses.artifacts import MOVING, Drawn

WIDEST = 1440
"""Pixels: twice the width at which the page shows a figure, so that the smallest text is legible."""
QUALITY = 60
FRAMES = 18  # of pictures that are seen for a third of a second
COLOURS, MOST_COLOURS = 96, 30_000
"""Of charts: what they are brought to, and the most of what is tried."""
MOST_OFF = 8
"""Levels of a channel, of 255, by which a plain area of a chart may be off: no difference that a reader sees."""


@dataclass(frozen=True)
class PagePicture:
    """A figure's picture: the bytes of a WebP file, and its size in pixels.

    Attributes:
        frames: of a figure that moves all of its pictures in one file, row by row, as a page from disk can take no
            animation apart.
    """

    content: bytes
    width: int
    height: int
    frames: Frames | None = None


@dataclass(frozen=True)
class Frames:
    """Pictures of one size in one file: how many, in how many columns."""

    content: bytes
    count: int
    columns: int


def small(item: Drawn, widest: int = WIDEST) -> PagePicture:
    """Return a figure's PNG as WebP, at most `widest` pixels wide and never enlarged."""
    with Image.open(io.BytesIO(item.files["png"])) as opened:
        picture = opened.convert("RGB")
    if picture.width > widest:
        height = max(1, round(picture.height * widest / picture.width))
        picture = picture.resize((widest, height), Image.Resampling.LANCZOS)
    frames = _frames(item.files[MOVING]) if MOVING in item.files else None
    return PagePicture(_webp(picture), picture.width, picture.height, frames)


def _frames(moving: bytes) -> Frames:
    with Image.open(io.BytesIO(moving)) as opened:
        pictures = [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)]
    width, height = pictures[0].size
    columns = math.ceil(math.sqrt(len(pictures)))
    sheet = Image.new("RGB", (width * columns, height * math.ceil(len(pictures) / columns)), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return Frames(_saved(sheet, quality=FRAMES, method=6), len(pictures), columns)


def _webp(picture: Image.Image) -> bytes:
    """Return a picture as WebP: lossy, or where that is smaller, as of most charts, in few colours without loss."""
    lossy = _saved(picture, quality=QUALITY, method=6)
    if picture.getcolors(MOST_COLOURS) is None:
        return lossy  # of maps: it takes seconds, and is larger
    few = palette.reduced(picture, COLOURS)
    if few.off > MOST_OFF:
        return lossy
    return min(lossy, _saved(few.picture, lossless=True, quality=50, method=2), key=len)


def _saved(picture: Image.Image, **how: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "webp", **how)
    return buffer.getvalue()


def frames_path(name: str) -> str:
    """Return where in the page's folder the frames of the figure `name` are."""
    return f"figures/{printing.slug(name)}-frames.webp"


def path(name: str) -> str:
    """Return where in the page's folder the picture of the figure `name` is."""
    return f"figures/{printing.slug(name)}.webp"
