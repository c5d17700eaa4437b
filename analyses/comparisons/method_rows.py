"""The scores of many methods on the same layers and images: means, and paired differences from the controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses import printing
from analyses.artifacts import tidy
from analyses.reading import choices
from analyses.reading.arrays import MapScores
from analyses.reading.catalogue import AGAINST, BLIND, FEWEST, SHOWN, Entry
from analyses.reading.cubes import Cube, Where, by_method, there
from analyses.reading.manifest import INPUT, Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.contrasts import Compared, compare
from analyses.statistics.intervals import NOTE

ABOUT = "Energy gain, edge alignment and background ratio"
POINTWISE = (
    "Intervals are pointwise: with this many comparisons one in twenty differs from zero by chance, so that no single "
    "one is a test."
)
KEYS = ("model", "level", "target", "metric", "scope", "depth", "layer", "method", "control")
"""Of the tables' rows, in their order."""


def controls(methods: Sequence[Entry]) -> list[str]:
    """Return the controls that other methods are compared with."""
    names = [entry.name for entry in methods]
    return [name for name in AGAINST if name in names]


def compared(results: Results) -> dict[str, tuple[int, str]]:
    """Return of each network the level and target at which methods are compared.

    It is the highest level that most trainings reached, and the target that most methods explain.
    """
    tops = {model: choices.highest(results, model) for model in results.models}
    return {
        model: (top, choices.target_of_most_methods(results, model, top))
        for model, top in tops.items()
        if top is not None
    }


def blind(results: Results) -> str:
    """Return the controls of a run that know neither network nor mask, in words."""
    return printing.listed([results.label("methods", name) for name in BLIND if name in results.methods])


def where(results: Results, pairs: Mapping[str, tuple[int, str]]) -> str:
    """Return at which level and target each network's methods are compared, in words."""
    return "; ".join(
        f"{results.label('models', model)}, {results.level_phrase(model, level)}, target: "
        f"{results.label('targets', target)}"
        for model, (level, target) in pairs.items()
    )


def main_metric(results: Results) -> Metric | None:
    """Return the metric that figures show first; None where a run has none of them."""
    return next((metric for name in SHOWN for metric in results.metrics if metric.name == name), None)


def ordered(rows: Sequence[Mapping[str, Any]], methods: Sequence[Entry]) -> pd.DataFrame:
    """Return rows as a table, methods in the order of the figures and layers before the input, and rounded."""
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    places = {entry.name: place for place, entry in enumerate(methods)}
    by = {"_method": frame["method"].map(places)} | ({"_scope": frame["scope"] == "input"} if "scope" in frame else {})
    order = [f"_{key}" if f"_{key}" in by else key for key in KEYS if key in frame]
    sorted_rows = tidy(frame.assign(**by), order).drop(columns=list(by))
    counts = [
        name for name in sorted_rows if str(name).startswith(("layers_tested_", "layers_above_", "layers_below_"))
    ]
    return sorted_rows.astype(dict.fromkeys(counts, "Int64"))


def reading(results: Results) -> str:
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


class Beside(NamedTuple):
    """A method's scores, what they are compared with, and what that comes to."""

    entry: Entry
    maps: MapScores
    estimates: Compared
    against: list[str]


def beside(
    results: Results, methods: Sequence[Entry], model: str, level: int, target: str, *, paired: bool = True
) -> Iterator[Beside]:
    """Yield each method of one network, level and target with its scores, compared with the controls where `paired`."""
    entries, asked = {entry.name: entry for entry in methods}, controls(methods) if paired else []
    for name, maps in read(results, model, level, target, beside=asked):
        if (entry := entries.get(name)) is not None:
            against = [] if entry.control else [control for control in asked if control in maps.values]
            yield Beside(entry, maps, compare(maps, name, against), against)


def read(
    results: Results,
    model: str,
    level: int,
    target: str,
    metrics: Sequence[str] = SHOWN,
    beside: Sequence[str] = (),
) -> Iterator[tuple[str, MapScores]]:
    """Yield each method with its scores at the main probe point, before the network's linear end, and on the input.

    Args:
        results: the run.
        model: the model's name.
        level: one of its levels.
        target: the target's name.
        metrics: those wanted.
        beside: methods whose scores come with those of each other one.

    Raises:
        ResultsError: a map is there twice, or a file is damaged.
    """
    measured = tuple(metric for metric in results.metrics if metric.name in metrics)
    on_input = results.input_layer(model)
    layers = (*([on_input] if on_input else []), *choices.with_head(results, model))
    names = [layer.name for layer in layers]
    where: Where = {"model": [model], "level": [level], "target": [target]}
    axes = there(results, {**where, "layer": names}, ["seed", "image"])
    columns = [metric.name for metric in measured]
    blank = ["blank"] if any(metric.name == "blank" for metric in results.metrics) else []
    empty = MapScores(layers, measured, {}, {}, {}, "")

    def scores(methods: Sequence[str]) -> Iterator[tuple[str, Cube]]:
        return by_method(results, where, methods, names, [*columns, *blank], axes=axes)

    fixed = empty
    for method, maps in scores(beside):
        fixed = _joined(fixed, method, maps)
    for method, maps in scores(results.methods):
        yield method, _joined(fixed, method, maps)


