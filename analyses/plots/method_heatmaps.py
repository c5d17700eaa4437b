"""Many methods in one figure: a heat map by method and layer, the networks beside each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from analyses import printing
from analyses.plots import cells, layer_axis, networks, style
from analyses.plots.cells import Marks, State
from analyses.plots.networks import FEW
from analyses.reading import gaps as gaps_module
from analyses.reading.catalogue import BLIND, FAMILIES, FEWEST, Entry, entries
from analyses.reading.manifest import INPUT, Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.decisions import side

MOST_COLUMNS, MOST_NARROW = 112, 22  # of a page; of one in a page's column
LABELS, LABEL, SIGN = 1.6, 7.8, 5.0  # inches beside the panels; points of an upright label; of a network's name
ROW, HEADING, AROUND = 0.138, 1.25, 2.0  # inches; in rows; inches
ROLE_GAP, INPUT_GAP = 0.35, 0.7  # in columns


@dataclass(frozen=True)
class Layout:
    """What a network's panel shows: the methods' rows, the layers' columns, and what was measured where.

    Attributes:
        rows: the top edge of each method's row.
        columns: the left edge of each layer's column.
        layers: by name.
        means: by method and layer, the row of the table `methods`.
        contrasts: by method and layer, the rows of `methods_contrasts`.
        skipped: methods and layers without maps, with a reason ('' for all layers).
    """

    rows: dict[Entry, float]
    columns: dict[str, float]
    layers: dict[str, Layer]
    means: dict[tuple[str, str], dict[str, Any]]
    contrasts: dict[tuple[str, str], list[dict[str, Any]]]
    skipped: set[tuple[str, str]]

    @property
    def width(self) -> float:
        """Columns from left to right."""
        return max(self.columns.values()) + 1

    def state(self, entry: Entry, layer: Layer) -> State:
        """Return what a cell is: 'value', 'skipped', 'absent' or '', where there is none."""
        if (entry.name, layer.name) in self.means:
            return "value"
        if (layer.role == INPUT) != (entry.scope == "input"):
            return ""
        keys = {(entry.name, layer.name), (entry.name, "")} & self.skipped
        return "skipped" if keys else "absent"


def pages(results: Results, means: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Yield the networks of each figure with the ending of its name: as few figures as have room for their layers."""
    found: list[list[str]] = [[]]
    taken = 0
    for model in [name for name in results.models if (means["model"] == name).any()]:
        columns = len(_columns(results, model, means[means["model"] == model]))
        if found[-1] and taken + columns > MOST_COLUMNS:
            found.append([])
            taken = 0
        found[-1].append(model)
        taken += columns
    yield from (("" if not i else f"-{i + 1}", models) for i, models in enumerate(found))


def draw_layers(
    results: Results, models: Sequence[str], means: pd.DataFrame, contrasts: pd.DataFrame, metric: Metric
) -> matplotlib.figure.Figure:
    """Draw a panel a network: methods by layers, coloured around what chance scores.

    Args:
        results: the run.
        models: of the panels.
        means: rows of the table `methods`, of each network one level and target.
        contrasts: rows of `methods_contrasts`.
        metric: whose means are drawn.
    """
    rows, headings = _rows(results, set(means.loc[means[metric.name].notna(), "method"]))
    layouts = {
        model: _layout(results, model, rows, *(_of(frame, model) for frame in (means, contrasts))) for model in models
    }
    columns = sum(layout.width for layout in layouts.values())
    width = style.COLUMN if columns <= MOST_NARROW else style.WIDTH
    cell = 72 * (width - LABELS) / columns
    height = max(rows.values()) + 1
    figure = style.figure(ROW * height + AROUND, width, constrained=True)
    widths = [layout.width for layout in layouts.values()]
    panels: list[Axes] = list(figure.subplots(1, len(models), squeeze=False, width_ratios=widths).ravel())
    scale, beyond = _scale(means, metric)
    states: set[str] = set()
    for i, (axes, (model, layout)) in enumerate(zip(panels, layouts.items(), strict=True)):
        marks = _marks(layout, metric)
        marks.draw(axes, scale, min(4.5, (0.6 * cell) ** 2))
        states |= marks.kinds()
        labels = _column_labels(list(layout.layers.values()), max(3, int(layout.width * cell / LABEL)))
        axes.set_xticks([layout.columns[name] + 0.5 for name in layout.layers], labels, rotation=90)
        axes.set_xlim(-0.06, layout.width + 0.06)
        axes.set_ylim(height + 0.06, 0)
        room = max(8, int(layout.width * cell / SIGN))
        axes.set_title(printing.plain(networks.name_of(results, model), room), loc="left")
        _label_rows(axes, rows, headings, means, named=i == 0)
        sns.despine(ax=axes, left=True, bottom=True)
        axes.tick_params(length=0, pad=1.5)
    bar = cells.color_bar(scale, panels, beyond, location="top", aspect=30, shrink=0.5)
    white = f" (white: {metric.chance:g}, chance)" if isinstance(metric.chance, (int, float)) else ""
    bar.set_label(printing.plain(f"{style.metric_label(metric)}{white}"))
    style.add_key(figure, _key(states), 6, length=1.2, below=True)
    return figure


