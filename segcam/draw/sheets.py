"""Panels on a page, drawn with matplotlib at their printed size; this module alone imports it at once."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segcam.draw import display
from segcam.draw.glyphs import legible
from segcam.draw.panels import Panel
from segcam.errors import InputError, shown

INCH = 2.54
LEFT, EDGE, GAP = 0.5, 0.12, 0.12  # centimetres, as all here but letters
SMALLEST, LARGEST = 2.1, 5.5  # sides of a panel
LINE = 0.27
SMALL, TEXT = 6.0, 7.0  # points
LETTER = 0.116  # the mean width of a small letter
BAR = 3.2
NARROWEST, WIDEST = 5.0, 100.0
_BREAKS = re.compile(r"(?<=[\s_/:-])|(?<=\.)(?!\d)|(?<=[^\d]\.)")  # behind a point, but not within a number


class NotebookFigure(Figure):
    """A figure that notebooks show: without pyplot nobody has told them how."""

    def _repr_png_(self) -> bytes:
        """Return the picture, light enough to be kept in a notebook."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=0.6 * self.dpi)
        return file.getvalue()


Rows = Mapping[str, Mapping[str, Panel]]
Leads = Mapping[str, Panel | None]


def draw(rows: Rows, leads: Leads, title: str, class_name: str, class_id: object, width: float) -> Figure:
    """Draw rows of panels by layer, in as many blocks below each other as the width takes, and a key along the foot.

    Args:
        rows: by row, the panels by layer.
        leads: by row, what stands before them, in the first block alone.
        title: of the figure.
        class_name: how the key calls the class.
        class_id: what stands for the name where no font has its signs.
        width: of the figure, in centimetres.

    Raises:
        InputError: there is no panel, or the width is none.
    """
    if not (isinstance(width, Real) and NARROWEST <= width <= WIDEST):
        raise InputError(f"width is {shown(width)}: centimetres from {NARROWEST:g} to {WIDEST:g} are needed")
    layers = list(dict.fromkeys(label for panels in rows.values() for label in panels))
    if not layers:
        raise InputError("maps are empty: there is nothing to draw")
    sheet = _Sheet(width, LEFT if any(rows) else EDGE, len(layers) + any(leads.values()))
    if title:
        sheet.write(wrapped(title, width - 2 * EDGE, TEXT), EDGE, sheet.top, TEXT, ha="left", va="top", weight="bold")
        sheet.top += LINE * TEXT / SMALL * lines(wrapped(title, width - 2 * EDGE, TEXT)) + 0.1
    at = 0
    while at < len(layers):
        before = leads if at == 0 and any(leads.values()) else {}
        some = layers[at : at + max(1, sheet.columns - bool(before))]
        sheet.block(["", *some] if before else some, [(name, before, panels) for name, panels in rows.items()])
        at += len(some)
    figure = sheet.figure([*leads.values(), *(panel for row in rows.values() for panel in row.values())], class_name)
    legible(figure, {class_name: "the class" if class_id is None else f"class {class_id}"} if class_name else {})
    return figure


