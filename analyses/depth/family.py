"""The networks side by side: where along its depth each one's maps follow edges, and where they find the object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib.figure
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, style
from analyses.reading.choices import highest
from analyses.reading.manifest import ATTENTION, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.intervals import NOTE
from analyses.statistics.layer_means import layer_means

SHOWN = ("energy_gain", "edge_alignment")
DECODER = "decoder"
COLUMNS = [
    *("model", "level", "layer", "role", "depth", "relative_depth", "method", "target", "metric"),
    *("estimate", "low", "high", "chance", "n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of both scores of every model at its highest level, and a figure for each target."""
    frame = summarise(results)
    if frame.empty:
        return
    interval = (
        f"Mean over the defined maps with a {CONFIDENCE:.0%} interval from {RESAMPLES} resamples of images and seeds "
        f"{NOTE}."
    )
    method = results.label("methods", results.main_method)
    depth = "Relative depth is a layer's place in the order of execution over the last one's, at the main probe point"
    about = f"{method} maps by relative depth, each model at the highest level it reached"
    yield Table("family", frame, f"{about}. {depth}. {interval}")
    for target in results.targets:
        rows = frame[frame["target"] == target]
        if rows.empty:
            continue
        with style.context():
            figure = draw(results, rows)
        caption = (
            f"{about}; target: {results.label('targets', target)}. {depth}. A line joins all layers of a model "
            "but those before and after attention, which are faint dots: they sit on branches of their own, and a line "
            "through them would jump at every block. Hollow marks are decoder layers."
        )
        yield Figure(f"family-{printing.slug(target)}", figure, Caption("", "", f"{caption} {interval}"))


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, target, metric and layer of the main probe point."""
    metrics = [metric for metric in results.metrics if metric.name in SHOWN]
    rows: list[dict[str, Any]] = []
    for model in results.models:
        level = highest(results, model)
        layers = {layer.name: layer for layer in results.main_layers(model)}
        if level is None or not layers:
            continue
        where: dict[str, list[Any]] = {
            "model": [model],
            "level": [level],
            "method": [results.main_method],
            "layer": list(layers),
        }
        deepest = max(1, *(layer.depth for layer in layers.values()))
        for target, maps in results.scores(where).groupby("target", observed=True, sort=True):
            names = {"model": model, "level": level, "method": results.main_method, "target": str(target)}
            for row in layer_means(maps, list(layers.values()), metrics):
                place = {"role": layers[row["layer"]].role, "relative_depth": row["depth"] / deepest}
                rows.append(names | row | place)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return tidy(frame, ["model", "target", "metric", "depth"])


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw one panel a metric, one line a model."""
    metrics = [metric for metric in results.metrics if (frame["metric"] == metric.name).any()]
    panels = [_panel(results, frame[frame["metric"] == metric.name], metric) for metric in metrics]
    key = _key(results, frame)
    return lines.draw([panels], key, 3.1, key_columns=min(3, len(key)))


def _panel(results: Results, frame: pd.DataFrame, metric: Metric) -> lines.Panel:
    marks: list[lines.Line | lines.Dots] = []
    for model, look in style.model_lines(results.models).items():
        of_model = frame[frame["model"] == model].sort_values("depth")
        branch, decoder = of_model["role"].isin(ATTENTION), of_model["role"] == DECODER
        if branch.any():
            marks.append(lines.Dots(look, *_points(of_model[branch]), kind="faint"))
        trunk, unmarked = of_model[~branch], replace(look, marker="None")
        marks.append(lines.Line(unmarked, *_points(trunk), trunk["low"], trunk["high"]))
        marks.append(lines.Dots(look, *_points(of_model[~branch & ~decoder])))
        marks.append(lines.Dots(look, *_points(of_model[~branch & decoder]), kind="hollow"))
    return lines.Panel(
        printing.plain(style.metric_label(metric, arrow=False)),
        marks,
        references=lines.chance(frame["chance"].mean()),
        undefined=lines.UNDEFINED,
        x_label="Relative depth (0: first layer, 1: last)",
        x_limits=(-0.03, 1.03),
    )


def _points(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return frame["relative_depth"], frame["estimate"]


def _key(results: Results, frame: pd.DataFrame) -> list[Artist]:
    key: list[Artist] = []
    for model, look in style.model_lines(results.models).items():
        of_model = frame[frame["model"] == model]
        if len(of_model):
            level, count = int(of_model["level"].iloc[0]), int(of_model["n_seeds"].max())
            name = results.level_phrase(model, level)
            label = f"{results.label('models', model)}: {name} ({count} seed{'s' if count != 1 else ''})"
            key.append(lines.line_key(look, printing.plain(label)))
    if (frame["role"] == DECODER).any():
        key.append(lines.dots_key("hollow", "hollow: decoder"))
    if frame["role"].isin(ATTENTION).any():
        key.append(lines.dots_key("faint", "faint: before or after attention"))
    key.append(lines.band_key())
    if frame["chance"].notna().any():
        key.append(lines.reference_key())
    return key
