"""The networks side by side: where along its depth each one's maps follow edges, and where they find the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.patches import Patch

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, networks, style
from analyses.reading.choices import DECODER, highest, main_target
from analyses.reading.cubes import cube
from analyses.reading.drawn_tables import published_or
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.intervals import NOTE
from analyses.statistics.layer_means import layer_means

SHOWN = ("energy_gain", "edge_alignment")
MOST_MARKS = 20
"""Layers of a role, of more than which marks would run into each other."""
READING = (
    "A column a network, at the highest level it reached; from its first layer (0) to its last (1). Layers of one "
    "role share a line: those before and after attention sit on branches of their own. Grey ground: the decoder. "
    "Ringed: the highest of the layers drawn, which are of the main probe point alone."
)
COLUMNS = [
    *("model", "level", "layer", "role", "depth", "relative_depth", "method", "target", "metric"),
    *("estimate", "low", "high", "chance", "n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of both scores of every model at its highest level, and a figure for the main target."""
    frame = published_or(results, "family", summarise)
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
    target = main_target(results)
    rows = frame[frame["target"] == target]
    for ending, models in networks.pages([model for model in results.models if (rows["model"] == model).any()]):
        of_page = rows[rows["model"].isin(models)]
        with style.context():
            figure = draw(results, of_page, models)
        finding = _finding(results, of_page)
        details = f"{about}; target: {results.label('targets', target)}. {depth}. {interval}"
        yield Figure(f"family{ending}", figure, Caption(finding, READING, details), "Networks side by side")


def _finding(results: Results, frame: pd.DataFrame) -> str:
    """Say at which layer of each network each score that is drawn is highest."""
    peaks = {one.label: networks.peaks(results, frame[frame["metric"] == one.name]) for one in results.metrics}
    said = [(printing.within(label), where) for label, where in peaks.items() if where]
    if not said:
        return ""
    (label, where), *others = said
    text = "; ".join([f"{label} is highest at {where}", *(f"{label} at {where}" for label, where in others)])
    return f"{printing.capital(text)}."


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
        }
        deepest = max(1, *(layer.depth for layer in layers.values()))
        axes = {"target": sorted(results.targets), "layer": list(layers), "seed": None, "image": None}
        maps_of = cube(results, where, axes, (), optional=[*(metric.name for metric in metrics), "area"])
        for target, maps in maps_of.each("target"):
            names = {"model": model, "level": level, "method": results.main_method, "target": target}
            for row in layer_means(maps, list(layers.values()), metrics):
                place = {"role": layers[row["layer"]].role, "relative_depth": row["depth"] / deepest}
                rows.append(names | row | place)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return tidy(frame, ["model", "target", "metric", "depth"])


def draw(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a row of panels a metric, a column a network: a line a role, the decoder on grey ground."""
    metrics = [metric for metric in results.metrics if (frame["metric"] == metric.name).any()]
    looks = style.model_lines(list(dict.fromkeys(frame.sort_values("depth")["role"])))
    panels = []
    for metric in metrics:
        of_metric = frame[frame["metric"] == metric.name]
        row = [_panel(results, of_metric[of_metric["model"] == model], looks) for model in models]
        panels.append([replace(row[0], label=printing.plain(style.metric_label(metric, arrow=False))), *row[1:]])
    levels = {model: int(frame.loc[frame["model"] == model, "level"].iloc[0]) for model in models}
    titles = [networks.title(results, model, len(models), levels[model]) for model in models]
    panels[0] = [replace(panel, title=title) for panel, title in zip(panels[0], titles, strict=True)]
    panels[-1] = [replace(panel, x_label="Relative depth") for panel in panels[-1]]
    key: list[Artist] = [lines.line_key(look, printing.plain(str(role))) for role, look in looks.items()]
    key.append(lines.band_key())
    if (frame["role"] == DECODER).any():
        key.append(Patch(**lines.SHADE, label="ground: decoder"))
    if frame["chance"].notna().any():
        key.append(lines.reference_key())
    height = 1.45 * len(metrics) + 1.0
    return lines.draw(panels, key, height, key_columns=6, shared=("none", "row"), width=networks.width(len(models)))


def _panel(results: Results, frame: pd.DataFrame, looks: Mapping[str, style.Line]) -> lines.Panel:
    marks: list[lines.Line] = []
    for role, look in looks.items():
        rows = frame[frame["role"] == role].sort_values("depth")
        if rows.empty:
            continue
        small = replace(look, marker="None") if len(rows) > MOST_MARKS else look
        x, y = rows["relative_depth"], rows["estimate"]
        marks.append(lines.Line(small, x, y, rows["low"], rows["high"], opacity=0.12))
    decoder = frame[frame["role"] == DECODER]["relative_depth"]
    before = frame[(frame["role"] != DECODER)]["relative_depth"]
    start = decoder.min() if before.empty else (decoder.min() + before[before < decoder.min()].max()) / 2
    top = networks.measured(frame).sort_values("estimate", ascending=False, kind="stable").head(1)
    return lines.Panel(
        "",
        marks,
        references=lines.chance(frame["chance"].mean()),
        undefined=lines.UNDEFINED,
        spans=[(float(start), 1.03)] if len(decoder) else [],
        x_limits=(-0.03, 1.03),
        notes=[
            (row["relative_depth"], row["estimate"], networks.label_of(results, row["model"], row["layer"]))
            for row in top.to_dict("records")
        ],
    )
