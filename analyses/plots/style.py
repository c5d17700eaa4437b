"""One look for all figures, set in a context and never globally; sizes are those of the printed page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import seaborn as sns
from matplotlib import patheffects
from matplotlib.figure import Figure

from analyses.reading.manifest import Metric

WIDTH = 7.2  # inches: a page's text width
HEIGHT = 9.8  # inches: the most that fits a page
DPI = 200  # at which figures are laid out: text is as wide as its pixels let it be
SMALL = 6.0  # points: the smallest text
TEXT = 7.0
GREY = "#777777"
GREY_TEXT = "#555555"
ARROWS = {"higher": " ↑", "lower": " ↓"}
"""By a metric's direction: an arrow to the better values."""
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
    "svg.fonttype": "path",
    "svg.hashsalt": "segcam",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
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
    """Return an empty figure of the printed size in inches, unknown to pyplot."""
    return Figure((width, height), DPI, layout="constrained" if constrained else None, facecolor="white")


def settle(figure: Figure, rounds: int = 2) -> Figure:
    """Lay a constrained figure out once and for all: laid out again for each file, no two would be quite alike."""
    engine = figure.get_layout_engine()
    for _ in range(rounds):  # ticks change with the size of their axes, and labels move with ticks
        if engine is not None:
            engine.execute(figure)
    figure.set_layout_engine(None)  # an engine of any kind, even one that does nothing, has it drawn twice
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
    """Return a line style without markers for each method, in their order; of 24 no two are alike, and none is grey."""
    colours = _COLOURS[:-1]  # black is too near to the controls' greys
    return {
        method: Line(colours[i % len(colours)], "None", _DASHES[(i + i // len(colours)) % 4])
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
