"""A page of pictures in blocks of columns and rows, drawn at the printed size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analyses import printing
from analyses.plots import style
from segcam.draw import display
from segcam.draw.display import Display

LEFT, RIGHT, GAP = 0.28, 0.03, 0.035  # inches, as all sizes here
TITLE, LINE, ABSENT, BETWEEN = 0.24, 0.105, 0.2, 0.1
TRANSFORMER_COLUMNS = 8  # blocks of a transformer beside each other, at most
WIDEST = 1.4
TITLE_WIDTH, KEY_WIDTH = 90, 100  # characters
CHARACTERS = 20  # of the smallest text, an inch
OUTLINE = "#{:02x}{:02x}{:02x}".format(*display.MASK)
TICKS = (0, 0.1, 0.5, 1)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tile:
    """A picture, (H, W, 3) in 0..1, what is drawn on it, and the lines of text under it.

    `outline` holds lines of (x, y), and `mark` a point, as fractions of width and height; `display` is how a map is
    shown.
    """

    picture: Floats
    outline: Sequence[Floats]
    mark: tuple[float, float] | None
    text: str
    display: Display | None = None


@dataclass(frozen=True)
class Row:
    """Tiles beside each other, one a column, None for a gap; in a row without tiles only the note is written."""

    label: str
    tiles: Sequence[Tile | None]
    note: str = ""

    @cached_property
    def lines(self) -> int:
        """The most lines of text under a tile."""
        return max((tile.text.count("\n") + 1 for tile in self.tiles if tile and tile.text), default=0)

    @cached_property
    def aspect(self) -> float:
        """The tiles' height over their width."""
        return max((tile.picture.shape[0] / tile.picture.shape[1] for tile in self.tiles if tile), default=0.0)


@dataclass(frozen=True)
class Block:
    """Rows under common heads, one a column; the first column, of the inputs, has the head ''."""

    heads: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Page:
    """What one figure shows; `columns` is how many there is room for, `key` the words beside outline, ring, nothing."""

    title: str
    blocks: Sequence[Block]
    columns: int
    key: Sequence[str]

    @property
    def displays(self) -> list[Display]:
        """How its maps are shown."""
        tiles = (tile for block in self.blocks for row in block.rows for tile in row.tiles)
        return [tile.display for tile in tiles if tile and tile.display]


def cut(text: str, length: int) -> str:
    """Return `text`, or its first characters and an ellipsis where it is longer than `length`.

    >>> cut("basset_hound_44", 15), cut("basset_hound_44", 10)
    ('basset_hound_44', 'basset_ho…')
    """
    return text if len(text) <= length else text[: length - 1] + "…"


class _Pens:
    """Draws tiles; outlines, frames and marks are gathered, so that each kind is one artist however many there are."""

    def __init__(self, axes: Axes, columns: int) -> None:
        self.axes = axes
        self.pitch = min((style.WIDTH - LEFT - RIGHT) / columns, WIDEST)
        self.side = self.pitch - GAP
        self._outlines: list[Floats] = []
        self._frames: list[list[tuple[float, float]]] = []
        self._marks: list[tuple[float, float]] = []

    def left(self, column: int) -> float:
        return LEFT + column * self.pitch

    def height(self, row: Row) -> float:
        return self.side * row.aspect + 0.035 + LINE * row.lines if row.tiles else ABSENT

    def tile(self, tile: Tile, column: int, top: float) -> None:
        left, width = self.left(column), self.side
        height = width * tile.picture.shape[0] / tile.picture.shape[1]
        extent = (left, left + width, top + height, top)
        self.axes.imshow((255 * tile.picture).round().astype(np.uint8), extent=extent, aspect="auto", zorder=1)
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height), (left, top)]
        self._frames.append(corners)
        size, corner = np.array([width, height]), np.array([left, top])
        self._outlines += [line * size + corner for line in tile.outline]
        if tile.mark:
            self._marks.append((left + width * tile.mark[0], top + height * tile.mark[1]))
        for number, text in enumerate(tile.text.split("\n")):
            self.axes.text(left + width / 2, top + height + 0.09 + LINE * number, printing.plain(text), **_small())

    def finish(self) -> None:
        self.axes.add_collection(LineCollection(self._frames, colors="#bbbbbb", linewidths=0.4, zorder=2))
        lines = LineCollection(self._outlines, colors=OUTLINE, linewidths=0.5, zorder=3)
        self.axes.add_collection(lines)
        if self._marks:
            x, y = zip(*self._marks, strict=True)
            self.axes.add_line(_ring(list(x), list(y)))


