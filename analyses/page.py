"""A page of maps: layers as columns in blocks, levels as rows, drawn at the printed size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import shorten
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analyses import overlay, style
from analyses.records import Gallery, Layer
from analyses.results import ResultsError

COLUMNS = 10  # layers in a block, at most
LEFT, RIGHT, GAP = 0.28, 0.03, 0.035  # inches, as all sizes here
TITLE, LINE, ABSENT, BETWEEN = 0.24, 0.105, 0.2, 0.1
TITLE_WIDTH, KEY_WIDTH = 90, 100  # characters
PITCH = (style.WIDTH - LEFT - RIGHT) / (COLUMNS + 1)
SIDE = PITCH - GAP

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Cell:
    """One map on its layer's grid (NaN where undefined) and the text under it."""

    values: Map
    text: str


@dataclass(frozen=True)
class Row:
    """One level of the model; without a gallery only a line of text is drawn."""

    level: int
    reached: bool
    miou: float
    nearest_miou: float
    gallery: Gallery | None

    def maps(self, image: str, prefix: str, layers: Sequence[Layer]) -> list[Map]:
        """Return the kept maps of `image`, one a layer.

        Raises:
            ResultsError: the gallery lacks the image or a layer's maps.
        """
        if self.gallery is None:
            return []
        index = self.gallery.index(image)
        missing = [x.name for x in layers if f"{prefix}|{x.name}" not in self.gallery.arrays]
        if index is None or missing:
            what = f"image '{image}'" if index is None else f"'{prefix}' of layers {', '.join(missing)}"
            raise ResultsError(f"gallery of level {self.level}: {what} is missing; run the benchmark again")
        return [np.asarray(self.gallery.arrays[f"{prefix}|{x.name}"][index], dtype=np.float32) for x in layers]


@dataclass(frozen=True)
class Page:
    """What one figure shows; `cells` holds a level's maps in the order of `layers`, `key` four lines of text."""

    title: str
    image: str
    target: str
    layers: tuple[Layer, ...]
    rows: tuple[Row, ...]
    cells: Mapping[int, Sequence[Cell]]
    found: Mapping[int, str]
    key: Sequence[str]
    foreground: int


def blocks(layers: Sequence[Layer]) -> list[list[int]]:
    """Return the layers' numbers in blocks: a block a role, at most ten layers each."""
    runs = [[i for i, _ in group] for _, group in groupby(enumerate(layers), key=lambda pair: pair[1].role)]
    return [run[i : i + COLUMNS] for run in runs for i in range(0, len(run), COLUMNS)]


