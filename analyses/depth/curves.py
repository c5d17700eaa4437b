"""Every score against depth: where along the network a map follows edges, and where the object, at each level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, style
from analyses.plots.layer_axis import by_role
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.intervals import NOTE
from analyses.statistics.layer_means import layer_means

PANEL_HEIGHT, TICKS_HEIGHT = 1.65, 0.9  # inches
LABEL = 22  # characters that stand beside a panel, upright
GREY = style.grey_line(0)
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
                rows = frame[(frame["model"] == model) & (frame["target"] == target)]
                rows = rows[rows["layer"].isin([layer.name for layer in layers])]
                if rows.empty:
                    continue
                with style.context():
                    figure = draw(results, rows, layers)
                tail = f"-{printing.slug(point)}" if number else ""
                name = f"curves-{printing.slug(model)}-{printing.slug(target)}{tail}"
                yield Figure(name, figure, Caption("", "", f"{_caption(results, model, target, point)} {interval}"))


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
            for (target, method), maps in scores.groupby(["target", "method"], observed=True, sort=True):
                names = {"model": model, "level": level, "target": str(target), "method": str(method)}
                rows += [names | row for row in layer_means(maps, results.layers(model), results.metrics)]
    return tidy(pd.DataFrame(rows, columns=columns), KEYS)


def draw(results: Results, frame: pd.DataFrame, layers: Sequence[Layer]) -> matplotlib.figure.Figure:
    """Draw one panel a metric for one model and target; a spare cell of the grid, top right, holds the key."""
    metrics = [metric for metric in results.metrics if (frame["metric"] == metric.name).any()]
    columns = min(2, len(metrics))
    panels: list[lines.Panel | None] = []
    for i, metric in enumerate(metrics):
        lowest = i + columns >= len(metrics)
        panels.append(_panel(results, frame[frame["metric"] == metric.name], metric, layers, lowest=lowest))
    spare = len(metrics) % columns
    if spare:
        panels.insert(1, None)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    height = len(rows) * PANEL_HEIGHT + TICKS_HEIGHT + (0 if spare else 0.5)
    return lines.draw(rows, _key(results, frame), min(height, style.HEIGHT))


def _panel(
    results: Results, frame: pd.DataFrame, metric: Metric, layers: Sequence[Layer], *, lowest: bool
) -> lines.Panel:
    looks = style.level_lines(results.levels(str(frame["model"].iloc[0])))
    marks = lines.levels_along_layers(frame[frame["method"] == results.main_method], layers, looks)
    controls = frame[frame["method"].isin(results.controls)]
    means = controls.groupby(["method", "layer"])["estimate"].mean().dropna().reset_index()
    for method, of_method in means.groupby("method", sort=False):
        line = lines.along_layers(GREY, of_method, layers, ["estimate"])
        marks.append(replace(line, width=lines.THIN, name=results.label("methods", str(method))))
    return lines.Panel(
        printing.plain(style.metric_label(metric), LABEL),
        marks,
        references=lines.chance(frame["chance"].mean()),
        layers=layers,
        undefined=lines.UNDEFINED,
        x_label="Layer" if lowest else "",
    )


def _key(results: Results, frame: pd.DataFrame) -> list[Artist]:
    main = frame[frame["method"] == results.main_method]
    key = lines.level_key(results, str(frame["model"].iloc[0]), main) if len(main) else []
    key.append(lines.band_key())
    if frame["method"].isin(results.controls).any():
        key.append(lines.line_key(GREY, "control, named beside its line", lines.THIN))
    if frame["chance"].notna().any():
        key.append(lines.reference_key())
    return key


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
