"""Matrices class by class: two kinds above each other, the networks side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from analyses import printing
from analyses.plots import cells, style
from analyses.plots.cells import Marks

COLOURS = "PuOr_r"
"""Diverging, and told apart without red-green sight."""
ROOM = 24.0  # points: the narrowest cell with lines of numbers in it
SIDE, MOST_SIDE = 0.42, 3.0  # inches: of a cell, and of a matrix
LABEL = 14  # letters of a class's name in a line


@dataclass(frozen=True)
class Matrix:
    """Percent by row and column, NaN for none, and what is written on them."""

    values: Mapping[tuple[str, str], float]
    texts: Mapping[tuple[str, str], str]


def draw(
    columns: Sequence[tuple[str, Matrix, Matrix]],
    classes: Sequence[str],
    across: tuple[str, str],
    labels: tuple[str, str],
    *,
    width: float,
) -> matplotlib.figure.Figure:
    """Draw two rows of matrices with a colour bar each.

    Args:
        columns: a title and two matrices, one above the other, for each column.
        classes: rows and columns of all.
        across: what the x axes of the upper and of the lower row say.
        labels: of the two colour bars.
        width: of the figure in inches.
    """
    side = min(MOST_SIDE, max(1.0, SIDE * len(classes)))
    figure = style.figure(2 * (side + 1.1), width, constrained=True)
    grid = figure.subplots(2, len(columns), squeeze=False, sharey=True)
    cell = 72 * (width - 1.0) / len(columns) / len(classes)
    for row in range(2):
        matrices = [(above, below)[row] for _, above, below in columns]
        inside = [value for one in matrices for key, value in one.values.items() if set(key) <= set(classes)]
        shown = [value for value in inside if not math.isnan(value)]
        reach = min(100.0, max([5.0, *map(abs, shown)]))
        scale = ScalarMappable(Normalize(-reach, reach), mpl.colormaps[COLOURS])
        for axes, (title, *_), matrix in zip(grid[row], columns, matrices, strict=True):
            _draw_matrix(axes, matrix, classes, scale, written=cell >= ROOM)
            axes.set_title(title if row == 0 else "", loc="left")
            axes.set_xlabel(across[row])
        grid[row, 0].set_ylabel("Explained")
        beyond = any(value < -reach for value in shown), any(value > reach for value in shown)
        bar = cells.color_bar(scale, list(grid[row]), beyond, location="bottom", aspect=40, shrink=0.6)
        bar.set_label(labels[row])
    return figure


def _draw_matrix(axes: Axes, matrix: Matrix, classes: Sequence[str], scale: ScalarMappable, *, written: bool) -> None:
    marks = Marks()
    for y, row in enumerate(classes):
        for x, column in enumerate(classes):
            value = matrix.values.get((row, column), math.nan)
            undefined = math.isnan(value)
            marks.add("none" if undefined else "value", x, y, value)
            if undefined:
                marks.crosses += [[(x + 0.3, y + 0.3), (x + 0.7, y + 0.7)], [(x + 0.3, y + 0.7), (x + 0.7, y + 0.3)]]
            elif written and (text := matrix.texts.get((row, column))):
                ink = style.ink(scale.to_rgba(value))  # type: ignore[arg-type]
                place: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.1}
                axes.text(x + 0.5, y + 0.5, text, size=style.SMALL, color=ink, **place)
    marks.draw(axes, scale)
    names = [printing.plain(name, LABEL) for name in classes]
    at = [i + 0.5 for i in range(len(classes))]
    upright = len(classes) > 3
    axes.set_xticks(at, names, rotation=90 if upright else 0)
    axes.set_yticks(at, names)
    axes.set(xlim=(-0.02, len(classes) + 0.02), ylim=(len(classes) + 0.02, -0.02))
    axes.tick_params(length=0, pad=1.5)
    sns.despine(ax=axes, left=True, bottom=True)
