"""The figures of faithfulness: mean curves by layer, and dots by layer and method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.figure
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analyses import printing
from analyses.plots import style
from analyses.reading.catalogue import AGAINST
from analyses.reading.results import Results

MOST_LAYERS = 4
OUTCOME = "probability"
MAP, AREA_MATCHED, RANDOM = "map", "area_matched", "random"
BLUR_MATCHED = "random"
"""The control that is noise on the layer's own grid."""
IN_CURVES = ("random", "mask_oracle")
"""Controls that have room among the curves; the others are in the dots."""
ROW, AROUND, BETWEEN = 0.135, 1.05, 0.32  # inches
PANEL = 1.55
CURVES = {
    "deletion": ("Deletion ↓", "Share of pixels gone"),
    "insertion": ("Insertion ↑", "Share of pixels there"),
    "context_deletion": ("Context deletion ↓", "Share of the context gone"),
}
AREAS = {
    "deletion": ("Deletion", -1),
    "insertion": ("Insertion", 1),
    "context_deletion": ("Context\ndeletion", -1),
    "context_insertion": ("Context\ninsertion", 1),
}
MEASURES = {
    "infidelity": "Infidelity ↓",
    "sensitivity_n": "Sensitivity-n ↑",
    "max_sensitivity_frozen": "Max-sensitivity ↓,\npixels kept",
    "max_sensitivity_repicked": "Max-sensitivity ↓,\npicked again",
}


@dataclass(frozen=True)
class Panel:
    """Dots of one measure: rows of `layer`, `method`, `value`, `low` and `high`; and where a line is drawn."""

    title: str
    rows: pd.DataFrame
    line: float | None


def area_panels(frame: pd.DataFrame) -> list[Panel]:
    """Return a panel for each kind of curve and imputation, of the paired differences from the reference order."""
    own = frame[(frame["order"] == MAP) & (frame["outcome"] == OUTCOME) & (frame["against"] != "")]
    imputations = sorted(own["imputation"].unique(), key=lambda name: (name == "noisy_linear", name))
    panels = []
    for imputation in imputations:
        for measure, (title, sign) in AREAS.items():
            rows = own[(own["imputation"] == imputation) & (own["measure"] == measure)]
            if rows.empty:
                continue
            names = {"difference": "value", "difference_low": "low", "difference_high": "high"}
            rows = rows[["layer", "method", *names]].rename(columns=names)
            if imputation == "noisy_linear":
                rows = rows[rows["method"] != BLUR_MATCHED]  # the reference itself
            named = f"ROAD\n{title.lower()}" if imputation == "noisy_linear" else title
            panels.append(Panel(f"← {named}" if sign < 0 else f"{named} →", rows, 0.0))
    return panels


def measure_panels(frame: pd.DataFrame) -> list[Panel]:
    """Return a panel for each measure that is no area."""
    panels = []
    for measure, title in MEASURES.items():
        rows = frame[(frame["measure"] == measure) & (frame["order"] == MAP)]
        if len(rows):
            rows = rows[["layer", "method", "mean", "low", "high"]].rename(columns={"mean": "value"})
            line = {"infidelity": 1.0, "sensitivity_n": 0.0}.get(measure)
            panels.append(Panel(title, rows, line))
    return panels