def draw(page: Page) -> Figure:
    """Draw the page: its only axes with maps is measured in inches, from the top left corner."""
    parts = blocks(page.layers)
    labels = [style.plain(layer.label, 12) for layer in page.layers]
    heads = [LINE * max(labels[i].count("\n") + 1 for i in part) for part in parts]
    rows = sum(_height(row) for row in page.rows)
    key = [style.plain(text, KEY_WIDTH) for text in page.key]
    foot = max(0.42, LINE * sum(text.count("\n") + 1 for text in key)) + 0.1
    height = TITLE + sum(heads) + len(parts) * (rows + BETWEEN) + foot
    figure = style.figure(height)
    axes = figure.add_axes((0, 0, 1, 1))
    pens = _Pens(axes)
    axes.text(LEFT, 0.13, style.plain(shorten(page.title, TITLE_WIDTH, placeholder=" …")), va="center", weight="bold")
    top = TITLE
    for part, head in zip(parts, heads, strict=True):
        for column, i in enumerate(part, start=1):
            axes.text(_left(column) + SIDE / 2, top + head - 0.03, labels[i], **_small())
        top += head
        for row in page.rows:
            _draw_row(pens, page, row, part, top)
            top += _height(row)
        top += BETWEEN
    pens.finish()
    axes.set(xlim=(0, style.WIDTH), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    _draw_key(figure, key, height, foot)
    return figure


class _Pens:
    """Gathers outlines, frames and marks, so that each kind is one artist however many maps there are."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self._outlines: list[NDArray[np.float64]] = []
        self._frames: list[list[tuple[float, float]]] = []
        self._marks: list[tuple[float, float]] = []

    def picture(self, pixels: NDArray[np.float64], left: float, top: float) -> None:
        height = SIDE * pixels.shape[0] / pixels.shape[1]
        extent = (left, left + SIDE, top + height, top)
        self.axes.imshow((255 * pixels).round().astype(np.uint8), extent=extent, aspect="auto", zorder=1)
        corners = [(left, top), (left + SIDE, top), (left + SIDE, top + height), (left, top + height), (left, top)]
        self._frames.append(corners)

    def outline(self, lines: Sequence[NDArray[np.float64]], left: float, top: float, height: float) -> None:
        self._outlines += [line * np.array([SIDE, height]) + np.array([left, top]) for line in lines]

    def mark(self, x: float, y: float) -> None:
        self._marks.append((x, y))

    def finish(self) -> None:
        self.axes.add_collection(LineCollection(self._frames, colors="#bbbbbb", linewidths=0.4, zorder=2))
        lines = LineCollection(self._outlines, colors=style.OUTLINE, linewidths=0.7, zorder=3)
        lines.set_path_effects(style.halo(1.3))
        self.axes.add_collection(lines)
        if self._marks:
            x, y = zip(*self._marks, strict=True)
            self.axes.add_line(_ring(list(x), list(y)))


def _draw_row(pens: _Pens, page: Page, row: Row, part: Sequence[int], top: float) -> None:
    if row.gallery is None:
        _draw_absent(pens.axes, row, top)
        return
    index = row.gallery.ids.index(page.image)
    mask = row.gallery.masks[index]
    height = SIDE * mask.shape[0] / mask.shape[1]
    under = overlay.ground(None if row.gallery.images is None else row.gallery.images[index], mask.shape)
    lines = overlay.outline(mask == page.foreground)
    pixel = row.gallery.arrays.get(f"pixels:{page.target}")
    label = f"{row.level} %\nmIoU {row.miou:.3f}"
    pens.axes.text(0.03, top + height / 2, label, rotation=90, ha="left", va="center", size=style.SMALL)
    texts = [page.found[row.level], *(page.cells[row.level][i].text for i in part)]
    for column, text in enumerate(texts):
        left = _left(column)
        values = page.cells[row.level][part[column - 1]].values if column else np.full((1, 1), np.nan, np.float32)
        shown = bool((values > 0).any())
        pens.picture(overlay.heat(overlay.normalised(values, mask.shape), under) if shown else under, left, top)
        pens.outline(lines, left, top, height)
        pens.axes.text(left + SIDE / 2, top + height + 0.09, style.plain(text), **_small())
        if pixel is not None and pixel[index].min() >= 0:
            down, right = (pixel[index] + 0.5) / np.array(mask.shape)
            pens.mark(left + SIDE * right, top + height * down)


def _draw_absent(axes: Axes, row: Row, top: float) -> None:
    why = "no maps kept" if row.reached else f"not reached (nearest {row.nearest_miou:.2f})"
    axes.add_patch(Rectangle((_left(0), top), style.WIDTH - RIGHT - GAP - _left(0), ABSENT - 0.05, color="#f0f0f0"))
    axes.text(_left(0) + 0.05, top + ABSENT / 2 - 0.025, f"{row.level} %: {why}", va="center", size=style.SMALL)


def _draw_key(figure: Figure, key: Sequence[str], height: float, foot: float) -> None:
    """Draw the colour bar and what the signs mean along the foot of the page."""
    box = (_left(0) / style.WIDTH, (foot / 2 + 0.03) / height, 1.3 / style.WIDTH, 0.09 / height)
    bar = figure.add_axes(box)
    steps = np.linspace(0, 1, 256)[None]
    bar.imshow(overlay.heat(steps, overlay.ground(None, (1, 256))), extent=(0, 1, 0, 1), aspect="auto")
    bar.set(xlabel="map / its maximum", yticks=[])
    bar.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    bar.tick_params(pad=1.5)
    bar.xaxis.labelpad = 1
    line = Line2D([], [], color=style.OUTLINE, linewidth=0.9)
    nothing = Line2D([], [], linestyle="none")
    figure.legend(
        [line, _ring([], []), nothing, nothing],
        key,
        loc="center left",
        bbox_to_anchor=((_left(0) + 1.5) / style.WIDTH, foot / 2 / height),
        frameon=False,
        handlelength=1.6,
        labelspacing=0.25,
        borderpad=0,
    )


def _ring(x: list[float], y: list[float]) -> Line2D:
    ring = Line2D(x, y, linestyle="none", marker="o", markersize=3.6, markerfacecolor="none", zorder=4)
    ring.set(markeredgecolor="black", markeredgewidth=0.7, path_effects=style.halo(1.8))
    return ring


def _left(column: int) -> float:
    return LEFT + column * PITCH


def _height(row: Row) -> float:
    if row.gallery is None:
        return ABSENT
    height, width = row.gallery.masks.shape[1:]
    return SIDE * float(height / width) + 0.14


def _small() -> dict[str, Any]:
    return {"ha": "center", "va": "baseline", "size": style.SMALL, "linespacing": 1.05}
