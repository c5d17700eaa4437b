"""Every method against the controls: which maps find the object, or follow edges, more than blind ones do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.comparisons import method_rows as tables
from analyses.plots import method_heatmaps as figures
from analyses.plots import style
from analyses.plots.dots import draw_summary
from analyses.reading import catalogue, choices
from analyses.reading.catalogue import BLIND, FEWEST, Entry
from analyses.reading.results import Results
from analyses.statistics import contrasts as contrasts_module
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.intervals import NOTE


@dataclass
class MethodRows:
    """The rows of the three tables; the second and third are of each model's highest level and main target alone."""

    means: list[dict[str, Any]] = field(default_factory=list)
    contrasts: list[dict[str, Any]] = field(default_factory=list)
    summary: list[dict[str, Any]] = field(default_factory=list)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield three tables and the figures of each model; nothing for runs that did not record the methods' families."""
    methods = catalogue.entries(results)
    if not methods or not any(metric.name in catalogue.SHOWN for metric in results.metrics):
        return
    of_methods = collect(results, methods)
    if not of_methods.means:
        return
    places = {entry.name: i for i, entry in enumerate(methods)}
    keys = ["model", "level", "target", "metric", "scope", "depth", "layer", "method", "control"]
    means, contrasts, summary = (
        _ordered(pd.DataFrame(rows), [key for key in keys if rows and key in rows[0]], places)
        for rows in (of_methods.means, of_methods.contrasts, of_methods.summary)
    )
    note = _reading(results)
    yield Table("methods", means, f"{_ABOUT} by layer and method. {note}")
    against = ", ".join(results.label("methods", name) for name in _controls(methods))
    if not contrasts.empty:
        yield Table(
            "methods_contrasts",
            contrasts,
            f"What methods score above the controls ({against}): mean differences, method less control, paired by "
            "layer, seed and image, each model at its highest level and for the target that most methods explain; "
            f"_n counts the images with both values. {_POINTWISE} {note}",
        )
    yield Table(
        "methods_summary",
        summary,
        "The same over layers: estimate is the mean of the layers' means, each layer with the same weight; minus_ is "
        f"the same mean of the paired differences from a control ({against}); layers_above_ and layers_below_ count "
        "the layers where the interval of that difference lies above or below zero (a lower background ratio is the "
        f"better one), of the layers_tested_ with pairs of {FEWEST} images or more. {_POINTWISE} {note}",
        shown=[name for name in SHOWN if name in summary],
    )
    for model in results.models:
        frames = [frame[frame["model"] == model] if len(frame) else frame for frame in (means, contrasts, summary)]
        if len(frames[2]):
            yield from _figures(results, model, *frames)


SHOWN = (
    *("model", "level", "target", "method", "scope", "metric"),
    *("estimate", "low", "high"),
    *(f"minus_{name}{end}" for name in ("sobel", "gaussian") for end in ("", "_low", "_high")),
    *("blank_share", "n_layers", "n_images", "n_seeds"),
)
"""Columns that are printed: the CSV has all."""
_ABOUT = "Energy gain, edge alignment and background ratio"
_POINTWISE = (
    "Intervals are pointwise: with this many comparisons one in twenty differs from zero by chance, so that no single "
    "one is a test."
)

_COLOURS = (
    "White is what chance scores; blue is better where anything is; colours saturate where controls lie beyond the "
    "methods. Rows are methods by family, controls apart; columns are layers, role by role in the order of execution, "
    "and what attributes to the input's pixels stands in a column of its own."
)
_MARKS = (
    "Hatched: skipped, for the reason in the table skipped. A slash: fewer than half of the maps have a value, the "
    "others are blank or undefined; a cross: fewer than one in ten, too few for a colour. A dot: better than each "
    "control that knows neither network nor mask ({blind}), by the pointwise interval of the paired difference over "
    "{fewest} images or more; there are none where no direction is the better one. n: images of methods with passes "
    "of their own, where they are fewer."
)