def draw(page: Page) -> Figure:
    """Draw the page: its only axes with pictures is measured in inches, from the top left corner."""
    figure = style.figure(1.0)
    axes = figure.add_axes((0, 0, 1, 1))
    pens = _Pens(axes, page.columns)
    axes.text(LEFT, 0.13, printing.plain(cut(page.title, TITLE_WIDTH)), va="center", weight="bold")
    top = TITLE
    for block in page.blocks:
        heads = [printing.plain(head, round(CHARACTERS * pens.side)) for head in block.heads]
        top += LINE * max(head.count("\n") + 1 for head in heads)
        for column, head in enumerate(heads):
            axes.text(pens.left(column) + pens.side / 2, top - 0.03, head, **_small())
        for row in block.rows:
            _draw_row(pens, row, top)
            top += pens.height(row)
        top += BETWEEN
    pens.finish()
    key = [printing.plain(text, KEY_WIDTH) for text in page.key]
    foot = max(0.42, LINE * sum(text.count("\n") + 1 for text in key)) + 0.1
    height = math.ceil(100 * (top + foot)) / 100  # whole pixels
    figure.set_size_inches(style.WIDTH, height)
    axes.set(xlim=(0, style.WIDTH), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    _draw_key(figure, key, height, foot)
    return figure


def _draw_row(pens: _Pens, row: Row, top: float) -> None:
    if not row.tiles:
        left = pens.left(0)
        size = (style.WIDTH - RIGHT - GAP - left, ABSENT - 0.05)
        pens.axes.add_patch(Rectangle((left, top), *size, color="#f0f0f0"))
        pens.axes.text(left + 0.05, top + ABSENT / 2 - 0.025, printing.plain(row.note), va="center", size=style.SMALL)
        return
    middle = top + pens.side * row.aspect / 2
    label = "\n".join(printing.plain(line) for line in row.label.split("\n"))
    pens.axes.text(0.03, middle, label, rotation=90, ha="left", va="center", ma="center", size=style.SMALL)
    for column, tile in enumerate(row.tiles):
        if tile:
            pens.tile(tile, column, top)


def _draw_key(figure: Figure, key: Sequence[str], height: float, foot: float) -> None:
    """Draw the colour bar and what the signs mean along the foot of the page."""
    box = (LEFT / style.WIDTH, (foot / 2 + 0.03) / height, 1.3 / style.WIDTH, 0.09 / height)
    bar = figure.add_axes(box)
    steps = np.linspace(0, 1, 256)[None]
    bar.imshow(display.blended(steps, display.dimmed(None, (1, 256))), extent=(0, 1, 0, 1), aspect="auto")
    bar.set(xlabel=f"map / its {display.UPPER}th percentile", yticks=[])
    bar.set_xticks([tick**display.GAMMA for tick in TICKS], [f"{tick:g}" for tick in TICKS])
    bar.tick_params(pad=1.5)
    bar.xaxis.labelpad = 1
    line = Line2D([], [], color=OUTLINE, linewidth=0.9)
    nothing = [Line2D([], [], linestyle="none") for _ in key[2:]]
    figure.legend(
        [line, _ring([], []), *nothing],
        key,
        loc="center left",
        bbox_to_anchor=((LEFT + 1.5) / style.WIDTH, foot / 2 / height),
        frameon=False,
        handlelength=1.6,
        labelspacing=0.25,
        borderpad=0,
    )


def _ring(x: list[float], y: list[float]) -> Line2D:
    ring = Line2D(x, y, linestyle="none", marker="o", markersize=3.6, markerfacecolor="none", zorder=4)
    ring.set(markeredgecolor="black", markeredgewidth=0.7, path_effects=style.halo(1.8))
    return ring


def _small() -> dict[str, Any]:
    return {"ha": "center", "va": "baseline", "size": style.SMALL, "linespacing": 1.05}
