"""Every score against depth: where along the network a map follows edges, and where the object, at each level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import layer_axis, lines, networks, style
from analyses.reading.catalogue import BLIND
from analyses.reading.choices import main_target
from analyses.reading.cubes import Where, by_method, known_layers
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.intervals import NOTE
from analyses.statistics.layer_means import layer_means

SHOWN = ("energy_gain", "edge_alignment", "edge_thickness", "blank")
"""Metrics that are drawn; the table has all."""
PANEL_HEIGHT, TICKS_HEIGHT = 1.2, 1.1  # inches
LABEL = 20  # characters that stand beside a panel, upright
KEYS = ["model", "target", "method", "metric", "level", "depth", "layer"]
READING = (
    "A column a network, a row a metric; layers from left to right, role by role. One line a level: the higher, the "
    "darker. Grey lines are maps that know neither the network nor the mask. An arrow points to better values."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all means, and a figure of the networks for the run's main target."""
    frame = summarise(results)
    interval = (
        f"Mean over the defined maps with a {CONFIDENCE:.0%} interval from {RESAMPLES} resamples of images and seeds "
        f"{NOTE}."
    )
    of = "the main method, of attention and of the controls"
    yield Table("curves", frame, f"Scores of {of}, by layer. {interval}")
    if frame.empty:
        return
    target = main_target(results)
    drawn = frame[(frame["target"] == target) & frame["metric"].isin([metric.name for metric in shown(results)])]
    for ending, models in networks.pages([model for model in results.models if (drawn["model"] == model).any()]):
        rows = drawn[drawn["model"].isin(models)]
        with style.context():
            figure = draw(results, rows, models)
        details = (
            f"Maps: {results.label('methods', results.main_method)}; target: {results.label('targets', target)}. "
            f"{interval} Controls are means over the levels. Maps without a value are left out: their numbers, other "
            "metrics and targets are in the table curves."
        )
        yield Figure(f"curves{ending}", figure, Caption(finding(results, rows), READING, details), "Scores by layer")


def shown(results: Results) -> list[Metric]:
    """Return the metrics that are drawn: those of `SHOWN`, and where the run lacks some, the first others."""
    metrics = {metric.name: metric for metric in results.metrics}
    names = [*(name for name in SHOWN if name in metrics), *(name for name in metrics if name not in SHOWN)]
    kept = names[: max(len(SHOWN), sum(name in SHOWN for name in metrics))]
    return [metrics[name] for name in (*(n for n in SHOWN if n in kept), *(n for n in kept if n not in SHOWN))]


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say where the first metric changes most over the levels, or at one level, where it is highest; '' for nothing."""
    metric = shown(results)[0]
    rows = frame[(frame["method"] == results.main_method) & (frame["metric"] == metric.name)]
    rows = networks.measured(rows)
    changes = []
    for model in results.models:
        of_model = rows[rows["model"] == model]
        first, last = of_model["level"].min(), of_model["level"].max()
        if first == last or of_model.empty:
            continue
        wide = of_model.pivot(index="layer", columns="level", values="estimate")[[first, last]].dropna()
        for layer, (before, after) in zip(wide.index, wide.to_numpy(np.float64), strict=True):
            where = f"{networks.label_of(results, model, str(layer))} in {networks.name_of(results, model)}"
            levels = " and ".join(results.level(model, int(level), measured=False) for level in (first, last))
            numbers = f"from {printing.short(before)} to {printing.short(after)} between {levels}"
            changes.append((abs(after - before), f"{where}, {numbers}"))
    if changes:
        return f"{metric.label} changes most at {max(changes)[1]}."
    peaks = networks.peaks(results, rows)
    return f"{metric.label} is highest at {peaks}." if peaks else ""


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
    methods = sorted({results.main_method, *others}) if results.methods else []
    numbers = [*(metric.name for metric in results.metrics), "area"]
    for model in results.models:
        layers = results.layers(model)
        names_of_layers = [layer.name for layer in layers]
        reached = {c.level for c in results.checkpoints if c.model == model and c.reached}
        for level in sorted(reached):
            of_input = results.input_layer(model)  # controls stand there beside methods that explain it, too
            known_layers(results, model, level, [*layers, *([of_input] if of_input else [])])
            for target in sorted(results.targets):
                where: Where = {"model": [model], "level": [level], "target": [target]}
                for method, maps in by_method(results, where, methods, names_of_layers, (), optional=numbers):
                    names = {"model": model, "level": level, "target": target, "method": method}
                    rows += [names | row for row in layer_means(maps, layers, results.metrics)]
    return tidy(pd.DataFrame(rows, columns=columns), KEYS)


def draw(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a row of panels a metric, a column a network, for one target."""
    metrics = [metric for metric in shown(results) if (frame["metric"] == metric.name).any()]
    looks = networks.looks(results, models)
    controls = {
        name: style.grey_line(i) for i, name in enumerate(name for name in BLIND if (frame["method"] == name).any())
    }
    panels = []
    for metric in metrics:
        row = []
        for model in models:
            of_panel = frame[(frame["model"] == model) & (frame["metric"] == metric.name)]
            layers = layer_axis.shown(results, model, frame[frame["model"] == model])
            of_panel = of_panel[of_panel["layer"].isin([layer.name for layer in layers])]
            label = printing.plain(style.metric_label(metric), LABEL) if model == models[0] else ""
            row.append(_panel(results, of_panel, label, layers, looks, controls))
        panels.append(row)
    titles = [networks.title(results, model, len(models), _only(results, model)) for model in models]
    panels[0] = [replace(panel, title=title) for panel, title in zip(panels[0], titles, strict=True)]
    panels[-1] = [replace(panel, x_label="Layer") for panel in panels[-1]]
    key = networks.level_key(results, models, looks) if len(looks) > 1 or len(models) == 1 else []
    key += [lines.line_key(look, printing.plain(results.label("methods", name))) for name, look in controls.items()]
    key.append(lines.band_key())
    if frame["chance"].notna().any():
        key.append(lines.reference_key())
    height = len(metrics) * PANEL_HEIGHT + TICKS_HEIGHT + 0.4
    return lines.draw(panels, key, height, key_columns=6, shared=("none", "row"), width=networks.width(len(models)))


def _only(results: Results, model: str) -> int | None:
    """Return the level of a network with one."""
    levels = results.levels(model)
    return levels[0] if len(levels) == 1 else None


def _panel(
    results: Results,
    frame: pd.DataFrame,
    label: str,
    layers: Sequence[Layer],
    looks: Mapping[int, style.Line],
    controls: Mapping[str, style.Line],
) -> lines.Panel:
    means = frame.groupby(["method", "layer"])["estimate"].mean().dropna().reset_index()
    marks = []
    for name, look in controls.items():
        of_control = means[means["method"] == name]
        if len(of_control):
            marks.append(replace(lines.along_layers(look, of_control, layers, ["estimate"]), width=lines.THIN))
    marks += lines.levels_along_layers(frame[frame["method"] == results.main_method], layers, looks)
    return lines.Panel(label, marks, lines.chance(frame["chance"].mean()), layers, undefined=lines.UNDEFINED)
