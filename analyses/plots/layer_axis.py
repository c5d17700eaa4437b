"""An axis of layers: their order, their labels, and where a line along them is broken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analyses import printing
from analyses.reading import choices
from analyses.reading.arrays import Floats
from analyses.reading.manifest import Layer
from analyses.reading.results import Results

MOST_LABELS = 20  # on the axis of a panel


def by_role(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers in the order in which they are drawn: role by role, in each in the order of execution."""
    roles = list(dict.fromkeys(layer.role for layer in layers))
    return sorted(layers, key=lambda layer: (roles.index(layer.role), layer.depth))


def shown(results: Results, model: str, frame: pd.DataFrame) -> list[Layer]:
    """Return the layers of the main probe point, and the head, that `frame` has rows of, in the order drawn."""
    names = set(frame["layer"])
    return [layer for layer in by_role(choices.with_head(results, model)) if layer.name in names]


def tick_labels(layers: Sequence[Layer], most: int = MOST_LABELS) -> list[str]:
    """Return the layers' labels, of more than `most` so many as print apart: of each role the first, then every few."""
    step = math.ceil(len(layers) / most)
    labels: list[str] = []
    for _, run in groupby(layers, key=lambda layer: layer.role):
        labels += [printing.plain(layer.label) if k % step == 0 else "" for k, layer in enumerate(run)]
    for i in range(len(labels) - 1, 0, -1):
        if step > 1 and labels[i] and labels[i - 1]:
            labels[i - 1] = ""  # where a role begins beside the last label of the one before
    return labels


def runs(places: Iterable[int], layers: Sequence[Layer]) -> list[list[int]]:
    """Split places on the axis where a role begins that does not follow the one before in the order of execution."""
    split: list[list[int]] = []
    for x in places:
        follows = x == 0 or layers[x].role == layers[x - 1].role or layers[x].depth == layers[x - 1].depth + 1
        if follows and split:
            split[-1].append(x)
        else:
            split.append([x])
    return split


def broken(x: NDArray[np.integer[Any]], values: Floats, layers: Sequence[Layer]) -> tuple[Floats, Floats]:
    """Return rising places and the rows of values at them, with a gap of NaN between `runs`: a line for all of them."""
    ends = np.cumsum([len(run) for run in runs(x.tolist(), layers)])[:-1]
    return np.insert(x.astype(np.float64), ends, np.nan), np.insert(values, ends, np.nan, axis=-1)


def mark_roles(axes: Axes, layers: Sequence[Layer]) -> None:
    """Set the axis's ends, and draw a line between roles.

    Raises:
        ValueError: the layers are not in the order that `by_role` returns, and lines would go to and fro between roles.
    """
    if [layer.role for layer in layers] != [layer.role for layer in by_role(layers)]:
        raise ValueError(f"a role comes back: draw layers in the order of by_role, not {[one.name for one in layers]}")
    for i in range(1, len(layers)):
        if layers[i].role != layers[i - 1].role:
            axes.axvline(i - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.set_xlim(-0.5, len(layers) - 0.5)


def mark_layers(axes: Axes, layers: Sequence[Layer], *, named: bool, most: int = MOST_LABELS) -> None:
    """Draw a tick a layer, `named` with at most so many of their labels under them."""
    axes.set_xticks(range(len(layers)), tick_labels(layers, most) if named else [""] * len(layers), rotation=90)
