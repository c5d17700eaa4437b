"""Heat maps of layers by levels, a panel a metric; of layers by metrics where there is one level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Patch, Polygon, Rectangle
from numpy.typing import NDArray

from analyses import printing
from analyses.plots import style
from analyses.printing import MINUS
from analyses.reading.arrays import Floats, Grid
from analyses.reading.choices import DECODER
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results

ROW, HEAD, TILTED, FOOT = 0.122, 0.8, 0.5, 0.3  # inches: a layer's row, what is above the rows, below, at the foot
MOST_PANELS = 5  # beside each other, where they are of one metric
TITLE = 20  # characters in a line of a narrow panel's title
LONG = 14  # rows, beside which there is room for more words
SHORT = 4  # rows, of which the name of a part of the network stands upright
HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#8a8a8a", "linewidth": 0.25, "hatch": "////////"}
ABSENT: dict[str, Any] = {"facecolor": "#dddddd", "edgecolor": "white", "linewidth": 0.25}


def draw(results: Results, grid: Grid, frame: pd.DataFrame) -> list[matplotlib.figure.Figure]:
    """Draw the means of one model, `frame` being its part of the table `heatmap`, on as many pages as it takes."""
    levels = results.levels(grid.model)
    if len(levels) == 1:
        return [_draw_page(grid, of_groups(grid, frame), several=False)]
    panels = [of_metric(results, grid, frame, metric) for metric in grid.metrics]
    rows = max(1, int((style.HEIGHT - FOOT) / (ROW * len(grid.layers) + HEAD)))
    size = rows * MOST_PANELS
    return [_draw_page(grid, panels[start : start + size], several=True) for start in range(0, len(panels), size)]


def _draw_page(grid: Grid, panels: Sequence[Panel], *, several: bool) -> matplotlib.figure.Figure:
    """Draw panels of `several` levels, or of the only one."""
    across = MOST_PANELS if several else len(panels)
    rows = math.ceil(len(panels) / across)
    height = rows * (ROW * len(grid.layers) + HEAD) + FOOT + (0 if several else TILTED)
    figure = style.figure(height, constrained=True)
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.03, h_pad=0.03, wspace=0.01, hspace=0.01)
    widths = [1] * across if several else [len(panel.columns) for panel in panels]
    grid_axes = figure.subplots(rows, across, squeeze=False, width_ratios=widths)
    for number, axes in enumerate(grid_axes.ravel()):
        if number >= len(panels):
            axes.set_axis_off()
            continue
        _draw_panel(axes, panels[number], tilted=not several, width=widths[number % across] / sum(widths))
        labels = [printing.plain(layer.label) for layer in grid.layers] if number % across == 0 else []
        axes.set_yticks(np.arange(len(labels)) + 0.5, labels, rotation=0)
        _mark_parts(axes, grid.layers, named=number % across == across - 1)
        label = "Layer, in the order of execution" if len(grid.layers) >= LONG else "Layer"
        axes.set_ylabel(label if number % across == 0 else "")
        axes.set_xlabel("Level" if several and number + across >= len(panels) else "")
    key = _key(panels)
    if key:
        figure.legend(handles=key, loc="outside lower center", frameon=False, ncols=3)
    return style.settle(figure)


def _draw_panel(axes: Axes, panel: Panel, *, tilted: bool, width: float) -> None:
    uncoloured = np.isnan(panel.colours)
    sns.heatmap(
        panel.colours,
        ax=axes,
        mask=uncoloured,
        vmin=0,
        vmax=1,
        cmap=panel.colour_map,
        annot=panel.numbers,
        fmt="",
        annot_kws={"size": style.SMALL},
        linewidths=0.25,
        linecolor="white",
        cbar=False,
        xticklabels=False,
        yticklabels=False,
    )
    for state, look in ((panel.empty, HATCHED), (panel.absent, ABSENT)):
        if state.any():
            axes.add_collection(PatchCollection([Rectangle((x, y), 1, 1) for y, x in np.argwhere(state)], **look))
    corners = [Polygon([(x + 1, y), (x + 1, y + 0.45), (x + 0.7, y)]) for y, x in np.argwhere(panel.half)]
    axes.add_collection(PatchCollection(corners, facecolor="black", linewidth=0))
    for x in np.flatnonzero(panel.absent.all(axis=0)):
        middle = len(panel.colours) / 2
        axes.text(x + 0.5, middle, "not reached", rotation=90, ha="center", va="center", size=style.SMALL)
    turned: dict[str, Any] = {"rotation": 90 if len(panel.columns) > NUMBERED else 0}
    if tilted:
        turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    labels = [printing.plain(name) for name in panel.columns]
    axes.set_xticks(np.arange(len(labels)) + 0.5, labels, **turned)
    axes.tick_params(length=0, pad=1.5)
    for text in axes.texts:
        text.set_in_layout(False)  # they lie inside
        text.set_clip_on(False)
    _draw_bar(axes, panel, width)


def _draw_bar(axes: Axes, panel: Panel, width: float) -> None:
    """Draw the part of the colour scale that occurs above a panel, which has this share of the page's width."""
    low, high = panel.shown
    colours = ListedColormap(panel.colour_map(np.linspace(low, high, 256)))
    scale = ScalarMappable(Normalize(low, high), colours)
    bar = axes.figure.colorbar(scale, ax=axes, location="top", pad=0.01, aspect=60 * width)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=1.5, pad=1)
    bar.set_ticks(list(panel.ticks), labels=list(panel.ticks.values()))
    for place, label in zip(panel.ticks, bar.ax.get_xticklabels(), strict=True):
        label.set_horizontalalignment("left" if place == low else "right" if place == high else "center")
    bar.set_label(printing.plain(panel.title, TITLE if width < 0.25 else None))


