"""Attention itself, block by block and head by head: how far it looks, and whether at the background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, networks, style
from analyses.reading.arrays import Floats, distinct, fill, sources
from analyses.reading.choices import at_highest
from analyses.reading.drawn_tables import published_or
from analyses.reading.files import CHANCE
from analyses.reading.manifest import BEST, Metric
from analyses.reading.results import Results
from analyses.statistics import bounds
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.intervals import bootstrap_interval

ALL_HEADS = 0
"""Stands in the column head for the mean over a block's heads."""
KEYS = ["model", "level", "depth", "head", "metric"]
PANEL_HEIGHT = 2.0  # inches
HEADS_WIDTH = 0.6  # of a block's place, over which the dots of the levels are spread


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of means and a figure of all models with attention; nothing for runs without any."""
    frame = published_or(results, "attention", summarise)
    if frame.empty:
        return
    interval = (
        f"Mean over the images for which it is defined, with a {CONFIDENCE:.0%} interval from {RESAMPLES} crossed "
        "resamples of images and seeds (with one seed it speaks of the images alone)."
    )
    note = f"Head {ALL_HEADS} is the mean over a block's heads."
    yield Table("attention", frame, f"Attention by block and head. {interval} {note}")
    for ending, models in networks.pages([model for model in results.models if (frame["model"] == model).any()]):
        rows = frame[frame["model"].isin(models)]
        with style.context():
            figure = draw(results, rows)
        caption = Caption(finding(results, rows), READING, f"{DETAILS} {interval}")
        yield Figure(f"attention{ending}", figure, caption, "Attention by block")


READING = (
    "A row a network, a panel a measure, blocks from left to right. Lines are means over a block's heads, at each "
    "level; small dots are the heads."
)
DETAILS = (
    "Blocks of a hierarchy are numbered stage_block. Distances are from the centre of a query's cell to that of a "
    "key's, in pixels of the input; chance is what attention to all keys alike has. At a background ratio of 1 the "
    "foreground attends to the background as often as the background's share of the keys says. Bands end at what a "
    "measure can be."
)


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say between which means the first measure lies over a network's blocks, at its highest level."""
    metric = next(metric for metric in _metrics(results) if (frame["metric"] == metric.name).any())
    words = []
    for model in results.models:
        rows = frame[(frame["model"] == model) & (frame["metric"] == metric.name) & (frame["head"] == ALL_HEADS)]
        values = at_highest(rows)["estimate"].dropna()
        if len(values):
            ends = list(dict.fromkeys(printing.short(value) for value in (values.min(), values.max())))
            words.append(f"{' to '.join(ends)} in {networks.name_of(results, model)}")
    unit = f" in {metric.unit}" if metric.unit else ""
    return f"{metric.label}{unit} by block: {printing.listed(words)}." if words else ""


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, block, head and metric: mean, interval and counts."""
    table = results.attention()
    metrics = [metric for metric in _metrics(results) if table is not None and metric.name in table]
    if table is None or not metrics:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for (model, level), of_level in table.groupby(["model", "level"], observed=True):
        names = {"model": str(model), "level": int(str(level))}
        rows += [names | row | {"training_data": sources(of_level)} for row in _rows(of_level, metrics)]
    return tidy(pd.DataFrame(rows), KEYS)


def _rows(frame: pd.DataFrame, metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
    """Yield a row for each block, head and metric of one model and level."""
    for (depth, block, stage), of_block in frame.groupby(["depth", "block", "stage"], observed=True):
        names = {"block": str(block), "stage": int(str(stage)), "depth": int(str(depth))}
        values, heads = _cube(of_block, metrics)
        possible = bounds.of(metrics, 1)
        interval = bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, possible)
        absent = values[0, 0].size - len(of_block) // (len(heads) - 1)
        for k, metric in enumerate(metrics):
            for i, head in enumerate(heads):
                yield names | {
                    "head": head,
                    "metric": metric.name,
                    "estimate": interval.estimate[k, i],
                    "low": interval.low[k, i],
                    "high": interval.high[k, i],
                    "chance": _chance(of_block, metric),
                    "n_images": int(of_block["image"].nunique()),
                    "n_seeds": int(of_block["seed"].nunique()),
                    "n_undefined": int(np.isnan(values[k, i]).sum()) - absent,
                }


def _chance(of_block: pd.DataFrame, metric: Metric) -> float:
    """Return what uniform attention scores: a number for all, or one of the block's grid; NaN in older runs."""
    column = f"{metric.name}{CHANCE}"
    if column in of_block:
        return float(of_block[column].mean())
    return metric.chance if isinstance(metric.chance, float) else np.nan


