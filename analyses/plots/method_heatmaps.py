"""Many methods in one figure: heat maps by method and layer."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analyses import printing
from analyses.plots import layer_axis, style
from analyses.reading import gaps as gaps_module
from analyses.reading.catalogue import BLIND, FAMILIES, FEWEST, SHOWN, Entry, entries
from analyses.reading.manifest import INPUT, Layer, Metric
from analyses.reading.results import Results

SIDE_BY_SIDE = 21  # columns, with which the panels of all metrics fit on one page
MOST_LABELS = 48  # of columns on a page
ROW, HEADING, AROUND = 0.138, 1.25, 1.75  # inches; in rows; inches
ROLE_GAP, INPUT_GAP = 0.35, 0.7  # in columns
HATCH = "////////"
State = Literal["value", "none", "skipped", "absent", ""]


@dataclass
class Marks:
    """Where in a panel cells are of each kind, and where marks lie on them."""

    cells: dict[str, list[Rectangle]] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    slashes: list[list[tuple[float, float]]] = field(default_factory=list)
    crosses: list[list[tuple[float, float]]] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)

    def add(self, state: State, x: float, y: float, value: float = math.nan) -> None:
        """Add the cell whose top left corner is (x, y), of this value where its state is 'value'."""
        self.cells.setdefault(state, []).append(Rectangle((x, y), 1, 1))
        if state == "value":
            self.values.append(value)

    def draw(self, axes: Axes, scale: ScalarMappable) -> None:
        """Draw all of it, cells with a value in the colours of `scale`."""
        if self.cells.get("value"):
            colours = scale.to_rgba(np.array(self.values))
            axes.add_collection(PatchCollection(self.cells["value"], facecolor=colours, **_EDGE))
        for state, look in LOOKS.items():
            if self.cells.get(state):
                axes.add_collection(PatchCollection(self.cells[state], **look))
        axes.add_collection(LineCollection(self.slashes + self.crosses, colors="black", linewidths=0.55))
        if self.dots:
            x, y = zip(*self.dots, strict=True)
            axes.scatter(x, y, s=4.5, color="black", edgecolors="white", linewidths=0.35, zorder=3)


@dataclass(frozen=True)
class Layout:
    """What all panels of a page share: the methods' rows, the layers' columns, and what was measured where.

    Attributes:
        rows: the top edge of each method's row.
        headings: the middle of each family's heading, and its text.
        columns: the left edge of each layer's column.
        layers: by name.
        means: by method and layer, the row of the table `methods`.
        contrasts: by method and layer, the rows of `methods_contrasts`.
        skipped: methods and layers without maps, with a reason ('' for all layers).
    """

    rows: dict[Entry, float]
    headings: list[tuple[float, str]]
    columns: dict[str, float]
    layers: dict[str, Layer]
    means: dict[tuple[str, str], dict[str, Any]]
    contrasts: dict[tuple[str, str], list[dict[str, Any]]]
    skipped: set[tuple[str, str]]

    @property
    def height(self) -> float:
        """Rows from top to bottom."""
        return max(self.rows.values()) + 1

    @property
    def width(self) -> float:
        """Columns from left to right."""
        return max(self.columns.values()) + 1

    def state(self, entry: Entry, layer: Layer) -> State:
        """Return what a cell is: 'value', 'skipped', 'absent' or '', where there is none."""
        if (entry.name, layer.name) in self.means:
            return "value"
        if (layer.role == INPUT) != (entry.scope == "input"):
            return ""
        keys = {(entry.name, layer.name), (entry.name, "")} & self.skipped
        return "skipped" if keys else "absent"


def pages(results: Results, model: str, means: pd.DataFrame) -> Iterator[tuple[str, list[Metric]]]:
    """Yield the metrics of each page with the ending of its name: all on one where the layers are few enough."""
    by_name = {metric.name: metric for metric in results.metrics}
    metrics = [by_name[name] for name in SHOWN if name in means]
    if len(_columns(results, model, means)) <= SIDE_BY_SIDE:
        yield "", metrics
    else:
        yield from ((f"-{printing.slug(metric.name)}", [metric]) for metric in metrics)


def draw_layers(
    results: Results, model: str, means: pd.DataFrame, contrasts: pd.DataFrame, metrics: Sequence[Metric]
) -> matplotlib.figure.Figure:
    """Draw a panel a metric: methods by layers, coloured around what chance scores."""
    layout = _layout(results, model, means, contrasts)
    figure = style.figure(ROW * layout.height + AROUND, constrained=True)
    panels: list[Axes] = list(figure.subplots(1, len(metrics), squeeze=False).ravel())
    states: set[str] = set()
    for i, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
        states |= _draw_panel(axes, layout, metric, _marks(layout, metric), 1 / len(metrics))
        labels = _column_labels(list(layout.layers.values()), MOST_LABELS // len(metrics))
        axes.set_xticks([layout.columns[name] + 0.5 for name in layout.layers], labels, rotation=90)
        axes.set_xlim(-0.06, layout.width + 0.06)
        axes.set_ylim(layout.height + 0.06, 0)
        _label_rows(axes, layout, means, named=i == 0)
        sns.despine(ax=axes, left=True, bottom=True)
        axes.tick_params(length=0, pad=1.5)
    figure.legend(handles=_key(states), loc="outside lower center", frameon=False, ncols=4, handlelength=1.2)
    return figure


def _layout(results: Results, model: str, means: pd.DataFrame, contrasts: pd.DataFrame) -> Layout:
    gaps = gaps_module.read(results)
    gaps = gaps[gaps["model"] == model]
    left = set(zip(gaps["method"], gaps["layer"], strict=True))
    methods = set(means["method"]) | set(gaps["method"])
    rows: dict[Entry, float] = {}
    headings: list[tuple[float, str]] = []
    at = 0.0
    shown = [entry for entry in entries(results) if entry.name in methods]
    for (family, scope), group in groupby(shown, key=lambda entry: (entry.family, entry.scope)):
        on = ", on the input" if scope == "input" else ""
        headings.append((at + HEADING - 0.5, FAMILIES.get(family, family or "Others") + on))
        at += HEADING
        for entry in group:
            rows[entry], at = at, at + 1
    layers = _columns(results, model, means)
    columns: dict[str, float] = {}
    x = 0.0
    for i, layer in enumerate(layers):
        if i and layers[i - 1].role != layer.role:
            x += INPUT_GAP if layers[i - 1].role == INPUT else ROLE_GAP
        columns[layer.name], x = x, x + 1
    against: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in contrasts.to_dict("records"):
        against.setdefault((row["method"], row["layer"]), []).append({str(k): v for k, v in row.items()})
    by_cell = {(row["method"], row["layer"]): {str(k): v for k, v in row.items()} for row in means.to_dict("records")}
    return Layout(rows, headings, columns, {layer.name: layer for layer in layers}, by_cell, against, left)


def _columns(results: Results, model: str, means: pd.DataFrame) -> list[Layer]:
    on_input = results.input_layer(model)
    layers = layer_axis.shown(results, model, means)
    return [on_input, *layers] if on_input and (means["layer"] == on_input.name).any() else layers


def _marks(layout: Layout, metric: Metric) -> Marks:
    """Find the state of every cell of a panel, and the marks that lie on it."""
    marks = Marks()
    for entry, y in layout.rows.items():
        for name, x in layout.columns.items():
            state, row = layout.state(entry, layout.layers[name]), layout.means.get((entry.name, name), {})
            value = row.get(metric.name, math.nan)
            empty = np.nansum([row.get("blank_share", 0.0), row.get("undefined_share", 0.0)])
            if state == "value" and (math.isnan(value) or empty > 0.9):
                state = "none"
                marks.crosses += [[(x + 0.2, y + 0.2), (x + 0.8, y + 0.8)], [(x + 0.2, y + 0.8), (x + 0.8, y + 0.2)]]
            if not state:
                continue
            marks.add(state, x, y, value)
            if state == "value":
                if empty > 0.5:
                    marks.slashes.append([(x + 0.2, y + 0.8), (x + 0.8, y + 0.2)])
                if _better(layout.contrasts.get((entry.name, name), []), metric):
                    marks.dots.append((x + 0.5, y + 0.5))
    return marks


def _better(rows: Sequence[dict[str, Any]], metric: Metric) -> bool:
    """Return whether a method is better than every blind control at a layer, by the interval of each difference."""
    blind = [row for row in rows if row["control"] in BLIND and row[f"{metric.name}_n"] >= FEWEST]
    if metric.direction == "higher":
        return bool(blind) and all(row[f"{metric.name}_low"] > 0 for row in blind)
    return metric.direction == "lower" and bool(blind) and all(row[f"{metric.name}_high"] < 0 for row in blind)


def _draw_panel(axes: Axes, layout: Layout, metric: Metric, marks: Marks, share: float) -> set[str]:
    """Draw a panel that has this share of the page's width, and return what is in it."""
    centre = float(metric.chance) if isinstance(metric.chance, (int, float)) else 0.0
    scores = [row[metric.name] for row in layout.means.values() if row["family"] != "control"]
    reach = np.nanmax(np.abs(np.array([*scores, centre + 0.05]) - centre))
    reach = math.ceil(10 * reach - 1e-9) / 10
    scale = ScalarMappable(Normalize(centre - reach, centre + reach), _colours(metric))
    marks.draw(axes, scale)
    values = np.array(marks.values)
    beyond = bool((values < centre - reach).any()), bool((values > centre + reach).any())
    _draw_scale(axes, scale, metric, [centre - reach, centre, centre + reach], beyond, 66 * share)
    marked = {"slash": marks.slashes, "none": marks.crosses, "dot": marks.dots}
    return set(marks.cells) | {name for name, places in marked.items() if places}


