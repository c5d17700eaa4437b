"""One look for all figures, set in a context and never globally; sizes are those of the printed page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path
from numpy.typing import ArrayLike

from analyses import printing
from analyses.reading.manifest import Metric

INCH = 2.54  # cm
COLUMN = 8.5 / INCH  # inches: a figure in one of a page's two columns
WIDTH = 17.4 / INCH  # inches: one over both
PAGE = 24.7 / INCH  # inches: the highest that a journal prints
HEIGHT = PAGE - 0.45  # inches: the highest that is drawn, below two lines of title
DPI = 300  # at which figures are laid out: text is as wide as its pixels let it be
SMALL = 6.0  # points: the smallest text
TEXT = 7.0
TITLE = 7.5
LINE, ABOVE = 1.3, 2.0  # a line of the title in units of its size; points above and below it
CONTRAST = 4.5
"""The least of a text and its ground: WCAG 2.2, criterion 1.4.3."""
GREY = "#777777"
GREY_TEXT = "#555555"
ARROWS = {"higher": " ↑", "lower": " ↓"}
"""By a metric's direction: an arrow to the better values."""
PLACES = 9
"""Digits of where axes lie, as shares of a figure."""
Dash = Literal["-", "--", "-.", ":"]
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "text.hinting": "no_hinting",
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": TEXT,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.0,
    "axes.unicode_minus": True,
    "image.composite_image": False,
    "pdf.fonttype": 42,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "savefig.bbox": None,
    "svg.fonttype": "none",
    "svg.hashsalt": "segcam",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MORE_COLOURS = (*_COLOURS[:-1], "#882255", "#999933", "#332288", "#7f3b08")
_DASHES: tuple[Dash, ...] = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Line:
    """How one line is told from the others, by more than its colour."""

    color: str
    marker: str
    linestyle: Dash


@contextmanager
def context() -> Iterator[None]:
    """Draw and save in the one style; matplotlib's settings are as before afterwards."""
    settings: Any = {**sns.axes_style("ticks"), **sns.plotting_context("paper"), **_RC}
    with mpl.rc_context(settings):
        yield


def figure(height: float, width: float = WIDTH, *, constrained: bool = False) -> Figure:
    """Return an empty figure of the printed size in inches, at most `HEIGHT` high, unknown to pyplot."""
    layout: Literal["constrained"] | None = "constrained" if constrained else None
    return Figure((width, min(height, HEIGHT)), DPI, layout=layout, facecolor="white")


def entitle(figure: Figure, text: str) -> None:
    """Write a title above all of a figure, which grows by as much: what was drawn keeps its size."""
    width, height = (float(size) for size in figure.get_size_inches())
    lines = wrapped(text, 72 * width - 4)
    grown = height + (LINE * TITLE * len(lines) + 2 * ABOVE) / 72
    share = height / grown
    figure.set_size_inches(width, grown)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        figure.set_layout_engine(_Below(share, engine))
    else:
        for axes in figure.axes:
            x, y, wide, high = axes.get_position(original=True).bounds
            axes.set_position((x, y * share, wide, high * share))
        for legend in figure.legends:
            box = legend.get_bbox_to_anchor().transformed(figure.transFigure.inverted())
            legend.set_bbox_to_anchor((box.x0, box.y0 * share, box.width, box.height * share), figure.transFigure)
    for written in figure.texts:
        written.set_y(written.get_position()[1] * share)
    top = 1 - ABOVE / 72 / grown
    place: dict[str, Any] = {"ha": "left", "va": "top", "linespacing": LINE - 0.1}
    written = figure.text(2 / 72 / width, top, "\n".join(lines), size=TITLE, weight="bold", **place)
    written.set_in_layout(False)


class _Below(ConstrainedLayoutEngine):
    """A constrained layout of the lower part of a figure, of this share of its height; keys lie in it too."""

    def __init__(self, share: float, before: ConstrainedLayoutEngine) -> None:
        super().__init__(**{**before.get(), "rect": (0, 0, 1, share)})

    def execute(self, fig: Figure) -> None:
        keys = [legend for legend in fig.legends if str(getattr(legend, "_outside_loc", None) or "")]
        for legend in keys:
            legend.set_bbox_to_anchor(None)  # room is made for those alone that have no place yet
        super().execute(fig)
        for legend in keys:
            legend.set_bbox_to_anchor(self.get()["rect"], fig.transFigure)


