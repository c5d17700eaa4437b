"""The figures' pictures: smaller than the printed ones, as WebP."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from analyses import printing
from analyses.artifacts import Drawn

WIDEST = 1440
"""Pixels: twice the width at which the page shows a figure, so that the smallest text is legible."""
QUALITY = 75


@dataclass(frozen=True)
class PagePicture:
    """A figure's picture: the bytes of a WebP file, and its size in pixels."""

    content: bytes
    width: int
    height: int


def small(item: Drawn) -> PagePicture:
    """Return a figure's PNG as WebP, at most `WIDEST` pixels wide and never enlarged."""
    with Image.open(io.BytesIO(item.files["png"])) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDEST:
        height = max(1, round(picture.height * WIDEST / picture.width))
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=QUALITY, method=2)
    return PagePicture(buffer.getvalue(), picture.width, picture.height)


def path(name: str) -> str:
    """Return where in the page's folder the picture of the figure `name` is."""
    return f"figures/{printing.slug(name)}.webp"
