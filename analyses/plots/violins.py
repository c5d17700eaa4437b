"""Violins of images' scores: a row a metric, a column a network, a place a layer, and there a violin a level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from analyses.plots import networks, style
from analyses.plots.lines import REFERENCE
from analyses.reading.arrays import Floats
from analyses.reading.choices import DECODER
from analyses.reading.grids import Grid
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results

FEWEST = 10
"""Images, of fewer than which no density is drawn."""
OUTER, FAR = (0.005, 0.995), 0.2
PANEL, AROUND, AXIS = 1.8, 1.1, 0.35  # inches
NARROWEST, MOST_NARROW = 3, 13  # violins: room of a panel at least; those that one column of a page has room for
NUMBER = 13.5  # points: of a share above a violin
FILL = 0.84  # of a place


@dataclass(frozen=True)
class Shown:
    """What is drawn of one network: its scores, some layers, and their part of the table `distributions`."""

    grid: Grid
    layers: Sequence[Layer]
    frame: pd.DataFrame

    def scores(self, metric: Metric) -> Floats:
        """Return the images' scores, (levels, layers shown, images)."""
        at = [self.grid.layers.index(layer) for layer in self.layers]
        return self.grid.by_image(self.grid.metrics.index(metric))[:, at]


def draw(results: Results, networks_shown: Sequence[Shown], metrics: Sequence[Metric]) -> matplotlib.figure.Figure:
    """Draw the images' scores: a row a metric, a column a network."""
    models = [one.grid.model for one in networks_shown]
    counts = [max(len(one.grid.levels) * len(one.layers), NARROWEST) for one in networks_shown]
    width = style.COLUMN if sum(counts) <= MOST_NARROW else style.WIDTH
    place = 72 * (width - AXIS * len(counts)) / sum(counts)
    figure = style.figure(PANEL * len(metrics) + AROUND, width, constrained=True)
    axes_of = figure.subplots(len(metrics), len(models), squeeze=False, sharex="col", width_ratios=counts)
    lines = networks.looks(results, models)
    for row, metric in zip(axes_of, metrics, strict=True):
        values = [one.grid.by_image(one.grid.metrics.index(metric)) for one in networks_shown]
        drawn = [
            v[:, [one.grid.layers.index(x) for x in one.layers]] for v, one in zip(values, networks_shown, strict=True)
        ]
        ends = window(np.concatenate([scores.ravel() for scores in drawn]))
        for axes, one, scores in zip(row, networks_shown, drawn, strict=True):
            rows = one.frame[one.frame["metric"] == metric.name]
            _draw_panel(axes, one, scores, lines, ends)
            _label(axes, one, rows, metric, named=axes is row[0], counted=FILL * place >= NUMBER)
    for axes, one in zip(axes_of[0], networks_shown, strict=True):
        levels = one.grid.levels
        words = [networks.name_of(results, one.grid.model)]
        words += [results.level(one.grid.model, levels[0])] if len(levels) == 1 else []
        room = int(place * max(NARROWEST, len(one.layers) * len(levels)) / networks.LETTER) + 4
        axes.set_title("\n".join(printing.plain(text, room) for text in words), loc="left", pad=24)
    for axes, one in zip(axes_of[-1], networks_shown, strict=True):
        labels = [printing.plain(layer.label) for layer in one.layers]
        points = place * max(NARROWEST, len(one.layers) * len(one.grid.levels)) / len(one.layers)
        upright = max(map(len, labels)) * networks.LETTER > points
        axes.set_xticks(range(len(labels)), labels, rotation=90 if upright else 0)
    has_chance = any(bool(one.frame["chance"].notna().any()) for one in networks_shown)
    marks = networks.level_key(results, models, lines) if len(lines) > 1 else []
    key: list[Artist] = [
        Patch(facecolor=look.color, alpha=0.7, linewidth=0, label=str(mark.get_label()))
        for mark, look in zip(marks, lines.values(), strict=False)
    ]
    key.append(Patch(facecolor=style.GREY, linewidth=0, label="quartiles"))
    ring: dict[str, Any] = {"marker": "o", "markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.6}
    key.append(Line2D([], [], linestyle="none", color="black", label="median", **ring))
    key += [Line2D([], [], label="chance", **REFERENCE)] if has_chance else []
    style.add_key(figure, key, 6)
    return figure


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
    axes: Axes, one: Shown, everything: Floats, lines: Mapping[int, style.Line], ends: tuple[float, float]
) -> None:
    grid = one.grid
    at = places(len(grid.levels), len(one.layers))
    width = 0.92 * FILL / len(grid.levels)
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
    low, high = ends
    if low < high:
        margin = 0.04 * (high - low)
        axes.set_ylim(low - margin, high + margin)
        beyond = int(((everything < low - margin) | (everything > high + margin)).sum())
        if beyond:
            text = f"{beyond} beyond"
            place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "size": style.SMALL}
            ground: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
            axes.text(0.995, 0.045, text, color=style.GREY_TEXT, bbox=ground, **place)


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


def _label(axes: Axes, one: Shown, frame: pd.DataFrame, metric: Metric, *, named: bool, counted: bool) -> None:
    """Write above a panel how many images are better than chance, draw chance and the decoder's line, name the axis."""
    directed = metric.direction in style.ARROWS
    column = "n_better" if directed else "n_above"
    rows = {(row["level"], row["layer"]): row for row in frame.to_dict("records")}
    at = places(len(one.grid.levels), len(one.layers))
    above: dict[str, Any] = {"size": style.SMALL, "va": "bottom"}
    has_chance = bool(frame["chance"].notna().any())
    for i, level in enumerate(one.grid.levels):
        for x, layer in zip(at[:, i], one.layers, strict=True):
            row = rows.get((level, layer.name))
            if counted and has_chance and row is not None and row["n_images"]:
                share = percent(row[column], row["n_images"])
                axes.text(x, 1.02, share, ha="center", transform=axes.get_xaxis_transform(), **above)
    if has_chance:
        if counted and named:
            what = "% better than chance:" if directed else "% above chance:"
            axes.text(0, 1.12, what, transform=axes.transAxes, color=style.GREY_TEXT, **above)
        axes.axhline(float(frame["chance"].mean()), **REFERENCE, zorder=0)
    if frame["n_images"].sum() == 0:
        axes.text(0.5, 0.5, "undefined for\nevery map", transform=axes.transAxes, ha="center", va="center")
    for j in range(1, len(one.layers)):
        if (one.layers[j].role == DECODER) != (one.layers[j - 1].role == DECODER):
            axes.axvline(j - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.set(xlabel="", ylabel=printing.plain(style.metric_label(metric)) if named else "")
    axes.tick_params(axis="y", labelleft=named)
    axes.set_xlim(-0.5, len(one.layers) - 0.5)
    sns.despine(ax=axes)