def _of(frame: pd.DataFrame, model: str) -> pd.DataFrame:
    return frame[frame["model"] == model] if len(frame) else frame


def _rows(results: Results, methods: set[str]) -> tuple[dict[Entry, float], list[tuple[float, str]]]:
    """Return the top edge of each method's row, and the middle of each family's heading with its text."""
    rows: dict[Entry, float] = {}
    headings: list[tuple[float, str]] = []
    at = 0.0
    shown = [entry for entry in entries(results) if entry.name in methods]
    for (family, scope), group in groupby(shown, key=lambda entry: (entry.family, entry.scope)):
        on = ", on the input" if scope == "input" else ""
        headings.append((at + HEADING - 0.5, FAMILIES.get(family, family or "Others") + on))
        at += HEADING
        for entry in group:
            rows[entry], at = at, at + 1
    return rows, headings


def _layout(
    results: Results, model: str, rows: dict[Entry, float], means: pd.DataFrame, contrasts: pd.DataFrame
) -> Layout:
    gaps = gaps_module.read(results)
    gaps = gaps[gaps["model"] == model]
    left = set(zip(gaps["method"], gaps["layer"], strict=True))
    layers = _columns(results, model, means)
    columns: dict[str, float] = {}
    x = 0.0
    for i, layer in enumerate(layers):
        if i and layers[i - 1].role != layer.role:
            x += INPUT_GAP if layers[i - 1].role == INPUT else ROLE_GAP
        columns[layer.name], x = x, x + 1
    against: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in contrasts.to_dict("records"):
        against.setdefault((row["method"], row["layer"]), []).append({str(k): v for k, v in row.items()})
    by_cell = {(row["method"], row["layer"]): {str(k): v for k, v in row.items()} for row in means.to_dict("records")}
    return Layout(rows, columns, {layer.name: layer for layer in layers}, by_cell, against, left)


def _columns(results: Results, model: str, means: pd.DataFrame) -> list[Layer]:
    on_input = results.input_layer(model)
    layers = layer_axis.shown(results, model, means)
    return [on_input, *layers] if on_input and (means["layer"] == on_input.name).any() else layers


def _marks(layout: Layout, metric: Metric) -> Marks:
    """Find the state of every cell of a panel, and the marks that lie on it."""
    marks = Marks()
    for entry, y in layout.rows.items():
        for name, x in layout.columns.items():
            state, row = layout.state(entry, layout.layers[name]), layout.means.get((entry.name, name), {})
            value = row.get(metric.name, math.nan)
            empty = np.nansum([row.get("blank_share", 0.0), row.get("undefined_share", 0.0)])
            if state == "value" and (math.isnan(value) or empty > 0.9):
                state = "none"
                marks.crosses += [[(x + 0.2, y + 0.2), (x + 0.8, y + 0.8)], [(x + 0.2, y + 0.8), (x + 0.8, y + 0.2)]]
            if not state:
                continue
            marks.add(state, x, y, value, small=row.get("n_images", FEW) < FEW)
            if state == "value":
                if empty > 0.5:
                    marks.slashes.append([(x + 0.2, y + 0.8), (x + 0.8, y + 0.2)])
                if better(layout.contrasts.get((entry.name, name), []), metric):
                    marks.dots.append((x + 0.5, y + 0.5))
    return marks


