"""Cells of a heat map that are drawn one by one: their colours, the marks that lie on them, and the key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colorbar import Colorbar
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from analyses.plots import style

HATCH = "////////"
SMALL = 0.6
"""Of a cell's side, where it is drawn small."""
State = Literal["value", "none", "skipped", "absent", ""]


@dataclass
class Marks:
    """Where in a panel cells are of each kind, and where marks lie on them."""

    cells: dict[str, list[Rectangle]] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    small: bool = False
    slashes: list[list[tuple[float, float]]] = field(default_factory=list)
    crosses: list[list[tuple[float, float]]] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)

    def add(self, state: State, x: float, y: float, value: float = math.nan, *, small: bool = False) -> None:
        """Add the cell whose top left corner is (x, y), of this value where its state is 'value'; a small one if so."""
        small = small and state == "value"
        side = SMALL if small else 1.0
        self.cells.setdefault(state, []).append(Rectangle((x + (1 - side) / 2, y + (1 - side) / 2), side, side))
        self.small |= small
        if state == "value":
            self.values.append(value)

    def draw(self, axes: Axes, scale: ScalarMappable, size: float = 4.5) -> None:
        """Draw all of it, cells with a value in the colours of `scale`, dots of this size in square points."""
        if self.cells.get("value"):
            colours = scale.to_rgba(np.array(self.values))
            axes.add_collection(PatchCollection(self.cells["value"], facecolor=colours, **_EDGE))
        for state, look in LOOKS.items():
            if self.cells.get(state):
                axes.add_collection(PatchCollection(self.cells[state], **look))
        axes.add_collection(LineCollection(self.slashes + self.crosses, colors="black", linewidths=0.55))
        if self.dots:
            x, y = zip(*self.dots, strict=True)
            axes.scatter(x, y, s=size, color="black", edgecolors="white", linewidths=0.35, zorder=3)

    def kinds(self) -> set[str]:
        """Return what there is of cells and of marks on them, by its name in the key."""
        marked = {"slash": self.slashes, "none": self.crosses, "dot": self.dots, "small": self.small}
        return {*self.cells, *(name for name, there in marked.items() if there)}


def color_bar(
    scale: ScalarMappable,
    axes: Axes | Sequence[Axes],
    beyond: tuple[bool, bool],
    *,
    location: Literal["top", "bottom"],
    aspect: float,
    shrink: float,
) -> Colorbar:
    """Draw a colour bar, pointed where values lie beyond its lower and its upper end."""
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    figure: Any = (axes if isinstance(axes, Axes) else axes[0]).figure
    place: dict[str, Any] = {"location": location, "aspect": aspect, "shrink": shrink, "pad": 0.01}
    bar: Colorbar = figure.colorbar(scale, ax=axes, extend=ends[beyond], **place)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=1.5, pad=1)
    return bar


_EDGE: dict[str, Any] = {"edgecolor": "#c8c8c8", "linewidth": 0.25}
LOOKS: Mapping[str, dict[str, Any]] = {
    "none": {"facecolor": "white", **_EDGE},
    "skipped": {"facecolor": "#e6e6e6", "edgecolor": "#8a8a8a", "linewidth": 0.25, "hatch": HATCH},
    "absent": {"facecolor": "#e6e6e6", **_EDGE},
}


def key(state: str, text: str) -> Artist:
    """Return the key's entry of a mark ('dot', 'slash', 'small', or 'none': a cross) or of a cell's state."""
    marks: dict[str, dict[str, Any]] = {
        "dot": {"marker": "o", "markersize": 3, "markeredgecolor": "white", "markeredgewidth": 0.35},
        "slash": {"marker": "$/$", "markersize": 4},
        "none": {"marker": "x", "markersize": 3.5},
        "small": {"marker": "s", "markersize": 3, "color": style.GREY},
    }
    if state in marks:
        return Line2D([], [], label=text, **{"linestyle": "none", "color": "black", **marks[state]})
    return Patch(**LOOKS[state], label=text)