def _joined(known: MapScores, method: str, maps: Cube) -> MapScores:
    """Return scores with those of one more method."""
    values = np.stack([maps.values[metric.name] for metric in known.metrics])
    blank = {method: maps.values["blank"]} if "blank" in maps.values else {}
    return replace(
        known,
        values={**known.values, method: values},
        blank={**known.blank, **blank},
        present={**known.present, method: maps.present},
        training_data=maps.training_data,
    )


def layer_rows(maps: MapScores, entry: Entry, estimates: Compared) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer that the method has maps of: every metric's mean, and the shares without a value."""
    present = maps.present[entry.name]
    for i, layer in enumerate(maps.layers):
        if present[i].any():
            row = _names(entry, layer) | _counts(present[i]) | _shares(maps, entry.name, i)
            yield row | _numbers(maps.metrics, estimates, 0, i) | {"training_data": maps.training_data}


def contrast_rows(
    maps: MapScores, entry: Entry, estimates: Compared, controls: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer and control: every metric's mean paired difference."""
    for i, layer in enumerate(maps.layers):
        for k, control in enumerate(controls, 1):
            common = maps.present[entry.name][i] & maps.present[control][i]
            if common.any():
                row = _names(entry, layer) | {"control": control} | _counts(common)
                yield row | _numbers(maps.metrics, estimates, k, i) | {"training_data": maps.training_data}


def summary_rows(
    maps: MapScores, entry: Entry, estimates: Compared, controls: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric, of the layers and of the input: means over layers, and on how many it differs."""
    present = maps.present[entry.name]
    for scope, means in estimates.mean.items():
        of_scope = np.array([(layer.role == INPUT) == (scope == "input") for layer in maps.layers])
        if not present[of_scope].any():
            continue
        for m, metric in enumerate(maps.metrics):
            row: dict[str, Any] = {"method": entry.name, "family": entry.family, "scope": scope, "metric": metric.name}
            row |= dict(zip(("estimate", "low", "high"), means[:, 0, m], strict=True))
            row |= {"n_layers": int((present.any(axis=(1, 2)) & of_scope).sum())}
            row |= _counts(present[of_scope].any(axis=0)) | _shares(maps, entry.name, of_scope)
            for k, control in enumerate(controls, 1):
                ends = (f"minus_{control}{end}" for end in ("", "_low", "_high"))
                row |= dict(zip(ends, means[:, k, m], strict=True))
                row[f"layers_tested_{control}"] = int((estimates.counts[k, m, of_scope] >= FEWEST).sum())
                for sign, word in ((1, "above"), (-1, "below")):
                    row[f"layers_{word}_{control}"] = int(estimates.apart(sign)[k, m, of_scope].sum())
            yield row | {"training_data": maps.training_data}


def _names(entry: Entry, layer: Layer) -> dict[str, Any]:
    return {"layer": layer.name, "depth": layer.depth, "method": entry.name, "family": entry.family}


def _counts(present: NDArray[np.bool_]) -> dict[str, int]:
    """Count the images and seeds of a (seeds, images) array."""
    return {"n_images": int(present.any(axis=0).sum()), "n_seeds": int(present.any(axis=1).sum())}


def _shares(maps: MapScores, method: str, layers: int | NDArray[np.bool_]) -> dict[str, float]:
    """Return the shares of maps that are zero everywhere and of those that are undefined; NaN where not recorded."""
    present = maps.present[method][layers]
    if method not in maps.blank:
        return {"blank_share": np.nan, "undefined_share": np.nan}
    blank = maps.blank[method][layers]
    return {
        "blank_share": float((blank == 1).sum() / present.sum()),
        "undefined_share": float((present & np.isnan(blank)).sum() / present.sum()),
    }


def _numbers(metrics: Sequence[Metric], estimates: Compared, which: int, layer: int) -> dict[str, Any]:
    """Return the columns of every metric: mean, bounds, and how many values it is of."""
    row: dict[str, Any] = {}
    for m, metric in enumerate(metrics):
        estimate, low, high = estimates.layers[:, which, m, layer]
        row |= {metric.name: estimate, f"{metric.name}_low": low, f"{metric.name}_high": high}
        row[f"{metric.name}_n"] = int(estimates.counts[which, m, layer])
    return row
