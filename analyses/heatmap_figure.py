"""Heat maps of layers by levels, a panel a metric; of layers by metrics where there is one level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

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

from analyses import style
from analyses.grids import DECODER, Grid
from analyses.heatmap_cells import NUMBERED, Panel, of_groups, of_metric
from analyses.records import Layer
from analyses.results import Results

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
    panels = [of_metric(grid, frame, metric, levels) for metric in grid.metrics]
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
        labels = [style.plain(layer.label) for layer in grid.layers] if number % across == 0 else []
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
    labels = [style.plain(name) for name in panel.columns]
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
    bar.set_label(style.plain(panel.title, TITLE if width < 0.25 else None))


def _mark_parts(axes: Axes, layers: Sequence[Layer], *, named: bool) -> None:
    """Draw a line where the decoder begins or ends, and name the parts on the right, where that is wanted."""
    top = 0
    for decoder, part in groupby(layers, key=lambda layer: layer.role == DECODER):
        size = len(list(part))
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
    found = {str(patch.get_label()): patch for state, patch in signs if state.any()}
    return [found[label] for label in sorted(found)]