def _mark_parts(axes: Axes, layers: Sequence[Layer], *, named: bool) -> None:
    """Draw a line where the decoder begins or ends, and name the parts on the right, where that is wanted."""
    top = 0
    for decoder, layers_of_part in groupby(layers, key=lambda layer: layer.role == DECODER):
        size = len(list(layers_of_part))
        if top:
            axes.axhline(top, color="black", linewidth=1.0)
        if named:
            text = "Decoder" if decoder else "Encoder"
            axes.annotate(
                text,
                (1, top + size / 2),
                xycoords=axes.get_yaxis_transform(),
                xytext=(3, 0),
                textcoords="offset points",
                rotation=0 if size < SHORT else 270,
                va="center",
                annotation_clip=False,
            )
        top += size


def _key(panels: Sequence[Panel]) -> list[Patch]:
    """Return the key of the signs that are in some panel."""
    signs: list[tuple[NDArray[np.bool_], Patch]] = []
    for panel in panels:
        signs += [
            (panel.empty, Patch(**HATCHED, label="fewer than 1 in 10 maps has a value")),
            (panel.half, Patch(facecolor="black", label="corner: fewer than half of the maps have a value")),
            (panel.absent, Patch(**ABSENT, label="no maps")),
        ]
    patches = {str(patch.get_label()): patch for state, patch in signs if state.any()}
    return [patches[label] for label in sorted(patches)]


FEW, HALF = 0.1, 0.5
"""Shares of maps with a value: below the first a cell has no colour, below the second a mark."""


NUMBERED = 5
"""The most levels whose numbers have room in their cells."""


SAME = 0.005
"""Means that differ by less are printed alike, and have one colour."""


DIVERGING = {"higher": "vlag_r", "lower": "vlag"}


UNDIRECTED = "PuOr"


APART = 0.3
"""The least distance of a tick from that of chance, as a share of the bar."""


_GROUPS: dict[str, tuple[str, dict[float, str], str | None]] = {
    "better": ("Metrics with a better side", {0.0: "worse", 0.5: "chance", 1.0: "better"}, DIVERGING["higher"]),
    "side": ("No side is better", {0.0: "below", 0.5: "chance", 1.0: "above"}, UNDIRECTED),
    "none": ("No chance value", {0.0: "lowest", 1.0: "highest"}, None),
}


@dataclass(frozen=True)
class Panel:
    """Cells of one colour scale.

    Attributes:
        colours: places in 0..1 of the colours, (layers, columns); NaN for cells without a colour.
        shown: the ends of the part of 0..1 that the scale's bar shows.
        numbers: what is written in the cells; '' for nothing.
        empty: cells whose maps have no value; `absent`: cells without maps; `half`: those with few values.
        columns: their labels.
        colour_map: the scale's colours.
        ticks: of the scale, by place in 0..1.
        title: of the scale.
    """

    colours: Floats
    shown: tuple[float, float]
    numbers: NDArray[np.str_]
    empty: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    half: NDArray[np.bool_]
    columns: list[str]
    colour_map: mpl.colors.Colormap
    ticks: dict[float, str]
    title: str


def of_metric(results: Results, grid: Grid, frame: pd.DataFrame, metric: Metric) -> Panel:
    """Return the panel of one metric: layers by levels, those that were not reached among them."""
    levels = results.levels(grid.model)
    rows = frame[frame["metric"] == metric.name]
    table = _table(rows, grid.layers, levels, "level")
    states = _states(table)
    means = np.where(states["empty"], np.nan, table["mean"])
    colours, low, middle, high = scale(means, _number(rows["chance"]))
    ticks = {place: printed(low + place * (high - low)) for place in _ends(colours)}
    if not math.isnan(middle):
        ticks = {place: text for place, text in ticks.items() if abs(place - 0.5) > APART * np.ptp(list(ticks))}
        ticks[0.5] = printed(middle)
    return Panel(
        colours=colours,
        shown=_ends(colours) if math.isnan(middle) else (min(0.5, _ends(colours)[0]), max(0.5, _ends(colours)[1])),
        numbers=_numbers(table["mean"], states["empty"] | (len(levels) > NUMBERED)),
        **states,
        columns=[results.level(grid.model, level, measured=False) for level in levels],
        colour_map=_colour_map(metric, _has_chance(rows)),
        ticks=ticks,
        title=style.metric_label(metric),
    )


