"""The two probe points side by side: what changes when the hook sits behind ReLU instead of on the convolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import layer_axis, lines, style
from analyses.reading.cubes import Cube, Where, cube
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import RESAMPLES, SEED
from analyses.statistics.bounds import Bounds
from analyses.statistics.intervals import NOTE, bootstrap_interval

SHOWN = ("energy_gain", "background_ratio", "edge_alignment")
KEYS = ["model", "target", "metric", "level", "depth"]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of paired differences, and a figure for each model and target; nothing for runs of one point."""
    frame = compare(results)
    if frame.empty:
        return
    note = (
        f"Difference of {results.label('methods', results.main_method)} maps behind ReLU and on the convolution's own "
        f"output, paired by image and seed, with a 95% interval from {RESAMPLES} resamples {NOTE}."
    )
    yield Table("points", frame, note)
    for (model, target), rows in frame.groupby(["model", "target"], sort=True):
        with style.context():
            figure = draw(results, rows)
        name = f"points-{printing.slug(str(model))}-{printing.slug(str(target))}"
        shown = f"{results.label('models', str(model))}; target: {results.label('targets', str(target))}. "
        yield Figure(name, figure, Caption("", "", shown + note))


def compare(results: Results) -> pd.DataFrame:
    """Return a row for each model, target, level, layer and metric: the mean paired difference and its interval."""
    rows: list[dict[str, Any]] = []
    metrics = [metric for metric in results.metrics if metric.name in SHOWN]
    for model in results.models:
        pairs = _pairs(results.layers(model))
        for level in results.levels(model) if pairs else ():
            where: Where = {"model": [model], "level": [level], "method": [results.main_method]}
            layers = [layer.name for pair in pairs for layer in pair]
            for target in sorted(results.targets):
                axes = {"layer": layers, "seed": None, "image": None}
                maps = cube(results, {**where, "target": [target]}, axes, [metric.name for metric in metrics])
                names = {"model": model, "level": level, "target": target}
                rows += [names | row for row in _differences(maps, pairs, metrics)]
    return tidy(pd.DataFrame(rows), KEYS) if rows else pd.DataFrame()


def _pairs(layers: tuple[Layer, ...]) -> list[tuple[Layer, Layer]]:
    """Return the layers with both points; none where one is all there is, such as the head, which is no comparison."""
    relu = {layer.depth: layer for layer in layers if layer.point == "relu"}
    pairs = [(layer, relu[layer.depth]) for layer in layers if layer.point == "conv" and layer.depth in relu]
    return pairs if len(pairs) > 1 else []


def _differences(
    maps: Cube, pairs: Sequence[tuple[Layer, Layer]], metrics: Sequence[Metric]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric and pair of layers, which are the first axis, one pair after the other."""
    for metric in metrics:
        possible = Bounds(metric.lower, metric.upper).weighted([1, -1])
        for k, (conv, _) in enumerate(pairs):
            before, after = (maps.values[metric.name][2 * k + behind] for behind in (0, 1))
            there: NDArray[np.bool_] = np.asarray(maps.present[2 * k : 2 * k + 2].any(axis=1))
            if not there.any(axis=1).all():
                continue
            matrix = (after - before)[:, there.any(axis=0)]
            interval = bootstrap_interval(matrix, np.random.default_rng(SEED), RESAMPLES, bounds=possible)
            yield {
                "layer": conv.name,
                "depth": conv.depth,
                "metric": metric.name,
                "difference": float(interval.estimate),
                "low": float(interval.low),
                "high": float(interval.high),
                "n_pairs": int(np.isfinite(matrix).sum()),
                "training_data": maps.training_data,
            }


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw one panel a metric: the difference against the layer's depth, one line a level."""
    model = str(frame["model"].iloc[0])
    layers = layer_axis.by_role([layer for layer in results.layers(model) if layer.name in set(frame["layer"])])
    looks = style.level_lines(results.levels(model))
    panels = []
    for metric in results.metrics:
        of_metric = frame[frame["metric"] == metric.name]
        if len(of_metric):
            marks = lines.levels_along_layers(of_metric, layers, looks, ("difference", "low", "high"))
            label = f"{printing.plain(metric.label)},\nReLU minus convolution"
            panels.append([lines.Panel(label, marks, [lines.Reference(0)], layers)])
    panels[-1][0] = replace(panels[-1][0], x_label="Layer")
    key = [
        lines.line_key(looks[level], results.level_phrase(model, level, measured=False))
        for level in sorted(set(frame["level"]))
    ]
    return lines.draw(panels, key, 1.6 * len(panels) + 0.9)
