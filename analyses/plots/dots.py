"""Many methods in one figure: each one's mean over the layers beside the controls' lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analyses import printing
from analyses.plots import style
from analyses.reading.catalogue import FAMILIES, SHOWN
from analyses.reading.results import Results

ROW, AROUND, BETWEEN = 0.138, 1.45, 0.3  # inches
SCOPES = {"layer": "of layers", "input": "of the input"}


def draw_summary(results: Results, summary: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a panel a metric, methods of layers above those of the input, each with its interval."""
    found = {metric.name: metric for metric in results.metrics}
    metrics = [found[name] for name in SHOWN if (summary["metric"] == name).any()]
    blocks = {scope: _order(summary[summary["scope"] == scope], metrics[0].name) for scope in SCOPES}
    blocks = {scope: names for scope, names in blocks.items() if names}
    rows = sum(len(names) for names in blocks.values())
    figure = style.figure(ROW * rows + BETWEEN * len(blocks) + AROUND, constrained=True)
    ratios = [len(names) + 1 for names in blocks.values()]
    grid = figure.subplots(max(1, len(blocks)), len(metrics), squeeze=False, sharex="col", height_ratios=ratios or [1])
    families = dict(zip(FAMILIES, style.model_lines(list(FAMILIES)).values(), strict=True))
    controls = [name for name in results.controls if (summary["method"] == name).any()]
    lines = {name: style.grey_line(i) for i, name in enumerate(controls)}
    for row, (scope, names) in zip(grid, blocks.items(), strict=False):
        part = summary[summary["scope"] == scope]
        images = part.loc[part["method"].isin(names), "n_images"].max()
        labels = _labels(results, part, names, images)
        for axes, metric in zip(row, metrics, strict=True):
            _draw_panel(axes, part[part["metric"] == metric.name], names, families, lines)
            style.rows(axes, len(names), labels if axes is row[0] else ())
            chance = metric.chance
            if isinstance(chance, (int, float)):
                axes.axvline(chance, color="black", linewidth=0.7, linestyle=":", zorder=0)
        few = f" (n = {images})" if images < summary["n_images"].max() else ""
        row[0].set_title(f"Methods {SCOPES[scope]}{few}", loc="left")
    for axes, metric in zip(grid[-1], metrics, strict=True):
        axes.set_xlabel(printing.plain(style.metric_label(metric)))
    key = _key(results, summary, families, lines)
    figure.legend(handles=key, loc="outside upper center", frameon=False, ncols=4, handlelength=2.2)
    return figure


def _order(part: pd.DataFrame, metric: str) -> list[str]:
    """Return the methods that are no controls by their mean, the highest first, undefined ones last."""
    rows = part[(part["metric"] == metric) & (part["family"] != "control")]
    return list(rows.sort_values("estimate", ascending=False, kind="stable")["method"])


def _draw_panel(
    axes: Axes,
    part: pd.DataFrame,
    names: Sequence[str],
    families: dict[str, style.Line],
    lines: dict[str, style.Line],
) -> None:
    rows = {str(row["method"]): row for row in part.to_dict("records")}
    for name, look in lines.items():
        if name in rows:
            row = rows[name]
            axes.axvspan(row["low"], row["high"], color=look.color, alpha=0.13, linewidth=0, zorder=0)
            axes.axvline(row["estimate"], color=look.color, linestyle=look.linestyle, linewidth=0.8, zorder=1)
    looks = [families.get(str(rows[name]["family"]), style.grey_line(0)) for name in names]
    found = [(y, look, rows[name]) for y, (name, look) in enumerate(zip(names, looks, strict=True))]
    style.dots(axes, [(y, look, row["estimate"], row["low"], row["high"]) for y, look, row in found])
    sns.despine(ax=axes)


def _labels(results: Results, part: pd.DataFrame, names: Sequence[str], images: int) -> list[str]:
    """Return the methods' names; of those with maps, or values, of fewer layers or images, with how many they are."""
    own = {str(row["method"]): row for row in part.to_dict("records")}
    layers = part["n_layers"].max()
    labels = []
    for name in names:
        row = own[name]
        few = [f"n = {row['n_images']}"] if row["n_images"] < images else []
        few += [f"{row['n_layers']} of {layers} layers"] if row["n_layers"] < layers else []
        defined = 1 - row["blank_share"] - row["undefined_share"]
        few += [f"{defined:.0%} of maps"] if defined < 0.5 else []
        labels.append(printing.plain(results.label("methods", name) + (f" ({', '.join(few)})" if few else "")))
    return labels


def _key(
    results: Results, summary: pd.DataFrame, families: dict[str, style.Line], lines: dict[str, style.Line]
) -> list[Artist]:
    there = set(summary["family"])
    mark: dict[str, Any] = {"linewidth": 0.9, "markersize": 3.2}
    handles: list[Artist] = [
        Line2D([], [], color=look.color, marker=look.marker, label=FAMILIES[family], **mark)
        for family, look in families.items()
        if family in there and family != "control"
    ]
    for name, look in lines.items():
        label = printing.plain(f"control: {results.label('methods', name)}")
        handles.append(Line2D([], [], color=look.color, linestyle=look.linestyle, linewidth=0.8, label=label))
    handles.append(Line2D([], [], color="black", linewidth=0.7, linestyle=":", label="chance"))
    return handles
