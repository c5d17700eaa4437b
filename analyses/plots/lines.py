"""Lines with bands: panels of them, what they are read against, and the key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from analyses import printing
from analyses.plots import layer_axis, style
from analyses.reading.manifest import Layer
from analyses.statistics.bootstrap import CONFIDENCE

REFERENCE: dict[str, Any] = {"color": "black", "linewidth": 0.7, "linestyle": ":"}
"""How chance, or another value that lines are read against, is drawn."""
REFERENCE_LOOK = style.Line("black", "None", ":")
DIVIDER: dict[str, Any] = {"color": "#bbbbbb", "linewidth": 0.6}
SHADE: dict[str, Any] = {"color": "#ececec", "linewidth": 0}
THIN = 0.6  # points
AXIS, TICK = 0.6, 7.8  # inches beside all panels; points of a label that stands upright
MOST_FLAT = 12  # labels that have room side by side
CHANCE = "chance"
INTERVAL = f"{CONFIDENCE:.0%} interval"
UNDEFINED = "undefined for every map"
Share = Literal["none", "all", "row", "col"]


@dataclass(frozen=True)
class Line:
    """A line with its band.

    Attributes:
        look: colour, marker and dashes.
        x: places.
        y: values.
        low: lower ends of the band; None for a line without one.
        high: upper ends.
        width: in points; None for the usual one.
        opacity: of the band.
    """

    look: style.Line
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    width: float | None = None
    opacity: float = 0.18


@dataclass(frozen=True)
class Dots:
    """Marks that no line joins: full, hollow or faint ones, with upright intervals where `low` is given."""

    look: style.Line
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    kind: Literal["full", "hollow", "faint"] = "full"
    edge: float = 0.8  # points


@dataclass(frozen=True)
class Reference:
    """A dotted line at a value of y, or upright at one of x."""

    value: float
    color: str = "black"
    upright: bool = False
    behind: bool = False


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes:
        label: of the y axis.
        marks: lines and dots, the lowest first.
        references: values that lines are read against.
        layers: of the x axis, at 0, 1, 2, ...; none where x is a number.
        ticks: of the x axis, by place, where it is no axis of layers.
        dividers: places on the x axis where an upright grey line stands.
        spans: from one place of x to another, where the ground is grey.
        undefined: what is written where no line has a value; '' for nothing.
        x_label: of the x axis.
        x_limits: its ends; None for those of the data.
        y_limits: ends of the y axis; None for that of the data.
        down_to: a value that the y axis reaches down to at least.
        title: above the panel.
        centred: whether the title is in the middle.
        notes: points that are ringed, each with what is written above it.
        beyond: what is written at the lower edge, of lines that leave the axis.
    """

    label: str
    marks: Sequence[Line | Dots]
    references: Sequence[Reference] = ()
    layers: Sequence[Layer] = ()
    ticks: Mapping[float, str] | None = None
    dividers: Sequence[float] = ()
    spans: Sequence[tuple[float, float]] = ()
    undefined: str = ""
    x_label: str = ""
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float | None, float | None] = (None, None)
    down_to: float | None = None
    title: str = ""
    centred: bool = False
    notes: Sequence[tuple[float, float, str]] = ()
    beyond: str = ""


