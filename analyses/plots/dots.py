"""Dots with intervals, a row a method; and all methods' means in one figure, beside the blind controls' lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analyses import printing
from analyses.plots import lines, networks, style
from analyses.plots.networks import FEW
from analyses.reading.catalogue import BLIND, FAMILIES, SHOWN
from analyses.reading.results import Results

ROW, AROUND, BETWEEN = 0.138, 1.45, 0.3  # inches
MOST_PANELS = 4
SCOPES = {"layer": "of layers", "input": "of the input"}


def draw_panel(
    axes: Axes,
    frame: pd.DataFrame,
    looks: Mapping[str, style.Line],
    labels: Sequence[str] = (),
    *,
    reference: object = None,
    missing: str = "",
) -> None:
    """Draw a dot with its interval a method.

    Args:
        axes: of the panel.
        frame: rows of `method`, `estimate`, `low` and `high`; and, if any marks are so, of whether it is `hollow`.
        looks: of the methods, a row each, the first on top.
        labels: of the rows; none where another panel names them.
        reference: where a dotted upright line stands; none where it is no number.
        missing: what is written in the row of a method without a value.
    """
    count = len(looks)
    across = [[(0.0, y), (1.0, y)] for y in range(count)]
    behind: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "zorder": 0.5}
    axes.add_collection(LineCollection(across, colors="#eeeeee", linewidths=0.5, **behind), autolim=False)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(count - 0.4, -0.6)
    if isinstance(reference, (int, float)):
        axes.axvline(reference, **lines.REFERENCE, zorder=0)
    places = {name: y for y, name in enumerate(looks)}
    rows = frame[frame["method"].isin(list(looks))]
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "size": style.SMALL, "color": style.GREY_TEXT}
    there = set(rows["method"].astype(str))
    for name in (name for name in looks if missing and name not in there):
        text = axes.text(0.02, places[name], missing, va="center", **beside)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # no line strikes it through
    y = rows["method"].astype(str).map(places)
    colours = [looks[str(name)].color for name in rows["method"]]
    bounded = np.isfinite(rows[["low", "high"]].to_numpy(np.float64)).all(axis=1)
    ends = rows[bounded]
    axes.hlines(
        y[bounded], ends["low"], ends["high"], [c for c, b in zip(colours, bounded, strict=True) if b], linewidth=0.9
    )
    for place, colour, row in zip(y, colours, rows.to_dict("records"), strict=True):
        marker = looks[str(row["method"])].marker
        marker = "o" if marker == "None" else marker
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 3.2}
        axes.plot(row["estimate"], place, markerfacecolor="white" if row.get("hollow") else colour, **look)
    sns.despine(ax=axes)


def draw_summary(results: Results, summary: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the methods' means over layers: a column a network, or a metric where there is one network.

    Methods of layers stand above those of the input, and those with few images apart; each in the order of its mean.
    """
    models = [model for model in results.models if (summary["model"] == model).any()]
    metrics = [metric for name in SHOWN[:2] for metric in results.metrics if metric.name == name]
    metrics = [metric for metric in metrics if (summary["metric"] == metric.name).any()]
    metrics = metrics if len(models) * len(metrics) <= MOST_PANELS else metrics[:1]
    columns = [(model, metric) for metric in metrics for model in models]
    blocks = _blocks(summary, metrics[0].name)
    rows = sum(len(names) for names in blocks.values())
    figure = style.figure(ROW * rows + BETWEEN * len(blocks) + AROUND, constrained=True)
    ratios = [len(names) + 1 for names in blocks.values()]
    shared: Literal["all", "col"] = "all" if len(metrics) == 1 else "col"
    grid = figure.subplots(len(blocks), len(columns), squeeze=False, sharex=shared, height_ratios=ratios)
    family_looks = dict(zip(FAMILIES, style.model_lines(list(FAMILIES)).values(), strict=True))
    control_looks = {
        name: style.grey_line(i) for i, name in enumerate(n for n in BLIND if (summary["method"] == n).any())
    }
    families = dict(zip(summary["method"].astype(str), summary["family"].astype(str), strict=True))
    for axes_row, ((scope, few), names) in zip(grid, blocks.items(), strict=True):
        of_scope = summary[summary["scope"] == scope]
        looks = {name: family_looks.get(families[name], style.grey_line(0)) for name in names}
        images = of_scope.groupby("method")["n_images"].max()
        labels = [_with_images(results.label("methods", name), images[name], images.max()) for name in names]
        for axes, (model, metric) in zip(axes_row, columns, strict=True):
            of_panel = of_scope[(of_scope["model"] == model) & (of_scope["metric"] == metric.name)]
            _draw_controls(axes, of_panel, control_looks)
            shown = labels if axes is axes_row[0] else ()
            draw_panel(axes, of_panel.assign(hollow=less(of_panel)), looks, shown, reference=metric.chance)
        axes_row[0].set_title(f"Methods {SCOPES[scope]}{_of_few(of_scope, names) if few else ''}", loc="left")
    for axes, (model, metric) in zip(grid[-1], columns, strict=True):
        name = networks.name_of(results, model)
        label = style.metric_label(metric)
        axes.set_xlabel(
            printing.plain(label) if len(models) == 1 else f"{printing.plain(label)}\n{printing.plain(name)}"
        )
    style.add_key(figure, _key(results, summary, family_looks, control_looks), 5, length=2.2)
    return figure


