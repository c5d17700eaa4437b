"""The figure of faithfulness: dots by layer and method, a column a kind of area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.figure
import pandas as pd
from matplotlib.ticker import MaxNLocator

from analyses import printing
from analyses.plots import dots, networks, style
from analyses.reading.catalogue import AGAINST
from analyses.reading.results import Results

MOST_LAYERS = 3
MOST_FINE = 4  # columns, of which each has room for more than three ticks
OUTCOME = "probability"
MAP = "map"
BLUR_MATCHED = "random"
"""The control that is noise on the layer's own grid."""
ROW, AROUND, BETWEEN = 0.135, 1.05, 0.32  # inches
AREAS = {
    "deletion": ("Deletion", -1),
    "insertion": ("Insertion", 1),
    "context_deletion": ("Context\ndeletion", -1),
    "context_insertion": ("Context\ninsertion", 1),
}


@dataclass(frozen=True)
class Panel:
    """Dots of one kind of area: rows of `model`, `layer`, `method`, `n_images`, `estimate`, `low` and `high`.

    Attributes:
        title: below the column.
        rows: what is drawn.
        sign: 1 where a higher area is more faithful, -1 where a lower one is.
    """

    title: str
    rows: pd.DataFrame
    sign: int


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
            rows = rows[["model", "layer", "method", "n_images", *names]].rename(columns=names)
            if imputation == "noisy_linear":
                rows = rows[rows["method"] != BLUR_MATCHED]  # the reference itself
            named = f"ROAD\n{title.lower()}" if imputation == "noisy_linear" else title
            panels.append(Panel(f"← {named}" if sign < 0 else f"{named} →", rows, sign))
    return panels


def draw_areas(
    results: Results, panels: Sequence[Panel], blocks: Sequence[tuple[str, str]]
) -> matplotlib.figure.Figure:
    """Draw a block of rows for each network and layer of `blocks`, a column an area; a dot a method."""
    looks = _looks(results, pd.concat([panel.rows["method"] for panel in panels]))
    labels = [label(results, name) for name in looks]
    figure = style.figure((ROW * len(looks) + BETWEEN) * len(blocks) + AROUND, constrained=True)
    grid = figure.subplots(len(blocks), len(panels), squeeze=False, sharex="col")
    for row, (model, layer) in zip(grid, blocks, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            of_layer = panel.rows[(panel.rows["model"] == model) & (panel.rows["layer"] == layer)]
            dots.draw_panel(axes, of_layer, looks, labels if axes is row[0] else (), reference=0.0)
        words = [networks.name_of(results, model)] if len({name for name, _ in blocks}) > 1 else []
        most = max(int(panel.rows.loc[panel.rows["model"] == model, "n_images"].max()) for panel in panels)
        title = ", ".join([*words, networks.label_of(results, model, layer)]) + networks.few(most)
        row[0].set_title(printing.plain(title), loc="left", x=-0.02, ha="left")
    for axes, panel in zip(grid[-1], panels, strict=True):
        axes.set_xlabel(panel.title)
        axes.xaxis.set_major_locator(MaxNLocator(2 if len(panels) > MOST_FINE else 4))
    figure.supxlabel("Area less that of the reference", fontsize=style.TEXT)
    return figure


def _looks(results: Results, methods: pd.Series) -> dict[str, style.Line]:
    """Return how each method is drawn, in the manifest's order, controls last and grey."""
    names = [name for name in results.methods if name in set(methods)]
    names += sorted(set(methods) - {"", *names})
    controls = [name for name in names if name in results.controls or name in AGAINST]
    others = [name for name in names if name not in controls]
    return style.model_lines(others) | {name: style.grey_line(i) for i, name in enumerate(controls)}


def label(results: Results, name: str) -> str:
    """Return a method's name as it stands beside its dots."""
    known = results.label("methods", name)
    known = name.replace("_", " ").capitalize() if known == name else known  # examined here, and not in the run
    return printing.plain(f"{known} (blur-matched)" if name == BLUR_MATCHED else known)