def _draw_scale(
    axes: Axes, scale: ScalarMappable, metric: Metric, ticks: list[float], beyond: tuple[bool, bool], aspect: float
) -> None:
    """Draw the colour bar above a panel, pointed where values lie beyond its ends."""
    bar = color_bar(scale, axes, beyond, location="top", aspect=aspect, shrink=0.85)
    bar.set_ticks(ticks)
    bar.set_label(printing.plain(style.metric_label(metric)))


def color_bar(
    scale: ScalarMappable,
    axes: Axes | Sequence[Axes],
    beyond: tuple[bool, bool],
    *,
    location: Literal["top", "bottom"],
    aspect: float,
    shrink: float,
) -> Colorbar:
    """Draw a colour bar, pointed where values lie beyond its lower and its upper end."""
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    figure: Any = (axes if isinstance(axes, Axes) else axes[0]).figure
    place: dict[str, Any] = {"location": location, "aspect": aspect, "shrink": shrink, "pad": 0.01}
    bar: Colorbar = figure.colorbar(scale, ax=axes, extend=ends[beyond], **place)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=1.5, pad=1)
    return bar


_EDGE: dict[str, Any] = {"edgecolor": "#c8c8c8", "linewidth": 0.25}
LOOKS: Mapping[str, dict[str, Any]] = {
    "none": {"facecolor": "white", **_EDGE},
    "skipped": {"facecolor": "#e6e6e6", "edgecolor": "#8a8a8a", "linewidth": 0.25, "hatch": HATCH},
    "absent": {"facecolor": "#e6e6e6", **_EDGE},
}


