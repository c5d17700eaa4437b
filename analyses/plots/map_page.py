"""A page of pictures in blocks of columns and rows, drawn at the printed size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from analyses import printing
from analyses.plots import style
from segcam.draw import display
from segcam.draw.display import Display

LEFT, RIGHT, GAP = 0.28, 0.03, 0.035  # inches, as all sizes here
TITLE, LINE, ABSENT, BETWEEN = 0.24, 0.105, 0.2, 0.1
STRIP, STRIP_PAD = 0.55, 0.06
TRANSFORMER_COLUMNS = 8  # blocks of a transformer beside each other, at most
WIDEST = 1.4
TITLE_WIDTH, KEY_WIDTH = 90, 88  # characters, over both columns of a journal
BAR_ROOM = 1.5  # of the colour bar, beside what the signs mean
CHARACTERS = 20  # of the smallest text, an inch
TICKS = (0, 0.1, 0.5, 1)
ABOVE, BELOW = "#0072b2", "#d55e00"  # of bars
BAR, NUMBER = 0.56, 0.3  # of a tile's width: the room of a bar at most; inches: that of its number

Floats = NDArray[np.float64]
Sign = Literal["outline", "ring", "tint", "bar", "hollow", "filled", "hit", "false alarm", "miss", "border", ""]
"""What an entry of the key explains; '' for words alone."""
Key = Sequence[tuple[Sign, str]]


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


OUTLINE, TINT = _hex(display.MASK), _hex(display.PREDICTED)
SWATCHES: dict[str, str] = {"hit": "#009e73", "false alarm": "#d55e00", "miss": "#cc79a7", "border": "#808080"}
"""Colours of pixels by what the prediction makes of them, and of those that count for neither."""


@dataclass(frozen=True)
class Bar:
    """A score as a bar from `null`, on a scale from `low` to `high`."""

    value: float
    low: float
    high: float
    null: float


@dataclass(frozen=True)
class Tile:
    """A picture and what is drawn on and under it.

    Attributes:
        picture: `(H, W, 3)` in 0..1.
        outline: lines of (x, y), as fractions of width and height.
        mark: where a ring is drawn, likewise.
        text: under the picture; beside the bar where there is one.
        display: how a map is shown.
        reason: words on the picture, where there is no map.
        bar: the map's score.
    """

    picture: Floats
    outline: Sequence[Floats]
    mark: tuple[float, float] | None = None
    text: str = ""
    display: Display | None = None
    reason: str = ""
    bar: Bar | None = None


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
class Dot:
    """A value in a strip, with the interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Strip:
    """Dots under the columns of a block, on one scale.

    Attributes:
        label: of the scale.
        limits: its ends.
        series: a sequence for each kind of dot, the first of which is hollow; in it a dot a column, None for none.
    """

    label: str
    limits: tuple[float, float]
    series: Sequence[Sequence[Dot | None]]


@dataclass(frozen=True)
class Block:
    """Rows under common heads, one a column; the first column, of the inputs, has the head ''."""

    heads: Sequence[str]
    rows: Sequence[Row]
    strip: Strip | None = None


@dataclass(frozen=True)
class Page:
    """What one figure shows; `columns` is how many there is room for, `key` what the signs mean, `width` in inches."""

    title: str
    blocks: Sequence[Block]
    columns: int
    key: Key
    width: float = style.WIDTH

    @property
    def side(self) -> float:
        """A tile's width, in inches."""
        return side(self.columns, self.width)

    @property
    def title_width(self) -> int:
        """Characters that the title has room for."""
        return round(TITLE_WIDTH * self.width / style.WIDTH)

    @property
    def key_width(self) -> int:
        """Characters that a line of the key has room for."""
        return round(KEY_WIDTH * (self.width - LEFT - BAR_ROOM) / (style.WIDTH - LEFT - BAR_ROOM))

    @property
    def displays(self) -> list[Display]:
        """How its maps are shown."""
        tiles = (tile for block in self.blocks for row in block.rows for tile in row.tiles)
        return [tile.display for tile in tiles if tile and tile.display]


def cut(text: str, length: int, tail: int = 0) -> str:
    """Return `text`, or its first and `tail` last characters around an ellipsis where it is longer than `length`.

    >>> cut("basset_hound_44", 15), cut("basset_hound_44", 10), cut("basset_hound_44", 10, 3)
    ('basset_hound_44', 'basset_ho…', 'basset…_44')
    """
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def side(columns: int, width: float = style.WIDTH) -> float:
    """Return a tile's width where there is room for so many columns in a figure of a width, all in inches."""
    return min((width - LEFT - RIGHT) / columns, WIDEST) - GAP


def row_height(row: Row, width: float) -> float:
    """Return the height of a row of tiles of a width, both in inches, with the text below them."""
    return width * row.aspect + 0.035 + LINE * row.lines if row.tiles else ABSENT


