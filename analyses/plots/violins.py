"""Violins of images' scores: a panel a metric, a place a layer, and at each place a violin a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analyses import printing
from analyses.plots import style
from analyses.reading.arrays import Floats, Grid
from analyses.reading.choices import DECODER
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results

FEWEST = 10
"""Images, of fewer than which no density is drawn."""
OUTER, FAR = (0.005, 0.995), 0.2
PANEL, AROUND, SLANTED = 1.95, 0.75, 0.5  # inches
FILL = 0.84  # of a place
MOST_UPRIGHT = 6  # layers whose labels have room side by side


def draw(results: Results, grid: Grid, layers: Sequence[Layer], frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the images' scores of one model: `frame` is its part of the table `distributions`."""
    metrics = [(k, metric) for k, metric in enumerate(grid.metrics)]
    slanted = len(layers) > MOST_UPRIGHT
    figure = style.figure(PANEL * len(metrics) + AROUND + SLANTED * slanted, constrained=True)
    panels: list[Axes] = list(figure.subplots(len(metrics), 1, squeeze=False, sharex=True).ravel())
    lines = style.level_lines(results.levels(grid.model))
    for axes, (k, metric) in zip(panels, metrics, strict=True):
        of_metric = frame[frame["metric"] == metric.name]
        _draw_panel(axes, grid, layers, grid.by_image(k), lines)
        _label(axes, grid, layers, of_metric, metric)
    labels = [printing.plain(layer.label) for layer in layers]
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    panels[-1].set_xticks(range(len(layers)), labels, **turned)
    panels[-1].set_xlabel("Layer, in the order of execution")
    key = _key(results, grid, lines, chance=bool(frame["chance"].notna().any()))
    figure.legend(handles=key, loc="outside upper center", frameon=False, ncols=min(len(key), 5))
    figure.align_ylabels(panels)
    return style.settle(figure)


def places(count: int, layers: int) -> Floats:
    """Return where the violins of `count` levels stand on an axis of layers at 0, 1, 2, ...: (layers, count).

    >>> places(2, 2).tolist()
    [[-0.21, 0.21], [0.79, 1.21]]
    """
    offsets = (np.arange(count) - (count - 1) / 2) * FILL / count
    at: Floats = np.arange(layers)[:, None] + offsets
    return at


def percent(count: int, total: int) -> str:
    """Return a share in percent in print, without the sign, in which 0 is none and 100 is all.

    >>> percent(404, 405), percent(405, 405), percent(1, 405), percent(81, 405)
    ('>99', '100', '<1', '20')
    """
    share = 100 * count / total
    if 0 < share < 0.5:
        return "<1"
    return ">99" if 99.5 <= share < 100 else f"{share:.0f}"


def _draw_panel(
    axes: Axes, grid: Grid, layers: Sequence[Layer], by_image: Floats, lines: Mapping[int, style.Line]
) -> None:
    at = places(len(grid.levels), len(layers))
    width = 0.92 * FILL / len(grid.levels)
    everything = by_image[:, [grid.layers.index(layer) for layer in layers]]
    for i, level in enumerate(grid.levels):
        scores = {float(x): values[~np.isnan(values)] for x, values in zip(at[:, i], everything[i], strict=True)}
        color = lines[level].color
        many = {x: values for x, values in scores.items() if values.size >= FEWEST}
        _draw_densities(axes, many, width, color)
        for x, values in scores.items():
            if values.size < FEWEST:
                axes.scatter(np.full(values.size, x), values, s=7, color=color, alpha=0.7, linewidths=0)
        for x, values in many.items():
            low, high = (float(value) for value in np.quantile(values, [0.25, 0.75]))
            axes.fill_between([x - width / 7, x + width / 7], low, high, color=color, linewidth=0, zorder=3)
        middles = [float(np.median(values)) for values in scores.values() if values.size]
        rings = [x for x, values in scores.items() if values.size]
        axes.scatter(rings, middles, s=9, facecolor="white", edgecolor="black", linewidths=0.6, zorder=4)
    low, high = window(everything)
    if low < high:
        margin = 0.04 * (high - low)
        axes.set_ylim(low - margin, high + margin)
        beyond = int(((everything < low - margin) | (everything > high + margin)).sum())
        if beyond:
            text = f"{beyond} value{'s' if beyond > 1 else ''} beyond the axis"
            place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "size": style.SMALL}
            ground: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
            axes.text(0.995, 0.02, text, color=style.GREY_TEXT, bbox=ground, **place)


