"""The second figure of known evidence: a panel for each cue that decides, methods by layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analyses import printing
from analyses.plots import layer_axis, style
from analyses.reading.catalogue import Entry, entries
from analyses.reading.results import Results

ROW, AROUND = 0.15, 1.35  # inches
GAP = 0.5  # of a row, above the controls
CONTROLS = ("evidence_oracle", "mask_oracle", "activation", "sobel", "gaussian")
"""Controls with a row of their own; uniform and random maps score 0 wherever."""
NOTHING = "#e6e6e6"
FEW = 0.5
"""Share of undefined maps from which a cell is crossed."""


def draw_layers(results: Results, means: pd.DataFrame, titles: dict[str, str]) -> matplotlib.figure.Figure:
    """Draw one model and target.

    Args:
        results: the run.
        means: the rows of the table known_evidence.
        titles: of each cue's panel, in the order of the panels.
    """
    model = str(means["model"].iloc[0])
    layers = [layer for layer in layer_axis.by_role(results.layers(model)) if layer.name in set(means["layer"])]
    rows = _rows(entries(results), means[means["layer"].isin([layer.name for layer in layers])])
    height = max(rows.values()) + 1
    figure = style.figure(ROW * height + AROUND, constrained=True)
    panels: list[Axes] = list(figure.subplots(1, len(titles), squeeze=False, sharey=True).ravel())
    scale, beyond = _scale(means)
    places = {layer.name: x for x, layer in enumerate(layers)}
    for axes, (cue, title) in zip(panels, titles.items(), strict=True):
        _draw_cells(axes, means[means["cue"] == cue], rows, places, scale)
        axes.set_title("\n".join(map(printing.plain, title.split("\n"))))
        axes.set_xticks(np.arange(len(layers)) + 0.5, layer_axis.tick_labels(layers, len(layers)), rotation=90)
        axes.set_xlim(0, len(layers))
        axes.set_ylim(height, 0)
        axes.set_yticks([y + 0.5 for y in rows.values()], [_label(entry, means) for entry in rows])
        axes.tick_params(length=0, pad=1.5)
        sns.despine(ax=axes, left=True, bottom=True)
    bar = figure.colorbar(scale, ax=panels, location="bottom", shrink=0.4, aspect=40, pad=0.01, extend=beyond)
    bar.set_label("Energy gain on the evidence ↑")
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=1.5, pad=1)
    figure.legend(handles=_key(), loc="outside upper center", frameon=False, ncols=3, handlelength=1.2)
    return figure


def _rows(methods_of_run: Sequence[Entry], means: pd.DataFrame) -> dict[Entry, float]:
    """Return the top edge of each row: methods by their mean over all panels, below them the controls."""
    mean = means.groupby("method")["gain"].mean()
    shown = [entry for entry in methods_of_run if entry.name in mean.index]
    methods = sorted((e for e in shown if not e.control), key=lambda entry: -np.nan_to_num(mean[entry.name], nan=-9.0))
    controls = [entry for name in CONTROLS for entry in shown if entry.name == name]
    rows: dict[Entry, float] = {entry: float(y) for y, entry in enumerate(methods)}
    return rows | {entry: len(methods) + GAP + y for y, entry in enumerate(controls)}


def _scale(means: pd.DataFrame) -> tuple[ScalarMappable, str]:
    """Return colours around chance that are told apart without red-green sight, and which ends values lie beyond.

    Blue is on the evidence. The scale is that of the methods: some controls lie beyond it.
    """
    methods = means[means["family"] != "control"]["gain"].to_numpy()
    reach = math.ceil(10 * float(np.nanmax(np.abs(methods), initial=0.1)) - 1e-9) / 10
    below, above = bool((means["gain"] < -reach).any()), bool((means["gain"] > reach).any())
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    return ScalarMappable(Normalize(-reach, reach), mpl.colormaps["vlag_r"]), ends[below, above]


def _draw_cells(
    axes: Axes, means: pd.DataFrame, rows: dict[Entry, float], places: dict[str, int], scale: ScalarMappable
) -> None:
    by_cell = {(row["method"], row["layer"]): row for row in means.to_dict("records")}
    edge: dict[str, Any] = {"edgecolor": "#c8c8c8", "linewidth": 0.25}
    for entry, y in rows.items():
        for name, x in places.items():
            row = by_cell.get((entry.name, name))
            if row is None or math.isnan(row["gain"]):
                axes.add_patch(mpl.patches.Rectangle((x, y), 1, 1, facecolor=NOTHING, **edge))
                continue
            colour = scale.to_rgba(np.array([row["gain"]]))[0]
            axes.add_patch(mpl.patches.Rectangle((x, y), 1, 1, facecolor=colour, **edge))
            if row["finds_it"] and not entry.control:
                axes.plot(x + 0.5, y + 0.5, marker="o", color="black", markeredgecolor="white", **_DOT)
            if row["undefined_share"] > FEW:
                axes.plot([x + 0.2, x + 0.8], [y + 0.8, y + 0.2], color="black", linewidth=0.55)


_DOT: dict[str, Any] = {"markersize": 2.6, "markeredgewidth": 0.35}


def _label(entry: Entry, means: pd.DataFrame) -> str:
    """Name a method; say where it has maps of fewer images than others."""
    images, most = means.loc[means["method"] == entry.name, "n_images"].max(), means["n_images"].max()
    return printing.plain(f"{entry.label}{f' (n = {images})' if images < most / 2 else ''}")


def _key() -> list[Line2D | Patch]:
    mark: dict[str, Any] = {"linestyle": "none", "color": "black"}
    text = "more than every blind control, and than where another cue decides"
    return [
        Line2D([], [], marker="o", markeredgecolor="white", label=text, **_DOT, **mark),
        Line2D([], [], marker="$/$", markersize=4, label="more than half have no value", **mark),
        Patch(facecolor=NOTHING, edgecolor="#c8c8c8", linewidth=0.25, label="no maps"),
    ]