def of_groups(grid: Grid, frame: pd.DataFrame) -> list[Panel]:
    """Return a panel for each kind of metric: layers by metrics, each column scaled by itself."""
    panels = []
    for kind, (title, ticks, name) in _GROUPS.items():
        metrics = [metric for metric in grid.metrics if _kind(metric, frame) == kind]
        if not metrics:
            continue
        table = _table(frame, grid.layers, [metric.name for metric in metrics], "metric")
        states = _states(table)
        means = np.where(states["empty"], np.nan, table["mean"])
        scaled = []
        for i, metric in enumerate(metrics):
            rows = frame[frame["metric"] == metric.name]
            colours, *_ = scale(means[:, i : i + 1], _number(rows["chance"]))
            scaled.append(1 - colours if kind == "better" and metric.direction == "lower" else colours)
        panels.append(
            Panel(
                colours=np.concatenate(scaled, axis=1),
                shown=(0.0, 1.0),
                numbers=_numbers(table["mean"], states["empty"]),
                **states,
                columns=[style.metric_label(metric) for metric in metrics],
                colour_map=mpl.colormaps[name] if name else _greys(),
                ticks=ticks,
                title=title,
            )
        )
    return panels


def scale(means: Floats, chance: float) -> tuple[Floats, float, float, float]:
    """Return means as places in 0..1 on their colour scale, and the scale's lower end, middle and upper end.

    With a chance value c the scale is c - r .. c + r, r the largest distance from c, and 0.5 is chance; without one it
    goes from the lowest to the highest mean, and the middle is NaN. A scale on which all numbers would be printed
    alike is 1 long on a side.

    Args:
        means: of one metric; NaN is undefined and stays so.
        chance: NaN for none.

    >>> scale(np.array([[0.5], [-0.25]]), 0.0)[0].tolist()
    [[1.0], [0.25]]
    """
    defined = means[~np.isnan(means)]
    if math.isnan(chance):
        low, high = (float(defined.min()), float(defined.max())) if defined.size else (0.0, 1.0)
        middle = math.nan
        high = high if high - low >= SAME else low + 1.0
    else:
        reach = float(np.abs(defined - chance).max()) if defined.size else 1.0
        reach = reach if reach >= SAME else 1.0
        low, middle, high = chance - reach, chance, chance + reach
    return (means - low) / (high - low), low, middle, high


def _table(frame: pd.DataFrame, layers: Sequence[Layer], columns: Sequence[Any], by: str) -> dict[str, Floats]:
    """Return means, and shares of maps with a value, (layers, columns); NaN where there are no maps."""
    names = [layer.name for layer in layers]
    defined = 1 - frame["n_undefined"] / frame["n_maps"]
    values_of = {"mean": frame["mean"], "share": defined}
    return {
        key: frame.assign(value=values)
        .pivot(index="layer", columns=by, values="value")
        .reindex(index=names, columns=list(columns))
        .to_numpy(dtype=np.float64)
        for key, values in values_of.items()
    }


def _states(table: dict[str, Floats]) -> dict[str, NDArray[np.bool_]]:
    absent = np.isnan(table["share"])
    share = np.where(absent, 1.0, table["share"])
    empty = ~absent & ((share < FEW) | np.isnan(table["mean"]))
    return {"empty": empty, "absent": absent, "half": ~absent & ~empty & (share < HALF)}


def _kind(metric: Metric, frame: pd.DataFrame) -> str:
    if not _has_chance(frame[frame["metric"] == metric.name]):
        return "none"
    return "better" if metric.direction in DIVERGING else "side"


def _has_chance(frame: pd.DataFrame) -> bool:
    return bool(frame["chance"].notna().any())


def _colour_map(metric: Metric, has_chance: bool) -> mpl.colors.Colormap:
    return mpl.colormaps[DIVERGING.get(metric.direction or "", UNDIRECTED)] if has_chance else _greys()


def _greys() -> mpl.colors.Colormap:
    return mpl.colors.LinearSegmentedColormap.from_list("greys", ["#f4f4f4", "#4a4a4a"])


def _number(column: pd.Series) -> float:
    defined = column.dropna()
    return float(defined.iloc[0]) if len(defined) else math.nan


def printed(value: float) -> str:
    """Return a mean in print, with two decimals below ten and one below a hundred; '' for NaN.

    >>> printed(-0.104), printed(-0.001), printed(47.23), printed(float("nan"))
    ('−0.10', '0.00', '47.2', '')
    """
    if math.isnan(value):
        return ""
    text = f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"
    return text.lstrip("-") if not float(text) else text.replace("-", MINUS)


def _numbers(means: Floats, left_out: NDArray[np.bool_]) -> NDArray[np.str_]:
    shown = np.where(left_out, np.nan, means)
    return np.array([printed(float(value)) for value in shown.ravel()], dtype=np.str_).reshape(means.shape)


def _ends(colours: Floats) -> tuple[float, float]:
    """Return the lowest and the highest place of a panel, which differ."""
    defined = colours[~np.isnan(colours)]
    low, high = (float(defined.min()), float(defined.max())) if defined.size else (0.0, 1.0)
    return (low, high) if low < high else (0.0, 1.0)
