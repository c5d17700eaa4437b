"""Every score against depth: where along the network a map follows edges, and where the object, at each level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.optimize import isotonic_regression

from analyses import printing
from analyses.artifacts import Figure, Table, tidy
from analyses.plots import style
from analyses.plots.layer_axis import broken, by_role, draw_levels, level_key, mark_layers, mark_roles
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.crossed import NOTE
from analyses.statistics.layer_means import layer_means

PANEL_HEIGHT, TICKS_HEIGHT = 1.65, 0.9  # inches
LABEL = 22  # characters that stand beside a panel, upright
CHANCE = "chance"
KEYS = ["model", "target", "method", "metric", "level", "depth", "layer"]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all means, and one figure for each model, target and probe point."""
    frame = summarise(results)
    interval = (
        f"Mean over the defined maps with a {CONFIDENCE:.0%} interval from {RESAMPLES} resamples of images and seeds "
        f"{NOTE}."
    )
    of = "the main method, of attention and of the controls"
    yield Table("curves", frame, f"Scores of {of}, by layer. {interval}")
    for model in results.models:
        for target in results.targets:
            for number, point in enumerate(results.points(model)):
                layers = by_role([layer for layer in results.layers(model) if layer.point == point])
                if number and len(layers) == 1:
                    continue  # the head alone is no curve
                part = frame[(frame["model"] == model) & (frame["target"] == target)]
                part = part[part["layer"].isin([layer.name for layer in layers])]
                if part.empty:
                    continue
                with style.context():
                    figure = draw(results, part, layers)
                tail = f"-{printing.slug(point)}" if number else ""
                name = f"curves-{printing.slug(model)}-{printing.slug(target)}{tail}"
                yield Figure(name, figure, f"{_caption(results, model, target, point)} {interval}")


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, target, method, metric, level and layer: mean, interval and counts.

    Methods are those that are drawn or that attention gives; others are compared by the analysis `methods`.
    """
    columns = [
        *("model", "level", "layer", "depth", "method", "target", "metric", "estimate", "low", "high", "chance"),
        *("n_images", "n_seeds", "n_undefined", "training_data"),
    ]
    rows: list[dict[str, Any]] = []
    others = [name for name, method in results.manifest.methods.items() if method.kind in ("control", "attention")]
    methods = list(dict.fromkeys([results.main_method, *others])) if results.methods else []
    for model in results.models:
        reached = {c.level for c in results.checkpoints if c.model == model and c.reached}
        for level in sorted(reached):
            scores = results.scores({"model": [model], "level": [level], "method": methods})
            of_input = results.input_layer(model)
            if of_input:  # controls stand beside methods that explain the input, too
                scores = scores[scores["layer"] != of_input.name]
            for (target, method), part in scores.groupby(["target", "method"], observed=True, sort=True):
                same = {"model": model, "level": level, "target": str(target), "method": str(method)}
                rows += [same | row for row in layer_means(part, results.layers(model), results.metrics)]
    return tidy(pd.DataFrame(rows, columns=columns), KEYS)


def draw(results: Results, frame: pd.DataFrame, layers: Sequence[Layer]) -> matplotlib.figure.Figure:
    """Draw one panel a metric for one model and target; a spare cell of the grid, top right, holds the key."""
    metrics = [metric for metric in results.metrics if (frame["metric"] == metric.name).any()]
    columns = min(2, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    spare = rows * columns > len(metrics)
    around = TICKS_HEIGHT + (0 if spare else 0.5)
    figure = style.figure(min(rows * PANEL_HEIGHT + around, style.HEIGHT), constrained=True)
    grid = list(figure.subplots(rows, columns, squeeze=False).ravel())
    lines = style.level_lines(results.levels(str(frame["model"].iloc[0])))
    key = _key(results, frame, lines)
    if spare:
        corner = grid.pop(1)
        corner.set_axis_off()
        corner.legend(handles=key, loc="center left", frameon=False, labelspacing=0.35)
    else:
        figure.legend(handles=key, loc="outside upper center", frameon=False, ncols=4)
    for i, (axes, metric) in enumerate(zip(grid, metrics, strict=True)):
        _draw_panel(axes, results, frame[frame["metric"] == metric.name], metric, layers, lines)
        lowest = i + columns >= len(metrics)
        mark_layers(axes, layers, named=lowest)
        axes.set_xlabel("Layer" if lowest else "")
    return figure


def _draw_panel(
    axes: Axes,
    results: Results,
    frame: pd.DataFrame,
    metric: Metric,
    layers: Sequence[Layer],
    lines: Mapping[int, style.Line],
) -> None:
    position = {layer.name: i for i, layer in enumerate(layers)}
    main = frame[frame["method"] == results.main_method]
    draw_levels(axes, main, layers, lines)
    named: list[tuple[float, str]] = []
    some = frame[frame["method"].isin(results.controls)]
    means = some.groupby(["method", "layer"])["estimate"].mean().dropna().reset_index()
    for method, part in means.groupby("method", sort=False):
        x = part["layer"].map(position).to_numpy(dtype=np.int64)
        order = np.argsort(x)
        values = part["estimate"].to_numpy()[order]
        axes.plot(*broken(x[order], values, layers), color=style.GREY, linewidth=0.6)
        named.append((float(values[-1]), results.label("methods", str(method))))
    chance = frame["chance"].mean()
    if not math.isnan(chance):
        axes.axhline(chance, color="black", linewidth=0.7, linestyle=":", label=CHANCE)
    if frame["estimate"].isna().all():
        axes.text(0.5, 0.5, "undefined for every map", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
    mark_roles(axes, layers)
    axes.set_ylabel(printing.plain(style.metric_label(metric), LABEL))
    sns.despine(ax=axes)
    _name_lines(axes, named)


def _name_lines(axes: Axes, named: Sequence[tuple[float, str]]) -> None:
    """Write the controls' names beside the ends of their lines, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    places = spread([value for value, _ in named], 0.085 * (high - low), low, high)
    beside = axes.get_yaxis_transform()
    for place, (value, name) in zip(places, named, strict=True):
        ends = ([1.0, 1.03], [value, place])
        axes.plot(*ends, transform=beside, color=style.GREY, linewidth=0.4, clip_on=False)
        axes.annotate(
            printing.plain(name),
            (1.03, place),
            xycoords=beside,
            xytext=(1.5, 0),
            textcoords="offset points",
            va="center",
            size=style.SMALL,
            color=style.GREY_TEXT,
            annotation_clip=False,
        )
    axes.set_ylim(low, high)


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return the places nearest to `values`, in their order, `gap` apart or more; within the bounds if they fit.

    >>> spread([0.5, 0.5, 2.0], 0.5, 0.0, 2.0)
    [0.25, 0.75, 2.0]
    """
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(order))
    places = np.empty(len(order))
    if len(order):
        level = isotonic_regression(np.asarray(values, dtype=np.float64)[order] - steps).x
        places[order] = np.maximum(np.minimum(level, high - steps[-1]), low) + steps
    return [float(place) for place in places]


def _key(results: Results, frame: pd.DataFrame, lines: Mapping[int, style.Line]) -> list[Artist]:
    main = frame[frame["method"] == results.main_method]
    handles: list[Artist] = []
    if len(main):
        seeds = {int(str(level)): int(count) for level, count in main.groupby("level")["n_seeds"].max().items()}
        handles += level_key(results, str(frame["model"].iloc[0]), lines, seeds)
    handles.append(Patch(color=style.GREY, alpha=0.3, linewidth=0, label=f"{CONFIDENCE:.0%} interval"))
    if frame["method"].isin(results.controls).any():
        handles.append(Line2D([], [], color=style.GREY, linewidth=0.6, label="control, named beside its line"))
    if frame["chance"].notna().any():
        handles.append(Line2D([], [], color="black", linewidth=0.7, linestyle=":", label=CHANCE))
    return handles


def _caption(results: Results, model: str, target: str, point: str) -> str:
    where = f", probed at: {point}" if point else ""
    layers = [layer for layer in results.layers(model) if layer.point == point]
    apart = " Layers stand role by role, in each in the order of execution." if by_role(layers) != layers else ""
    return (
        f"Scores of {results.label('methods', results.main_method)} maps of {results.label('models', model)} against "
        f"the layer's depth{where}; target: {results.label('targets', target)}. One line a level; an arrow at an axis "
        "points to better values; controls are means over the levels. Maps without a value are left out: their "
        f"numbers are in the table curves.{apart}"
    )