def block_height(block: Block, width: float) -> float:
    """Return the height of a block, in inches, with its heads, its strip, and what is left free below it."""
    heads = LINE * max(head.count("\n") + 1 for head in _heads(block, width))
    return heads + sum(row_height(row, width) for row in block.rows) + STRIP * (block.strip is not None) + BETWEEN


def foot(page: Page) -> float:
    """Return the height of what stands below the blocks, in inches: the colour bar, and what the signs mean."""
    return max(0.42, LINE * sum(text.count("\n") + 1 for _, text in _wrapped(page))) + 0.1


def _heads(block: Block, width: float) -> list[str]:
    return [printing.plain(head, round(CHARACTERS * width)) for head in block.heads]


def _wrapped(page: Page) -> Key:
    return [(sign, printing.plain(text, page.key_width)) for sign, text in page.key]


class _Pens:
    """Draws tiles; outlines, frames and marks are gathered, so that each kind is one artist however many there are."""

    def __init__(self, axes: Axes, page: Page) -> None:
        self.axes = axes
        self.width = page.width
        self.side = page.side
        self.pitch = self.side + GAP
        self._outlines: list[Floats] = []
        self._frames: list[list[tuple[float, float]]] = []
        self._marks: list[tuple[float, float]] = []
        self._bars: list[tuple[list[tuple[float, float]], str, float]] = []

    @property
    def bar(self) -> float:
        """The room of a bar, as a share of a tile's width."""
        return max(0.1, min(BAR, 1 - NUMBER / self.side))

    def left(self, column: int) -> float:
        return LEFT + column * self.pitch

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
        if tile.reason:
            box = {"facecolor": "#141414", "edgecolor": "none", "pad": 1.2}
            words = printing.plain(tile.reason, max(8, round(0.9 * CHARACTERS * width)))
            middle = (left + width / 2, top + height / 2)
            self.axes.text(*middle, words, **_small() | {"va": "center", "color": "#f0f0f0"}, bbox=box, zorder=5)
        middle_of_text = left + width / 2
        if tile.bar:
            self._bar(tile.bar, left, top + height + 0.06)
            middle_of_text = left + width * (1 + self.bar) / 2
        for number, text in enumerate(tile.text.split("\n")):
            self.axes.text(middle_of_text, top + height + 0.09 + LINE * number, printing.plain(text), **_small())

    def _bar(self, bar: Bar, left: float, y: float) -> None:
        def x(value: float) -> float:
            share = (min(max(value, bar.low), bar.high) - bar.low) / (bar.high - bar.low)
            return left + 0.02 * self.side + share * (self.bar - 0.02) * self.side

        self._bars.append(([(x(bar.low), y), (x(bar.high), y)], "#cccccc", 0.5))
        self._bars.append(([(x(bar.null), y - 0.03), (x(bar.null), y + 0.03)], "#777777", 0.5))
        self._bars.append(([(x(bar.null), y), (x(bar.value), y)], ABOVE if bar.value >= bar.null else BELOW, 2.2))

    def strip(self, strip: Strip, top: float) -> None:
        low, high = strip.limits
        left, right = self.left(1), self.left(1 + max(map(len, strip.series))) - GAP

        def y(value: float) -> float:
            return top + STRIP_PAD + (STRIP - 2 * STRIP_PAD) * (high - value) / (high - low)

        for value in (low, high):
            self.axes.plot([left, right], [y(value)] * 2, color="#cccccc", linewidth=0.5, zorder=1)
            self.axes.text(left - 0.04, y(value), f"{value:g}", **_small() | {"ha": "right", "va": "center"})
        words = printing.plain(strip.label, round(CHARACTERS * (self.pitch - 0.2)))
        self.axes.text(LEFT, (y(low) + y(high)) / 2, words, **_small() | {"ha": "left", "va": "center"})
        for number, dots in enumerate(strip.series):
            filled = number or len(strip.series) == 1
            for column, dot in enumerate(dots, start=1):
                if dot is None:
                    continue
                x = self.left(column) + self.side * (0.5 + 0.12 * (2 * number + 1 - len(strip.series)))
                self.axes.plot([x, x], [y(dot.low), y(dot.high)], color=ABOVE, linewidth=0.8, zorder=2)
                face = ABOVE if filled else "white"
                self.axes.plot([x], [y(dot.value)], **_dot(face), zorder=3)

    def finish(self) -> None:
        self.axes.add_collection(LineCollection(self._frames, colors="#bbbbbb", linewidths=0.4, zorder=2))
        lines = LineCollection(self._outlines, colors=OUTLINE, linewidths=0.5, zorder=3)
        self.axes.add_collection(lines)
        if self._bars:
            bars, colours, widths = zip(*self._bars, strict=True)
            self.axes.add_collection(LineCollection(bars, colors=colours, linewidths=widths, capstyle="butt", zorder=3))
        if self._marks:
            x, y = zip(*self._marks, strict=True)
            self.axes.add_line(_ring(list(x), list(y)))