class _Sheet:
    """Places in centimetres from the top left corner; the figure is made when its height is known."""

    def __init__(self, width: float, left: float, most: int) -> None:
        room = width - left - EDGE + GAP
        self.width, self.left, self.top = width, left, 0.15
        self.columns = max(2, min(int(room / (SMALLEST + GAP)), most)) if most > 1 else 1
        self.side = min(room / self.columns - GAP, LARGEST)
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []
        self._panels: list[tuple[float, float, float, Panel]] = []

    def write(self, text: str, x: float, y: float, size: float = SMALL, **options: Any) -> None:
        self._texts.append((x, y, text, {"size": size, "parse_math": False, "linespacing": 1.1, **options}))

    def block(self, heads: Sequence[str], rows: Sequence[tuple[str, Leads, Mapping[str, Panel]]]) -> None:
        """Place rows under common heads; what stands before them has the head ''."""
        names = [wrapped(head, self.side, SMALL, 3) for head in heads]
        self.top += LINE * max(map(lines, names))
        for column, name in enumerate(names):
            for number, line in enumerate(reversed(name.split("\n"))):  # one by one: all end on one baseline
                self.write(line, self._middle(column), self.top - 0.1 - LINE * number, ha="center", va="baseline")
        for name, before, of_row in rows:
            panels = [of_row.get(head) if head else before.get(name) for head in heads]
            if not any(panels):
                continue
            aspect = max(panel.picture.shape[0] / panel.picture.shape[1] for panel in panels if panel)
            under = [wrapped(panel.under, self.side, SMALL, 3) if panel and panel.under else "" for panel in panels]
            height = self.side * aspect
            label = wrapped(name, height, SMALL, 2)
            self.write(label, EDGE, self.top + height / 2, rotation=90, ha="left", va="center", ma="center")
            for column, panel in enumerate(panels):
                if panel:
                    self._panels.append((self.left + column * (self.side + GAP), self.top, self.side, panel))
                    below = self.top + self.side * panel.picture.shape[0] / panel.picture.shape[1]
                    self.write(under[column], self._middle(column), below + 0.06, ha="center", va="top")
            self.top += height + GAP + LINE * max(map(lines, under))
        self.top += 0.1

    def _middle(self, column: int) -> float:
        return self.left + column * (self.side + GAP) + self.side / 2

    def figure(self, panels: Sequence[Panel | None], class_name: str) -> Figure:
        """Return the figure of what was placed, with a key along its foot."""
        drawn = [panel for panel in panels if panel]
        displays = [panel.display for panel in drawn if panel.display]
        handles = _handles(drawn, class_name)
        words = wrapped(display.in_words(displays) + ".", self.width - self.left - BAR - 0.6, SMALL) if displays else ""
        foot, bar_top = self.top, self.top + 0.1
        foot += max(0.85, LINE * lines(words) + 0.2) if displays else 0.0
        columns = max(1, int((self.width - 2 * EDGE) / 4.2))
        foot += (0.36 * -(-len(handles) // columns) + 0.1) if handles else 0.05
        figure = NotebookFigure((self.width / INCH, foot / INCH), dpi=200)
        for x, y, text, options in self._texts:
            figure.text(x / self.width, 1 - y / foot, text, **options)
        for left, top, side, panel in self._panels:
            height = side * panel.picture.shape[0] / panel.picture.shape[1]
            box = (left / self.width, 1 - (top + height) / foot, side / self.width, height / foot)
            _draw_panel(figure, box, panel, side)
        if displays:
            _draw_bar(
                figure,
                (self.left / self.width, 1 - (bar_top + 0.22) / foot, BAR / self.width, 0.22 / foot),
                displays[0],
            )
            x, y = (self.left + BAR + 0.35) / self.width, 1 - bar_top / foot
            figure.text(x, y, words, size=SMALL, va="top", parse_math=False, linespacing=1.1)
        if handles:
            place: dict[str, Any] = {
                "loc": "lower left",
                "bbox_to_anchor": (self.left / self.width, 0.04 / foot),
                "ncols": columns,
            }
            spacing: dict[str, Any] = {
                "borderpad": 0,
                "borderaxespad": 0,
                "handlelength": 1.6,
                "columnspacing": 1.2,
                "labelspacing": 0.3,
            }
            figure.legend(handles=handles, frameon=False, fontsize=SMALL, **place, **spacing)
        return figure


def _draw_panel(figure: Figure, box: tuple[float, float, float, float], panel: Panel, side: float) -> None:
    axes = figure.add_axes(box, label="panel")
    height, width = panel.picture.shape[:2]
    axes.imshow(panel.picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5), aspect="auto")
    axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    for spine in axes.spines.values():
        spine.set(color="#999999", linewidth=0.3)
    places = np.arange(-1, width + 1), np.arange(-1, height + 1)
    for region in panel.outlines:
        if region.any():
            line = axes.contour(
                *places, np.pad(region, 1), levels=[0.5], colors=[_colour(display.MASK)], linewidths=0.6
            )
            line.set_label("outline")
    if panel.pixel:
        axes.add_line(_ring([panel.pixel[1]], [panel.pixel[0]]))
    if panel.reason:
        words = wrapped(panel.reason, 0.88 * side, SMALL, max(2, int(0.9 * side * height / width / LINE)))
        box_of = {"facecolor": "#141414", "edgecolor": "none", "pad": 1.5}
        look: dict[str, Any] = {"ha": "center", "va": "center", "size": SMALL, "color": "#f0f0f0", "linespacing": 1.1}
        axes.text(0.5, 0.5, words, transform=axes.transAxes, bbox=box_of, parse_math=False, **look)


def _draw_bar(figure: Figure, box: tuple[float, float, float, float], how: display.Display) -> None:
    """Draw the colours with where shares of the upper end lie."""
    axes = figure.add_axes(box, label="bar")
    steps = np.linspace(0, 1, 256)[None]
    axes.imshow(display.blended(steps, display.dimmed(None, (1, 256))), extent=(0, 1, 0, 1), aspect="auto")
    ticks = (0, 0.1, 0.5, 1)
    axes.set(yticks=[], xlim=(0, 1))
    axes.set_xticks([tick**how.gamma for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.tick_params(labelsize=SMALL, length=1.5, width=0.4, pad=1)
    axes.set_xlabel("map / brightest colour's value", size=SMALL, labelpad=0.5)
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)


def _handles(panels: Sequence[Panel], class_name: str) -> list[Line2D | Patch]:
    """Return what the key explains: of the signs in use only."""
    of_class = f", {class_name}" if class_name else ""
    handles: list[Line2D | Patch] = []
    if any(panel.outlines for panel in panels):
        handles.append(
            Line2D([], [], color=_colour(display.MASK), linewidth=1.2, label=f"outline of the mask{of_class}")
        )
    if any(panel.predicted for panel in panels):
        handles.append(Patch(color=_colour(display.PREDICTED), label=f"predicted{of_class}"))
    if any(panel.pixel for panel in panels):
        ring = _ring([], [])
        ring.set_label("explained pixel")
        handles.append(ring)
    if any(panel.judged for panel in panels):
        handles += [Patch(color=_colour(colour), label=name) for name, colour in display.ERRORS.items()]
    return handles


def _ring(x: Sequence[float], y: Sequence[float]) -> Line2D:
    ring = Line2D(x, y, linestyle="none", marker="o", markersize=4, markerfacecolor="none", markeredgewidth=0.8)
    ring.set(markeredgecolor="white", path_effects=[patheffects.withStroke(linewidth=2, foreground="black")])
    return ring


def _colour(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def lines(text: str) -> int:
    r"""Return how many lines a text has; 0 where it is empty.

    >>> lines(""), lines("a"), lines("a\nb")
    (0, 1, 2)
    """
    return text.count("\n") + 1 if text else 0


def wrapped(text: str, width: float, size: float, most: int = 99) -> str:
    r"""Return a text in lines of at most `width` centimetres, in letters of `size` points, as far as is known before.

    Lines break behind spaces and the signs in paths; beyond `most` lines the rest gives way to an ellipsis.

    >>> wrapped("encoder.layers.3.attention", 2.0, 6.0)
    'encoder.layers.3.\nattention'
    >>> wrapped("a b c d e f", 0.3, 6.0, 2)
    'a\nb…'
    """
    room = max(1, int(width / (LETTER * size / SMALL)))
    done: list[str] = [""]
    for word in _BREAKS.split(" ".join(text.split())):
        for part in _parts(word, room):
            if _length(done[-1] + part.rstrip()) > room and done[-1]:
                done.append("")
            done[-1] += part
    kept = [line.rstrip() for line in done[:most]]
    if len(done) > most:
        kept[-1] = kept[-1][: max(1, room - 1)] + "…"
    return "\n".join(kept)


def _parts(word: str, room: int) -> list[str]:
    """Return a word in parts that fit on a line."""
    parts, part = [], ""
    for sign in word:
        if part and _length((part + sign).rstrip()) > room:
            parts.append(part)
            part = ""
        part += sign
    return [*parts, part]


def _length(text: str) -> int:
    """Return how many letters wide a text is: signs of East Asia are as wide as two, and marks have no width."""
    widths = (0 if unicodedata.combining(s) else 2 if unicodedata.east_asian_width(s) in "WF" else 1 for s in text)
    return sum(widths)