def collect(results: Results, methods: Sequence[Entry]) -> MethodRows:
    """Compute the rows: means for all models, levels and targets, comparisons for what the figures show."""
    of_methods = MethodRows()
    for model in results.models:
        reached = sorted({c.level for c in results.checkpoints if c.model == model and c.reached})
        top = choices.highest(results, model)
        for level in reached:
            main = choices.target_of_most_methods(results, model, level) if level == top else None
            for target in results.targets:
                maps = tables.read(results, model, level, target)
                names = {"model": model, "level": level, "target": target}
                controls = [name for name in _controls(methods) if name in maps.values] if target == main else []
                for entry in methods:
                    if entry.name not in maps.values:
                        continue
                    against = [] if entry.control else controls
                    estimates = contrasts_module.compare(maps, entry.name, against)
                    of_methods.means += [names | row for row in tables.layer_rows(maps, entry, estimates)]
                    if target == main:
                        rows = tables.contrast_rows(maps, entry, estimates, against)
                        of_methods.contrasts += [names | row for row in rows]
                        of_methods.summary += [
                            names | row for row in tables.summary_rows(maps, entry, estimates, against)
                        ]
    return of_methods


def _controls(methods: Sequence[Entry]) -> list[str]:
    names = [entry.name for entry in methods]
    return [name for name in catalogue.AGAINST if name in names]


def _ordered(frame: pd.DataFrame, keys: Sequence[str], places: dict[str, int]) -> pd.DataFrame:
    """Sort by `keys`, methods in the order of the figures and layers before the input, and round."""
    if frame.empty:
        return frame
    by = {"_method": frame["method"].map(places)} | ({"_scope": frame["scope"] == "input"} if "scope" in keys else {})
    order = [f"_{key}" if f"_{key}" in by else key for key in keys]
    ordered = tidy(frame.assign(**by), order).drop(columns=list(by))
    counts = [name for name in ordered if str(name).startswith(("layers_tested_", "layers_above_", "layers_below_"))]
    return ordered.astype(dict.fromkeys(counts, "Int64"))


def _reading(results: Results) -> str:
    """Say what every number here is: maps, intervals, missing values, images of methods with passes of their own."""
    own_passes = results.manifest.own_passes
    text = (
        f"Means over the defined maps with {CONFIDENCE:.0%} intervals from {RESAMPLES} resamples of images and seeds "
        f"{NOTE}. Blank maps have no value, so that means of "
        "methods with many of them are over fewer images: blank_share and undefined_share (nothing to explain) tell "
        "how many; paired differences are over common images alone."
    )
    if own_passes.ids:
        rule = own_passes.rule.rstrip(".")
        text += (
            f" Methods with passes of their own have maps of {len(own_passes.ids)} images{f': {rule}' if rule else ''}."
        )
    return text


def _figures(
    results: Results, model: str, means: pd.DataFrame, contrasts: pd.DataFrame, summary: pd.DataFrame
) -> Iterator[Figure]:
    """Yield the heat maps and the dot plot of one model."""
    level, target = int(summary["level"].iloc[0]), str(summary["target"].iloc[0])
    means = means[(means["level"] == level) & (means["target"] == target)]
    where = (
        f"{results.label('models', model)} at its highest level ({results.level_phrase(model, level)}); target: "
        f"{results.label('targets', target)}, the one that most methods explain"
    )
    blind = ", ".join(results.label("methods", name) for name in BLIND if name in results.methods)
    for name, metrics in figures.pages(results, model, means):
        with style.context():
            drawn = figures.draw_layers(results, model, means, contrasts, metrics)
        labels = [metric.label if not i else metric.label.lower() for i, metric in enumerate(metrics)]
        shown = " and ".join([", ".join(labels[:-1]), labels[-1]] if labels[1:] else labels)
        marks = _MARKS.format(blind=blind, fewest=FEWEST)
        last = choices.head(results, model)
        behind = f" {last.label} lies behind the last ReLU." if last and last.name in set(means["layer"]) else ""
        yield Figure(
            f"methods-{printing.slug(model)}{name}",
            drawn,
            Caption("", "", f"{shown} by method and layer: {where}. {_COLOURS}{behind} {marks}"),
        )
    with style.context():
        drawn = draw_summary(results, summary)
    yield Figure(
        f"methods_summary-{printing.slug(model)}",
        drawn,
        Caption(
            "",
            "",
            f"{_ABOUT}, mean over the layers of {where}. Methods stand in the order of their energy gain; "
            "lines and bands "
            f"are the controls over all layers and images ({blind} know neither the network nor the mask), "
            "on the input "
            "where the maps are. Where a method has maps of fewer layers or images, its label says how many, and the "
            f"paired differences in the table methods_summary are the fair comparison.",
        ),
    )