def better(rows: Sequence[dict[str, Any]], metric: Metric) -> bool:
    """Return whether a method is better than every blind control at a layer, by the interval of each difference."""
    blind = [row for row in rows if row["control"] in BLIND and row[f"{metric.name}_n"] >= FEWEST]
    wanted = {"higher": 1, "lower": -1}.get(metric.direction or "")
    ends = [[row[f"{metric.name}{end}"] for end in ("", "_low", "_high")] for row in blind]
    return wanted is not None and bool(blind) and bool((side(zip(*ends, strict=True)) == wanted).all())


def _scale(means: pd.DataFrame, metric: Metric) -> tuple[ScalarMappable, tuple[bool, bool]]:
    """Return colours around chance as far as methods reach, and whether controls lie beyond either end."""
    centre = float(metric.chance) if isinstance(metric.chance, (int, float)) else 0.0
    scores = means.loc[means["family"] != "control", metric.name].to_numpy(np.float64)
    reach = np.nanmax(np.abs(np.array([*scores, centre + 0.05]) - centre))
    low, high = (centre + sign * math.ceil(10 * reach - 1e-9) / 10 for sign in (-1, 1))
    values = means[metric.name]
    return ScalarMappable(Normalize(low, high), _colours(metric)), (
        bool((values < low).any()),
        bool((values > high).any()),
    )


def _colours(metric: Metric) -> mpl.colors.Colormap:
    """Return diverging colours that are told apart without red-green sight; blue is better where anything is."""
    return mpl.colormaps[{"higher": "vlag_r", "lower": "vlag"}.get(metric.direction or "", "PuOr")]


def _column_labels(layers: Sequence[Layer], most: int) -> list[str]:
    inputs = [printing.plain(layer.label) for layer in layers if layer.role == INPUT]
    return inputs + layer_axis.tick_labels([layer for layer in layers if layer.role != INPUT], most)


def _label_rows(
    axes: Axes, rows: dict[Entry, float], headings: list[tuple[float, str]], means: pd.DataFrame, *, named: bool
) -> None:
    """Name the methods and their families beside the first panel; of those with fewer images, say how many."""
    images = {str(name): int(count) for name, count in means.groupby("method")["n_images"].max().items()}
    few = {entry: images[entry.name] for entry in rows if images.get(entry.name, 0) not in (0, *_most(images))}
    labels: list[tuple[float, str, bool]] = []
    for (y, text), group in zip(headings, _groups(rows), strict=True):
        counts = {few.get(entry) for entry in group if entry.name in images}
        shared = counts.pop() if len(counts) == 1 else None
        labels.append((y, text + (f" (n = {shared})" if shared else ""), True))
        for entry in group:
            n = few.get(entry) if shared is None else None
            labels.append((rows[entry] + 0.5, entry.label + (f" (n = {n})" if n else ""), False))
    labels = labels if named else []
    axes.set_yticks([y for y, *_ in labels], [printing.plain(text) for _, text, _ in labels])
    for tick, (*_, heading) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heading else "normal")


def _most(images: Mapping[str, int]) -> tuple[int, ...]:
    return (max(images.values()),) if images else ()


def _groups(rows: dict[Entry, float]) -> list[list[Entry]]:
    """Return the methods below each heading."""
    return [list(group) for _, group in groupby(rows, key=lambda entry: (entry.family, entry.scope))]


def _key(states: Collection[str]) -> list[Artist]:
    texts = {
        "dot": "better than every blind control",
        "slash": "fewer than half have a value",
        "none": "fewer than 1 in 10 has a value",
        "small": f"fewer than {FEW} images",
        "skipped": "skipped",
        "absent": "no maps",
    }
    return [cells.key(state, text) for state, text in texts.items() if state in states]