def window(values: Floats) -> tuple[float, float]:
    """Return the ends of the axis: those of the values, or where few lie far out, the quantiles `OUTER`.

    NaN is left out. An end is moved where the values beyond the quantile take up `FAR` of the range or more.

    >>> window(np.array([-90.0, *np.linspace(0, 1, 999)]))[1]
    1.0
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return 0.0, 0.0
    ends = (float(defined.min()), float(defined.max()))
    inner = tuple(float(value) for value in np.quantile(defined, OUTER))
    far = FAR * (ends[1] - ends[0])
    return (inner[0] if inner[0] - ends[0] > far else ends[0], inner[1] if ends[1] - inner[1] > far else ends[1])


def _draw_densities(axes: Axes, scores: Mapping[float, Floats], width: float, color: str) -> None:
    """Draw a violin at each place: the images' values there, ten or more."""
    if not scores:
        return
    spacing = float(np.diff(sorted(scores)).min()) if len(scores) > 1 else 1.0  # seaborn's unit of width
    sns.violinplot(
        x=np.repeat(list(scores), [values.size for values in scores.values()]),
        y=np.concatenate(list(scores.values())),
        ax=axes,
        native_scale=True,
        width=width / spacing,
        cut=0,
        density_norm="width",
        inner=None,
        color=color,
        saturation=1,
        alpha=0.4,
        linewidth=0.5,
        linecolor=color,
    )


def _label(axes: Axes, grid: Grid, layers: Sequence[Layer], frame: pd.DataFrame, metric: Metric) -> None:
    """Write the counts above a panel, draw chance and the line before the decoder, and name the axis."""
    directed = metric.direction in style.ARROWS
    counted = "n_better" if directed else "n_above"
    rows = {(row["level"], row["layer"]): row for row in frame.to_dict("records")}
    at = places(len(grid.levels), len(layers))
    above: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "size": style.SMALL, "va": "bottom"}
    has_chance = bool(frame["chance"].notna().any())
    for i, level in enumerate(grid.levels):
        for x, layer in zip(at[:, i], layers, strict=True):
            row = rows.get((level, layer.name))
            if row is None:
                continue
            axes.text(x, 1.115, str(row["n_images"]), ha="center", **above)
            if has_chance and row["n_images"]:
                axes.text(x, 1.025, percent(row[counted], row["n_images"]), ha="center", **above)
    beside: dict[str, Any] = {**above, "transform": axes.transAxes, "ha": "right", "color": style.GREY_TEXT}
    axes.text(-0.01, 1.115, "n", **beside)
    if has_chance:
        axes.text(-0.01, 1.025, "% better" if directed else "% above", **beside)
        axes.axhline(float(frame["chance"].mean()), color="black", linewidth=0.7, linestyle=":", zorder=0)
    if frame["n_images"].sum() == 0:
        axes.text(0.5, 0.5, "undefined for every map", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
    for j in range(1, len(layers)):
        if (layers[j].role == DECODER) != (layers[j - 1].role == DECODER):
            axes.axvline(j - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.set(xlabel="", ylabel=printing.plain(style.metric_label(metric)))
    axes.set_xlim(-0.5, len(layers) - 0.5)
    sns.despine(ax=axes)


def _key(results: Results, grid: Grid, lines: Mapping[int, style.Line], *, chance: bool) -> list[Artist]:
    handles: list[Artist] = []
    if len(lines) > 1:
        for level, look in lines.items():
            missed = f"{results.level(grid.model, level)}: not reached"
            text = results.level_phrase(grid.model, level) if level in grid.levels else missed
            handles.append(Patch(facecolor=look.color, alpha=0.7, linewidth=0, label=text))
    if chance:
        handles.append(Line2D([], [], color="black", linewidth=0.7, linestyle=":", label="chance"))
    return handles or [Patch(facecolor=lines[grid.levels[0]].color, alpha=0.7, linewidth=0, label="images")]