def draw(
    panels: Sequence[Sequence[Panel]],
    key: Sequence[Artist],
    height: float,
    *,
    key_columns: int = 4,
    key_length: float | None = None,
    shared: tuple[Share, Share] = ("none", "none"),
    widths: Sequence[float] | None = None,
    width: float = style.WIDTH,
) -> matplotlib.figure.Figure:
    """Draw rows of panels.

    Args:
        panels: rows of equal length; the key stands above them.
        key: its entries.
        height: of the figure in inches.
        key_columns: how many entries stand side by side at most.
        key_length: of a line in it, in units of the text's size.
        shared: among which panels the x axis, and the y axis, is the same.
        widths: of the columns, as ratios.
        width: of the figure in inches.
    """
    figure = style.figure(height, width, constrained=True)
    grid = figure.subplots(
        len(panels), len(panels[0]), squeeze=False, sharex=shared[0], sharey=shared[1], width_ratios=widths
    )
    drawn = list(zip(grid.ravel(), (panel for row in panels for panel in row), strict=True))
    style.add_key(figure, key, key_columns, length=key_length)
    lowest = {id(axes) for axes, _ in drawn[-len(panels[0]) :]}
    for axes, panel in drawn:
        draw_panel(axes, panel)
        if panel.layers:
            most = int(72 * (width - AXIS) / len(panels[0]) / TICK)
            layer_axis.mark_layers(axes, panel.layers, named=id(axes) in lowest, most=most)
    for axes, panel in drawn:  # after all were drawn: panels may share an axis
        if panel.y_limits != (None, None):
            axes.set_ylim(*panel.y_limits)
        _note(axes, panel.notes)
        if panel.beyond:
            place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "bottom", "size": style.SMALL}
            axes.text(0.99, 0.02, panel.beyond, color=style.GREY_TEXT, path_effects=style.halo(), **place)
    return figure


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw a panel but for the ends of its y axis, which it may share."""
    for mark in panel.marks:
        draw_line(axes, mark) if isinstance(mark, Line) else _draw_dots(axes, mark)
    for reference in panel.references:
        along = axes.axvline if reference.upright else axes.axhline
        look = REFERENCE | {"color": reference.color} | ({"zorder": 0} if reference.behind else {})
        along(reference.value, **look)
    if panel.undefined and all(np.isnan(np.asarray(mark.y, dtype=np.float64)).all() for mark in panel.marks):
        height = 0.6 if panel.references else 0.5  # above the line at the only value
        axes.text(0.5, height, panel.undefined, transform=axes.transAxes, ha="center", va="center")
        axes.tick_params(axis="y", left=False, labelleft=False)
    for x in panel.dividers:
        axes.axvline(x, **DIVIDER)
    for span in panel.spans:
        axes.axvspan(*span, **SHADE, zorder=0)
    if panel.layers:
        layer_axis.mark_roles(axes, panel.layers)
    if panel.ticks is not None:
        upright = len(panel.ticks) > MOST_FLAT
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()), rotation=90 if upright else 0)
        axes.xaxis.set_minor_locator(NullLocator())
    if panel.x_limits:
        axes.set_xlim(*panel.x_limits)
    if panel.down_to is not None:
        axes.set_ylim(bottom=min(panel.down_to, axes.get_ylim()[0]))
    axes.set_title(panel.title, loc="center" if panel.centred else "left")
    axes.set(xlabel=panel.x_label, ylabel=panel.label)
    sns.despine(ax=axes)


def draw_line(axes: Axes, line: Line) -> None:
    """Draw a line, above its band."""
    look = line.look
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=look.color, alpha=line.opacity, linewidth=0)
    axes.plot(line.x, line.y, color=look.color, marker=look.marker, linestyle=look.linestyle, linewidth=line.width)


def _draw_dots(axes: Axes, dots: Dots) -> None:
    look = dots.look
    if dots.kind == "faint":
        axes.scatter(dots.x, dots.y, s=5, color=look.color, marker=look.marker, alpha=0.4, linewidths=0)
        return
    if dots.low is not None and dots.high is not None:
        x = np.asarray(dots.x)
        axes.plot([x, x], np.stack([dots.low, dots.high]), color=look.color, linewidth=0.9)
    face = "white" if dots.kind == "hollow" else look.color
    mark: dict[str, Any] = {"marker": look.marker, "markerfacecolor": face, "markeredgewidth": dots.edge}
    axes.plot(dots.x, dots.y, linestyle="none", color=look.color, **mark)


def _note(axes: Axes, notes: Sequence[tuple[float, float, str]]) -> None:
    """Ring points, and write above each what it is, towards the middle of the axis."""
    for x, y, text in notes:
        axes.plot([x], [y], marker="o", markersize=6, markerfacecolor="none", markeredgewidth=0.8, color="black")
        right = float(axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]) > 0.5
        place: dict[str, Any] = {"xytext": (3 if right else -3, 4), "textcoords": "offset points", "va": "bottom"}
        look: dict[str, Any] = {"size": style.SMALL, "ha": "right" if right else "left", "path_effects": style.halo()}
        axes.annotate(printing.plain(text), (x, y), **place, **look)
    if notes:
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.12 * (high - low))


def along_layers(look: style.Line, frame: pd.DataFrame, layers: Sequence[Layer], columns: Sequence[str]) -> Line:
    """Return the line of one row a layer, at the layers' places: `columns` are its value and, if any, its band's."""
    place = {layer.name: i for i, layer in enumerate(layers)}
    x = frame["layer"].map(place).to_numpy(dtype=np.int64)
    order = np.argsort(x)
    values = frame[list(columns)].to_numpy(dtype=np.float64)[order]
    places, rows = layer_axis.broken(x[order], values.T, layers)
    return Line(look, places, *rows)


def levels_along_layers(
    frame: pd.DataFrame,
    layers: Sequence[Layer],
    looks: Mapping[int, style.Line],
    columns: Sequence[str] = ("estimate", "low", "high"),
) -> list[Line]:
    """Return a line a level with its band, of a frame with `level`, `layer` and `columns`."""
    by_level = frame.groupby("level", sort=True)
    return [along_layers(looks[int(str(level))], rows, layers, columns) for level, rows in by_level]


def chance(value: object) -> list[Reference]:
    """Return the reference at a metric's chance value; none where that is no number."""
    return [Reference(value)] if isinstance(value, float) and not math.isnan(value) else []


def line_key(look: style.Line, label: str, width: float | None = None) -> Line2D:
    """Return the key's entry of a line."""
    mark: dict[str, Any] = {"marker": look.marker, "linestyle": look.linestyle, "linewidth": width}
    return Line2D([], [], color=look.color, label=label, **mark)


def band_key(label: str = INTERVAL) -> Patch:
    """Return the key's entry of the bands."""
    return Patch(color=style.GREY, alpha=0.3, linewidth=0, label=label)


def dots_key(kind: Literal["full", "hollow", "faint"], label: str) -> Line2D:
    """Return the key's entry of dots."""
    looks: dict[str, dict[str, Any]] = {
        "full": {},
        "hollow": {"markerfacecolor": "white", "markeredgewidth": 0.8},
        "faint": {"alpha": 0.5, "markersize": 2},
    }
    return Line2D([], [], color=style.GREY, linestyle="none", marker="o", label=label, **looks[kind])


def reference_key(label: str = CHANCE, color: str = "black") -> Line2D:
    """Return the key's entry of a reference."""
    return Line2D([], [], label=label, **REFERENCE | {"color": color})