def _cube(of_block: pd.DataFrame, metrics: Sequence[Metric]) -> tuple[Floats, list[int]]:
    """Return a block's values as (metrics, heads, seeds, images), the mean over the heads first, and the heads."""
    axes = {name: distinct(of_block[name]) for name in ("head", "seed", "image")}
    values, _ = fill(of_block, axes, [metric.name for metric in metrics], "attention")
    return np.concatenate([values.mean(1, keepdims=True), values], 1), [ALL_HEADS, *map(int, axes["head"])]


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a row of panels a model, a panel a metric: the mean as a line a level, the heads as dots beside it."""
    models = [model for model in results.models if (frame["model"] == model).any()]
    metrics = [metric for metric in _metrics(results) if (frame["metric"] == metric.name).any()]
    looks = style.level_lines(sorted(int(level) for level in frame["level"].unique()))
    panels = []
    for model in models:
        of_model = frame[frame["model"] == model]
        name = printing.plain(results.label("models", model))
        rows = {metric.name: of_model[of_model["metric"] == metric.name] for metric in metrics}
        panels.append([replace(_panel(rows[metric.name], metric, looks), title=name) for metric in metrics])
    panels[-1] = [replace(panel, x_label="Attention block, in the order of execution") for panel in panels[-1]]
    key: list[Artist] = [lines.line_key(look, _level(results, models, level)) for level, look in looks.items()]
    key.append(lines.band_key(f"{lines.INTERVAL} of the mean"))
    if (frame["head"] != ALL_HEADS).any():
        key.append(lines.dots_key("faint", "a head"))
    if frame["chance"].notna().any():
        key.append(lines.reference_key())
    return lines.draw(panels, key, PANEL_HEIGHT * len(models) + 0.4, key_columns=6)


def _panel(frame: pd.DataFrame, metric: Metric, looks: dict[int, style.Line]) -> lines.Panel:
    marks: list[lines.Line | lines.Dots] = []
    for number, (level, look) in enumerate(looks.items()):
        of_level = frame[frame["level"] == level].sort_values("depth")
        all_heads = of_level["head"] == ALL_HEADS
        heads, mean = of_level[~all_heads], of_level[all_heads]
        beside = HEADS_WIDTH * ((number + 0.5) / len(looks) - 0.5)
        marks.append(lines.Dots(look, heads["depth"] + beside, heads["estimate"], kind="faint"))
        unmarked = replace(look, marker="None")
        marks.append(lines.Line(unmarked, mean["depth"], mean["estimate"], mean["low"], mean["high"]))
    blocks = frame.drop_duplicates("depth").sort_values("depth")
    if metric.chance == "uniform" and blocks["chance"].notna().any():
        marks.append(lines.Line(lines.REFERENCE_LOOK, blocks["depth"], blocks["chance"], width=lines.THIN))
    names = [printing.plain(str(name).removeprefix("Attention ")) for name in blocks["block"]]
    return lines.Panel(
        printing.plain(style.metric_label(metric, arrow=False)),
        marks,
        references=lines.chance(metric.chance),
        ticks=dict(zip(blocks["depth"], names, strict=True)),
    )


def _level(results: Results, models: Sequence[str], level: int) -> str:
    model = next(name for name in models if level in results.levels(name))
    return results.level(model, level, measured=False) if level == BEST else results.level_phrase(model, level)


def _metrics(results: Results) -> tuple[Metric, ...]:
    return tuple(results.manifest.attention.metrics.values())