def _blocks(summary: pd.DataFrame, metric: str) -> dict[tuple[str, bool], list[str]]:
    """Return the methods by scope, and by whether all of a method's networks have few images, the highest first."""
    rows = summary[(summary["metric"] == metric) & (summary["family"] != "control")]
    blocks: dict[tuple[str, bool], list[str]] = {}
    for scope in SCOPES:
        by_method = rows[rows["scope"] == scope].groupby("method", sort=False)
        means = by_method["estimate"].mean().sort_values(ascending=False, kind="stable")
        most = by_method["n_images"].max()
        for few in (False, True):
            names = [str(name) for name in means.index if (most[name] < FEW) == few]
            if names:
                blocks[scope, few] = names
    return blocks


def _with_images(label: str, images: int, most: int) -> str:
    """Return a method's label with the number of its images, where others have more."""
    return printing.plain(label) + (f", n {images}" if images < most else "")


def less(frame: pd.DataFrame) -> pd.Series:
    """Return which means are of fewer layers than others, or of fewer than half of the maps."""
    without = frame[["blank_share", "undefined_share"]].sum(axis=1)
    most = frame.groupby(["model", "scope"])["n_layers"].transform("max")
    fewer: pd.Series[bool] = (frame["n_layers"] < most) | (without > 0.5)
    return fewer


def _of_few(frame: pd.DataFrame, methods: Sequence[str]) -> str:
    """Say that methods are of few images, and of how many the controls are where that is more."""
    images = frame[frame["method"].isin(BLIND)]["n_images"].max()
    more = images > frame[frame["method"].isin(list(methods))]["n_images"].max()
    return f", fewer than {FEW} images{f'; controls of {images:.0f}' if more else ''}"


def _draw_controls(axes: Axes, frame: pd.DataFrame, looks: Mapping[str, style.Line]) -> None:
    """Draw each control as an upright line with its band."""
    rows = {str(row["method"]): row for row in frame.to_dict("records")}
    for name, look in looks.items():
        if name in rows:
            row = rows[name]
            axes.axvspan(row["low"], row["high"], color=look.color, alpha=0.13, linewidth=0, zorder=0)
            axes.axvline(row["estimate"], color=look.color, linestyle=look.linestyle, linewidth=0.8, zorder=1)


def _key(
    results: Results,
    summary: pd.DataFrame,
    family_looks: Mapping[str, style.Line],
    control_looks: Mapping[str, style.Line],
) -> list[Artist]:
    families = set(summary["family"]) - {"control"}
    mark: dict[str, Any] = {"linewidth": 0.9, "markersize": 3.2}
    key: list[Artist] = [
        Line2D([], [], color=look.color, marker=look.marker, label=FAMILIES[family], **mark)
        for family, look in family_looks.items()
        if family in families
    ]
    if less(summary[summary["family"] != "control"]).any():
        key.append(lines.dots_key("hollow", "fewer layers or maps"))
    key.append(Line2D([], [], color=style.GREY, linewidth=0.9, marker="o", markersize=3.2, label=lines.INTERVAL))
    key += control_key(results, control_looks)
    if control_looks:
        key.append(lines.band_key(f"{lines.INTERVAL} of controls"))
    return [*key, lines.reference_key()]


def control_key(results: Results, looks: Mapping[str, style.Line]) -> list[Line2D]:
    """Return the key's entries of controls that are drawn as upright lines."""
    names = {name: printing.plain(f"control: {results.label('methods', name)}") for name in looks}
    return [lines.line_key(look, names[name], 0.8) for name, look in looks.items()]
