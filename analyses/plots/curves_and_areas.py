"""The figures of faithfulness: mean curves by layer, and dots by layer and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib.figure
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator

from analyses import printing
from analyses.plots import dots, lines, style
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


ANY_ORDER = style.Line("black", "None", "-")
MATCHED = style.Line(style.GREY, "None", ":")


@dataclass(frozen=True)
class Panel:
    """Dots of one measure: rows of `layer`, `method`, `estimate`, `low` and `high`; and where a line is drawn."""

    title: str
    rows: pd.DataFrame
    line: float | None


def area_panels(frame: pd.DataFrame) -> list[Panel]:
    """Return a panel for each kind of curve and imputation, of the paired differences from the reference order."""
    frame = frame[(frame["order"] == MAP) & (frame["outcome"] == OUTCOME) & (frame["against"] != "")]
    imputations = sorted(frame["imputation"].unique(), key=lambda name: (name == "noisy_linear", name))
    panels = []
    for imputation in imputations:
        for measure, (title, sign) in AREAS.items():
            rows = frame[(frame["imputation"] == imputation) & (frame["measure"] == measure)]
            if rows.empty:
                continue
            names = {"difference": "estimate", "difference_low": "low", "difference_high": "high"}
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
            rows = rows[["layer", "method", "mean", "low", "high"]].rename(columns={"mean": "estimate"})
            line = {"infidelity": 1.0, "sensitivity_n": 0.0}.get(measure)
            panels.append(Panel(title, rows, line))
    return panels


def draw_curves(results: Results, points: pd.DataFrame, layers: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a row of panels a layer, a column a kind of curve; a line a method."""
    imputation = points["imputation"].iloc[0] if not (points["imputation"] == "blur").any() else "blur"
    points = points[(points["imputation"] == imputation) & (points["outcome"] == OUTCOME)]
    kinds = [kind for kind in CURVES if (points["measure"] == kind).any()]
    looks = _looks(results, points["method"])
    looks = {name: look for name, look in looks.items() if name in IN_CURVES or look.marker != "None"}
    panels = [[_curves(points[points["measure"] == kind], layer, looks) for kind in kinds] for layer in layers]
    for row, layer in zip(panels, layers, strict=True):
        row[0] = replace(row[0], label=f"{printing.plain(_layer_label(results, layer))}\nS(t) / S(0)")
    panels[0] = [replace(panel, title=CURVES[kind][0]) for panel, kind in zip(panels[0], kinds, strict=True)]
    panels[-1] = [replace(panel, x_label=CURVES[kind][1]) for panel, kind in zip(panels[-1], kinds, strict=True)]
    key: list[Artist] = [lines.line_key(look, _label(results, name)) for name, look in looks.items()]
    key += [
        lines.line_key(ANY_ORDER, "random order", 0.8),
        lines.line_key(MATCHED, "area-matched order, by method", 0.9),
    ]
    shape: tuple[lines.Share, lines.Share] = ("all", "none")
    figure = lines.draw(panels, key, PANEL * len(layers) + 0.75, key_length=2.6, shared=shape)
    for axes in figure.axes:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure


def _curves(points: pd.DataFrame, layer: str, looks: Mapping[str, style.Line]) -> lines.Panel:
    """Return the panel of a layer and a kind of curve: the random order behind, of each method its own and others."""
    random = points[points["order"] == RANDOM].sort_values("share")
    marks = [_curve(ANY_ORDER, random, width=0.8, opacity=0.08)] if len(random) else []
    of_layer = points[points["layer"] == layer].sort_values("share")
    for name, look in looks.items():
        orders = dict(tuple(of_layer[of_layer["method"] == name].groupby("order")))
        if MAP in orders:
            marks.append(_curve(look, orders[MAP], opacity=0.12))
        if AREA_MATCHED in orders and look.marker != "None":
            marks.append(lines.Line(replace(MATCHED, color=look.color), *_means(orders[AREA_MATCHED]), width=0.9))
    return lines.Panel(
        "",
        marks,
        [lines.Reference(1, color="#cccccc", behind=True)],
        x_limits=(0, 1),
        down_to=0.0 if points["mean"].min() < 0.6 else None,
        centred=True,
    )


def _curve(look: style.Line, points: pd.DataFrame, *, opacity: float, width: float | None = None) -> lines.Line:
    return lines.Line(look, *_means(points), points["low"], points["high"], width=width, opacity=opacity)


def _means(points: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return points["share"], points["mean"]


def draw_dots(
    results: Results, panels: Sequence[Panel], layers: Sequence[str], label: str = ""
) -> matplotlib.figure.Figure:
    """Draw a block of rows a layer, a column a measure; a dot a method, with its interval; `label` under them all."""
    looks = _looks(results, pd.concat([panel.rows["method"] for panel in panels]))
    labels = [_label(results, name) for name in looks]
    figure = style.figure((ROW * len(looks) + BETWEEN) * len(layers) + AROUND, constrained=True)
    grid = figure.subplots(len(layers), len(panels), squeeze=False, sharex="col")
    for row, layer in zip(grid, layers, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            of_layer = panel.rows[panel.rows["layer"] == layer]
            dots.draw_panel(axes, of_layer, looks, labels if axes is row[0] else (), reference=panel.line)
        row[0].set_title(printing.plain(_layer_label(results, layer)), loc="left", x=-0.02, ha="left")
    for axes, panel in zip(grid[-1], panels, strict=True):
        axes.set_xlabel(panel.title)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    if label:
        figure.supxlabel(label, fontsize=style.TEXT)
    return figure


def _looks(results: Results, methods: pd.Series) -> dict[str, style.Line]:
    """Return how each method is drawn, in the manifest's order, controls last and grey."""
    names = [name for name in results.methods if name in set(methods)]
    names += sorted(set(methods) - {"", *names})
    controls = [name for name in names if name in results.controls or name in AGAINST]
    others = [name for name in names if name not in controls]
    return style.model_lines(others) | {name: style.grey_line(i) for i, name in enumerate(controls)}


def _label(results: Results, name: str) -> str:
    label = results.label("methods", name)
    return printing.plain(f"{label} (blur-matched)" if name == BLUR_MATCHED else label)


def _layer_label(results: Results, layer: str) -> str:
    labels = (x.label for model in results.models for x in results.layers(model) if x.name == layer)
    return next(labels, layer)
