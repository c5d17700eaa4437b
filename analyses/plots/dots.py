"""Dots with intervals, a row a method; and many methods in one figure, beside the controls' lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analyses import printing
from analyses.plots import lines, style
from analyses.reading.catalogue import FAMILIES, SHOWN
from analyses.reading.results import Results

ROW, AROUND, BETWEEN = 0.138, 1.45, 0.3  # inches
SCOPES = {"layer": "of layers", "input": "of the input"}


def draw_panel(
    axes: Axes,
    frame: pd.DataFrame,
    looks: Mapping[str, style.Line],
    labels: Sequence[str] = (),
    *,
    reference: object = None,
) -> None:
    """Draw a dot with its interval a method.

    Args:
        axes: of the panel.
        frame: rows of `method`, `estimate`, `low` and `high`.
        looks: of the methods, a row each, the first on top.
        labels: of the rows; none where another panel names them.
        reference: where a dotted upright line stands; none where it is no number.
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
        axes.plot(row["estimate"], place, color=colour, marker=marker, linestyle="none", markersize=3.2)
    sns.despine(ax=axes)


def draw_summary(results: Results, summary: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a panel a metric, methods of layers above those of the input, each with its interval."""
    metrics = [metric for name in SHOWN for metric in results.metrics if metric.name == name]
    metrics = [metric for metric in metrics if (summary["metric"] == metric.name).any()]
    blocks = {scope: _order(summary[summary["scope"] == scope], metrics[0].name) for scope in SCOPES}
    blocks = {scope: names for scope, names in blocks.items() if names}
    rows = sum(len(names) for names in blocks.values())
    figure = style.figure(ROW * rows + BETWEEN * len(blocks) + AROUND, constrained=True)
    ratios = [len(names) + 1 for names in blocks.values()]
    grid = figure.subplots(max(1, len(blocks)), len(metrics), squeeze=False, sharex="col", height_ratios=ratios or [1])
    family_looks = dict(zip(FAMILIES, style.model_lines(list(FAMILIES)).values(), strict=True))
    controls = [name for name in results.controls if (summary["method"] == name).any()]
    control_looks = {name: style.grey_line(i) for i, name in enumerate(controls)}
    families = dict(zip(summary["method"].astype(str), summary["family"].astype(str), strict=True))
    for axes_row, (scope, names) in zip(grid, blocks.items(), strict=False):
        of_scope = summary[summary["scope"] == scope]
        images = of_scope.loc[of_scope["method"].isin(names), "n_images"].max()
        labels = _labels(results, of_scope, names, images)
        looks = {name: family_looks.get(families[name], style.grey_line(0)) for name in names}
        for axes, metric in zip(axes_row, metrics, strict=True):
            of_metric = of_scope[of_scope["metric"] == metric.name]
            _draw_controls(axes, of_metric, control_looks)
            draw_panel(axes, of_metric, looks, labels if axes is axes_row[0] else (), reference=metric.chance)
        few = f" (n = {images})" if images < summary["n_images"].max() else ""
        axes_row[0].set_title(f"Methods {SCOPES[scope]}{few}", loc="left")
    for axes, metric in zip(grid[-1], metrics, strict=True):
        axes.set_xlabel(printing.plain(style.metric_label(metric)))
    key = _key(results, summary, family_looks, control_looks)
    figure.legend(handles=key, loc="outside upper center", frameon=False, ncols=4, handlelength=2.2)
    return figure


def _order(frame: pd.DataFrame, metric: str) -> list[str]:
    """Return the methods that are no controls by their mean, the highest first, undefined ones last."""
    rows = frame[(frame["metric"] == metric) & (frame["family"] != "control")]
    return list(rows.sort_values("estimate", ascending=False, kind="stable")["method"])


def _draw_controls(axes: Axes, frame: pd.DataFrame, looks: Mapping[str, style.Line]) -> None:
    """Draw each control as an upright line with its band."""
    rows = {str(row["method"]): row for row in frame.to_dict("records")}
    for name, look in looks.items():
        if name in rows:
            row = rows[name]
            axes.axvspan(row["low"], row["high"], color=look.color, alpha=0.13, linewidth=0, zorder=0)
            axes.axvline(row["estimate"], color=look.color, linestyle=look.linestyle, linewidth=0.8, zorder=1)


def _labels(results: Results, frame: pd.DataFrame, names: Sequence[str], images: int) -> list[str]:
    """Return the methods' names; of those with maps, or values, of fewer layers or images, with how many they are."""
    rows = {str(row["method"]): row for row in frame.to_dict("records")}
    layers = frame["n_layers"].max()
    labels = []
    for name in names:
        row = rows[name]
        few = [f"n = {row['n_images']}"] if row["n_images"] < images else []
        few += [f"{row['n_layers']} of {layers} layers"] if row["n_layers"] < layers else []
        defined = 1 - row["blank_share"] - row["undefined_share"]
        few += [f"{defined:.0%} of maps"] if defined < 0.5 else []
        labels.append(printing.plain(results.label("methods", name) + (f" ({', '.join(few)})" if few else "")))
    return labels


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
    key += control_key(results, control_looks)
    return [*key, lines.reference_key()]


def control_key(results: Results, looks: Mapping[str, style.Line]) -> list[Line2D]:
    """Return the key's entries of controls that are drawn as upright lines."""
    names = {name: printing.plain(f"control: {results.label('methods', name)}") for name in looks}
    return [lines.line_key(look, names[name], 0.8) for name, look in looks.items()]