def add_key(
    figure: Figure, handles: Sequence[Artist], most: int, *, length: float | None = None, below: bool = False
) -> None:
    """Write a key above a constrained figure, or below it: as many entries side by side as fit, at most so many.

    Args:
        figure: at its printed width.
        handles: the entries.
        most: entries side by side.
        length: of a line, in units of the text's size; the usual one by default.
        below: whether it stands below.
    """
    if not handles:
        return
    place: Any = f"outside {'lower' if below else 'upper'} center"
    look: Any = mpl.rcParams
    long = look["legend.handlelength"] if length is None else length
    gaps = [float(look[f"legend.{name}"]) for name in ("handletextpad", "columnspacing", "borderaxespad")]
    widths = [_wide(str(handle.get_label()), SMALL, "normal") / SMALL + long + gaps[0] for handle in handles]
    room = 72 * float(figure.get_size_inches()[0]) / SMALL - 2 * gaps[2]

    def needed(columns: int) -> float:
        return float(sum(max(part) for part in np.array_split(widths, columns))) + gaps[1] * (columns - 1)

    columns = next((n for n in range(min(most, len(handles)), 1, -1) if needed(n) <= room), 1)
    figure.legend(handles=list(handles), loc=place, frameon=False, ncols=columns, handlelength=length)


def _wide(text: str, size: float, weight: str) -> float:
    """Return the width of a line of text in points."""
    look = FontProperties(family=_RC["font.family"], size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text.replace(r"\$", "$"), look, ismath=False)[0])


def wrapped(text: str, width: float) -> list[str]:
    """Return the lines of a title that is no wider than `width` points; a word that is wider has a line of its own."""
    lines = [""]
    for word in re.split(rf" (?!%|px\b|of \d|{printing.MINUS}?\d)", printing.plain(text)):  # names keep their numbers
        longer = f"{lines[-1]} {word}".strip()
        fits = _wide(longer, TITLE, "bold") <= width or not lines[-1]
        lines[-1:] = [longer] if fits else [lines[-1], word]
    return lines


def ink(ground: ArrayLike) -> str:
    """Return the colour of text on a ground, black or white: the one with more contrast, which is at least 4.58.

    >>> ink("#ffffff"), ink("#123456"), ink((0.9, 0.5, 0.4, 1.0))
    ('black', 'white', 'black')
    """
    return max("black", "white", key=lambda colour: contrast(colour, ground))


def contrast(one: ArrayLike, other: ArrayLike) -> float:
    """Return the contrast of two colours, from 1 to 21.

    Source: WCAG 2.2, definitions of contrast ratio and of relative luminance.
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Any) -> float:
    red_green_blue = np.asarray(mpl.colors.to_rgb(colour))
    linear = np.where(red_green_blue <= 0.04045, red_green_blue / 12.92, ((red_green_blue + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def settle(figure: Figure, rounds: int = 2) -> Figure:
    """Lay a constrained figure out once and for all: laid out again for each file, no two would be quite alike."""
    engine = figure.get_layout_engine()
    for _ in range(rounds):  # ticks change with the size of their axes, and labels move with ticks
        if engine is not None:
            engine.execute(figure)
    figure.set_layout_engine(None)  # an engine of any kind, even one that does nothing, has it drawn twice
    for axes in figure.axes:  # the engine's solver goes by addresses in memory: the last digits of places are its own
        for which in ("original", "active"):
            bounds = axes.get_position(original=which == "original").bounds
            axes.set_position(tuple(round(bound, PLACES) for bound in bounds), which=which)
    return figure


def level_lines(levels: Sequence[int]) -> dict[int, Line]:
    """Return a line style for each level: the higher the level, the darker."""
    ordered = sorted(set(levels))
    last = len(ordered) - 1
    steps = [0.82 - 0.77 * (i / last if last else 1) for i in range(len(ordered))]  # a single one is dark
    colours = [mpl.colors.to_hex(mpl.colormaps["viridis"](step)) for step in steps]
    return {
        level: Line(colour, _MARKERS[i % len(_MARKERS)], _DASHES[last - i if last < 4 else i % 4])
        for i, (level, colour) in enumerate(zip(ordered, colours, strict=True))
    }


def model_lines(models: Sequence[str]) -> dict[str, Line]:
    """Return a line style for each model, in their order: colours of Okabe and Ito, with markers and dashes."""
    return {
        model: Line(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], _DASHES[(i + i // 4) % 4])
        for i, model in enumerate(models)
    }


def method_lines(methods: Sequence[str]) -> dict[str, Line]:
    """Return a line style for each method, in their order: ten colours, and none is grey; no two of forty are alike."""
    colours = _MORE_COLOURS
    return {
        method: Line(colours[i % len(colours)], _MARKERS[i % len(_MARKERS)], _DASHES[(i + i // len(colours)) % 4])
        for i, method in enumerate(methods)
    }


def grey_line(index: int) -> Line:
    """Return the grey line with this number, without a marker: four dashes, then the next grey."""
    return Line((GREY, "#222222", "#aaaaaa")[index // 4 % 3], "None", _DASHES[index % 4])


def metric_label(metric: Metric, *, arrow: bool = True) -> str:
    """Return a metric's name with its unit, and an arrow to its better values."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit}{ARROWS.get(metric.direction or '', '') if arrow else ''}"


def halo(width: float = 1.6, color: str = "white") -> list[patheffects.AbstractPathEffect]:
    """Return a stroke around a line or text that keeps it legible on any ground."""
    return [patheffects.Stroke(linewidth=width, foreground=color), patheffects.Normal()]