def draw_curves(results: Results, points: pd.DataFrame, layers: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a row of panels a layer, a column a kind of curve; a line a method."""
    imputation = points["imputation"].iloc[0] if not (points["imputation"] == "blur").any() else "blur"
    points = points[(points["imputation"] == imputation) & (points["outcome"] == OUTCOME)]
    kinds = [kind for kind in CURVES if (points["measure"] == kind).any()]
    figure = style.figure(PANEL * len(layers) + 0.75, constrained=True)
    grid = figure.subplots(len(layers), len(kinds), squeeze=False, sharex=True)
    looks = _looks(results, points["method"])
    for row, layer in zip(grid, layers, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            part = points[points["measure"] == kind]
            _curve_panel(axes, part, layer, looks)
        row[0].set_ylabel(printing.plain(_layer_label(results, layer)) + "\nS(t) / S(0)")
    for axes, kind in zip(grid[0], kinds, strict=True):
        axes.set_title(CURVES[kind][0])
    for axes, kind in zip(grid[-1], kinds, strict=True):
        axes.set_xlabel(CURVES[kind][1])
    handles: list[Artist] = [
        Line2D([], [], color=look.color, marker=look.marker, linestyle=look.linestyle, label=_label(results, name))
        for name, look in looks.items()
        if name in IN_CURVES or look.marker != "None"
    ]
    handles.append(Line2D([], [], color="black", linestyle="-", linewidth=0.8, label="random order"))
    handles.append(
        Line2D([], [], color=style.GREY, linestyle=":", linewidth=0.9, label="area-matched order, by method")
    )
    figure.legend(handles=handles, loc="outside upper center", frameon=False, ncols=4, handlelength=2.6)
    return figure


def draw_dots(
    results: Results, panels: Sequence[Panel], layers: Sequence[str], label: str = ""
) -> matplotlib.figure.Figure:
    """Draw a block of rows a layer, a column a measure; a dot a method, with its interval; `label` under them all."""
    methods = pd.concat([panel.rows["method"] for panel in panels])
    looks = _looks(results, methods)
    labels = [_label(results, name) for name in looks]
    figure = style.figure((ROW * len(looks) + BETWEEN) * len(layers) + AROUND, constrained=True)
    grid = figure.subplots(len(layers), len(panels), squeeze=False, sharex="col")
    for row, layer in zip(grid, layers, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            _dot_panel(axes, panel, layer, looks, labels if axes is row[0] else ())
        row[0].set_title(printing.plain(_layer_label(results, layer)), loc="left", x=-0.02, ha="left")
    for axes, panel in zip(grid[-1], panels, strict=True):
        axes.set_xlabel(panel.title)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    if label:
        figure.supxlabel(label, fontsize=style.TEXT)
    return figure


def _curve_panel(axes: Axes, part: pd.DataFrame, layer: str, looks: dict[str, style.Line]) -> None:
    random = part[part["order"] == RANDOM].sort_values("share")
    if len(random):
        axes.fill_between(random["share"], random["low"], random["high"], color="black", alpha=0.08, linewidth=0)
        axes.plot(random["share"], random["mean"], color="black", linestyle="-", linewidth=0.8, zorder=2)
    own = part[part["layer"] == layer]
    for name, look in looks.items():
        if look.marker == "None" and name not in IN_CURVES:
            continue
        line = own[(own["method"] == name) & (own["order"] == MAP)].sort_values("share")
        axes.fill_between(line["share"], line["low"], line["high"], color=look.color, alpha=0.12, linewidth=0)
        axes.plot(line["share"], line["mean"], color=look.color, marker=look.marker, linestyle=look.linestyle)
        matched = own[(own["method"] == name) & (own["order"] == AREA_MATCHED)].sort_values("share")
        if look.marker != "None":
            axes.plot(matched["share"], matched["mean"], color=look.color, linestyle=":", linewidth=0.9)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if part["mean"].min() < 0.6 else None)
    axes.axhline(1, color="#cccccc", linewidth=0.5, zorder=0)
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    sns.despine(ax=axes)


def _dot_panel(axes: Axes, panel: Panel, layer: str, looks: dict[str, style.Line], labels: Sequence[str]) -> None:
    rows = {str(row["method"]): row for row in panel.rows[panel.rows["layer"] == layer].to_dict("records")}
    found = [(y, look, rows[name]) for y, (name, look) in enumerate(looks.items()) if name in rows]
    style.dots(axes, [(y, look, row["value"], row["low"], row["high"]) for y, look, row in found])
    if panel.line is not None:
        axes.axvline(panel.line, color="black", linewidth=0.7, linestyle=":", zorder=0)
    style.rows(axes, len(looks), labels)
    sns.despine(ax=axes)


def _looks(results: Results, methods: pd.Series) -> dict[str, style.Line]:
    """Return how each method is drawn, in the manifest's order, controls last and grey."""
    there = set(methods) - {""}
    known = [name for name in results.methods if name in there]
    names = [*known, *sorted(there - set(known))]
    controls = [name for name in names if name in results.controls or name in AGAINST]
    others = [name for name in names if name not in controls]
    return style.model_lines(others) | {name: style.grey_line(i) for i, name in enumerate(controls)}


def _label(results: Results, name: str) -> str:
    label = results.label("methods", name)
    return printing.plain(f"{label} (blur-matched)" if name == BLUR_MATCHED else label)


def _layer_label(results: Results, layer: str) -> str:
    found = (x.label for model in results.models for x in results.layers(model) if x.name == layer)
    return next(found, layer)