def draw(page: Page) -> Figure:
    """Draw the page: its only axes with pictures is measured in inches, from the top left corner."""
    figure = style.figure(1.0)
    axes = figure.add_axes((0, 0, 1, 1))
    pens = _Pens(axes, page)
    axes.text(LEFT, 0.13, printing.plain(cut(page.title, page.title_width)), va="center")
    top = TITLE
    for block in page.blocks:
        heads = _heads(block, pens.side)
        top += LINE * max(head.count("\n") + 1 for head in heads)
        for column, head in enumerate(heads):
            axes.text(pens.left(column) + pens.side / 2, top - 0.03, head, **_small())
        for row in block.rows:
            _draw_row(pens, row, top)
            top += row_height(row, pens.side)
        if block.strip:
            pens.strip(block.strip, top)
            top += STRIP
        top += BETWEEN
    pens.finish()
    below = foot(page)
    height = math.ceil(100 * (top + below)) / 100  # whole pixels
    figure.set_size_inches(page.width, height)
    axes.set(xlim=(0, page.width), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    _draw_key(figure, page, height, below)
    return figure


def _draw_row(pens: _Pens, row: Row, top: float) -> None:
    if not row.tiles:
        left = pens.left(0)
        size = (pens.width - RIGHT - GAP - left, ABSENT - 0.05)
        pens.axes.add_patch(Rectangle((left, top), *size, color="#f0f0f0"))
        pens.axes.text(left + 0.05, top + ABSENT / 2 - 0.025, printing.plain(row.note), va="center", size=style.SMALL)
        return
    middle = top + pens.side * row.aspect / 2
    label = "\n".join(printing.plain(line) for line in row.label.split("\n"))
    pens.axes.text(0.03, middle, label, rotation=90, ha="left", va="center", ma="center", size=style.SMALL)
    for column, tile in enumerate(row.tiles):
        if tile:
            pens.tile(tile, column, top)


def _draw_key(figure: Figure, page: Page, height: float, below: float) -> None:
    """Draw the colour bar and what the signs mean along the foot of the page."""
    key = _wrapped(page)
    box = (LEFT / page.width, (below / 2 + 0.03) / height, 1.3 / page.width, 0.09 / height)
    bar = figure.add_axes(box)
    how = next((one for one in page.displays if not one.reason), Display(1.0, 1.0))
    steps = np.linspace(0, 1, 256)[None]
    bar.imshow(display.blended(steps, display.dimmed(None, (1, 256))), extent=(0, 1, 0, 1), aspect="auto")
    end = "maximum" if how.end == "maximum" else f"{display.UPPER}th percentile"
    bar.set(xlabel=f"map / its {end}", yticks=[])
    bar.set_xticks([tick**how.gamma for tick in TICKS], [f"{tick:g}" for tick in TICKS])
    bar.tick_params(pad=1.5)
    bar.xaxis.labelpad = 1
    figure.legend(
        [_handle(sign) for sign, _ in key],
        [text for _, text in key],
        loc="center left",
        bbox_to_anchor=((LEFT + BAR_ROOM) / page.width, below / 2 / height),
        frameon=False,
        handlelength=1.6,
        labelspacing=0.25,
        borderpad=0,
    )


def _handle(sign: Sign) -> Line2D | Patch:
    """Return what stands for a sign in the key."""
    if sign == "ring":
        return _ring([], [])
    if sign == "tint":
        return Patch(facecolor=TINT, alpha=0.5)
    if sign in SWATCHES:
        return Patch(facecolor=SWATCHES[sign])
    if sign in ("hollow", "filled"):
        return Line2D([], [], **_dot("white" if sign == "hollow" else ABOVE))
    looks: dict[str, dict[str, Any]] = {
        "outline": {"color": OUTLINE, "linewidth": 0.9},
        "bar": {"color": ABOVE, "linewidth": 2.2},
    }
    return Line2D([], [], **looks.get(sign, {"linestyle": "none"}))


def _dot(face: str) -> dict[str, Any]:
    look = {"linestyle": "none", "marker": "o", "markersize": 3.2, "markeredgecolor": ABOVE, "markeredgewidth": 0.8}
    return look | {"markerfacecolor": face}


def _ring(x: list[float], y: list[float]) -> Line2D:
    ring = Line2D(x, y, linestyle="none", marker="o", markersize=3.6, markerfacecolor="none", zorder=4)
    ring.set(markeredgecolor="black", markeredgewidth=0.7, path_effects=style.halo(1.8))
    return ring


def _small() -> dict[str, Any]:
    return {"ha": "center", "va": "baseline", "size": style.SMALL, "linespacing": 1.05}