def _colours(metric: Metric) -> mpl.colors.Colormap:
    """Return diverging colours that are told apart without red-green sight; blue is better where anything is."""
    return mpl.colormaps[{"higher": "vlag_r", "lower": "vlag"}.get(metric.direction or "", "PuOr")]


def _column_labels(layers: Sequence[Layer], most: int) -> list[str]:
    inputs = [printing.plain(layer.label) for layer in layers if layer.role == INPUT]
    return inputs + layer_axis.tick_labels([layer for layer in layers if layer.role != INPUT], most)


def _label_rows(axes: Axes, layout: Layout, means: pd.DataFrame, *, named: bool) -> None:
    """Name the methods and their families beside the first panel; of those with fewer images, say how many."""
    images = {str(name): int(count) for name, count in means.groupby("method")["n_images"].max().items()}
    few = {entry: images[entry.name] for entry in layout.rows if images.get(entry.name, 0) not in (0, *_most(images))}
    labels: list[tuple[float, str, bool]] = []
    for (y, text), group in zip(layout.headings, _groups(layout), strict=True):
        counts = {few.get(entry) for entry in group if entry.name in images}
        shared = counts.pop() if len(counts) == 1 else None
        labels.append((y, text + (f" (n = {shared})" if shared else ""), True))
        for entry in group:
            n = few.get(entry) if shared is None else None
            labels.append((layout.rows[entry] + 0.5, entry.label + (f" (n = {n})" if n else ""), False))
    labels = labels if named else []
    axes.set_yticks([y for y, *_ in labels], [printing.plain(text) for _, text, _ in labels])
    for tick, (*_, heading) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heading else "normal")


def _most(images: Mapping[str, int]) -> tuple[int, ...]:
    return (max(images.values()),) if images else ()


def _groups(layout: Layout) -> list[list[Entry]]:
    """Return the methods below each heading."""
    return [list(group) for _, group in groupby(layout.rows, key=lambda entry: (entry.family, entry.scope))]


def _key(states: Collection[str]) -> list[Artist]:
    texts = {
        "dot": "better than every blind control",
        "slash": "fewer than half have a value",
        "none": "fewer than 1 in 10 has a value",
        "skipped": "skipped",
        "absent": "no maps",
    }
    return [key(state, text) for state, text in texts.items() if state in states]


def key(state: str, text: str) -> Artist:
    """Return the key's entry of a mark ('dot', 'slash', or 'none': a cross) or of a cell's state."""
    marks: dict[str, dict[str, Any]] = {
        "dot": {"marker": "o", "markersize": 3, "markeredgecolor": "white", "markeredgewidth": 0.35},
        "slash": {"marker": "$/$", "markersize": 4},
        "none": {"marker": "x", "markersize": 3.5},
    }
    if state in marks:
        return Line2D([], [], linestyle="none", color="black", label=text, **marks[state])
    return Patch(**LOOKS[state], label=text)
