"""Every method against the controls: which maps find the object, or follow edges, more than blind ones do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.comparisons import method_rows as tables
from analyses.plots import method_heatmaps as figures
from analyses.plots import networks, style
from analyses.plots.dots import draw_summary, less
from analyses.plots.networks import FEW
from analyses.reading import catalogue, choices, gaps
from analyses.reading.catalogue import BLIND, FEWEST, Entry
from analyses.reading.manifest import Metric
from analyses.reading.results import Results
from analyses.statistics import contrasts as contrasts_module
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.decisions import side
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
    yield from _figures(results, means, contrasts, summary)


MOST_NAMED = 3
"""Of methods that are no better than controls, in a title; of reasons, in a caption."""
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

READING = (
    "A panel a network, rows are methods by family, columns layers, role by role. White is what chance scores, blue is "
    "better. A dot: better than each control that knows neither network nor mask, by the pointwise interval of the "
    "paired difference. Small: few images; hatched: cannot run there."
)
_MARKS = (
    "Colours saturate where controls lie beyond the methods. What attributes to the input's pixels has a column of its "
    "own. Hatched: skipped{skipped}. A slash: fewer than half of the maps have a value; a "
    "cross: fewer than one in ten, too few for a colour. Dots take {fewest} images or more; the controls are {blind}. "
    "n: images of methods with passes of their own. Edge alignment and background ratio are in the table methods."
)
SUMMARY_READING = (
    "Mean over a network's layers with its interval, a row a method, the highest first; n: images, where others have "
    f"more; below {FEW} apart. Grey lines are controls that know neither network nor mask. A hollow mark is of fewer "
    "layers, or of fewer than half of the maps: such means are not to be compared with others."
)


def collect(results: Results, methods: Sequence[Entry]) -> MethodRows:
    """Compute the rows: means for all models, levels and targets, comparisons for what the figures show."""
    of_methods, entries = MethodRows(), {entry.name: entry for entry in methods}
    for model in results.models:
        reached = sorted({c.level for c in results.checkpoints if c.model == model and c.reached})
        top = choices.highest(results, model)
        for level in reached:
            main = choices.target_of_most_methods(results, model, level) if level == top else None
            for target in results.targets:
                names = {"model": model, "level": level, "target": target}
                controls = _controls(methods) if target == main else []
                for name, maps in tables.read(results, model, level, target, beside=controls):
                    if name not in entries:
                        continue
                    entry = entries[name]
                    against = [] if entry.control else [control for control in controls if control in maps.values]
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


def _figures(results: Results, means: pd.DataFrame, contrasts: pd.DataFrame, summary: pd.DataFrame) -> Iterator[Figure]:
    """Yield the heat maps and the dot plots of all networks."""
    metric = next(metric for name in catalogue.SHOWN for metric in results.metrics if metric.name == name)
    shown = summary[["model", "level", "target"]].drop_duplicates()
    means = means.merge(shown, on=["model", "level", "target"], how="inner")
    blind = printing.listed([results.label("methods", name) for name in BLIND if name in results.methods])
    where = "; ".join(
        f"{results.label('models', row['model'])}, {results.level_phrase(row['model'], int(row['level']))}, target: "
        f"{results.label('targets', row['target'])}"
        for row in shown.to_dict("records")
    )
    for ending, models in figures.pages(results, means):
        of_page = means[means["model"].isin(models)]
        if of_page[metric.name].isna().all():  # as of a class that is everywhere, which leaves nothing to gain
            continue
        with style.context():
            drawn = figures.draw_layers(results, models, of_page, contrasts, metric)
        marks = _MARKS.format(blind=blind, fewest=FEWEST, skipped=_skipped(results, models))
        last = [choices.head(results, model) for model in models]
        behind = [layer.label for layer in last if layer and layer.name in set(of_page["layer"])]
        ends = f"{printing.listed(list(dict.fromkeys(behind)))}: behind the last ReLU. " if behind else ""
        caption = Caption(_found(results, models, contrasts, metric), READING, f"{where}. {ends}{marks}")
        yield Figure(f"methods{ending}", drawn, caption, "Methods by layer")
    for ending, models in networks.pages(list(shown["model"])):
        rows = summary[summary["model"].isin(models)]
        if (rows["family"] == "control").all():
            continue
        with style.context():
            drawn = draw_summary(results, rows)
        details = (
            f"{where}. The controls are {blind}, on the input where the maps are. The paired differences in the table "
            "methods_summary are the fair comparison; it has background ratio, too."
        )
        caption = Caption(_best(results, models, rows, metric), SUMMARY_READING, details)
        yield Figure(f"methods_summary{ending}", drawn, caption, "Methods over layers")


def _skipped(results: Results, models: Sequence[str]) -> str:
    """Say why methods were skipped, as they say it themselves; of many reasons, where they stand."""
    left = gaps.read(results)
    left = left[left["model"].isin(models)]
    reasons = [
        f"{printing.listed([results.label('methods', name) for name in dict.fromkeys(rows['method'])])}: {reason}"
        for reason, rows in left.groupby("reason", sort=False)
    ]
    if not reasons or len(reasons) > MOST_NAMED:
        return ", for the reason in the table skipped"
    return f" ({'; '.join(reasons)})"


def _found(results: Results, models: Sequence[str], contrasts: pd.DataFrame, metric: Metric) -> str:
    """Say at how many layers of each network the main method is better than every blind control."""
    words = []
    for model in models if len(contrasts) else ():
        rows = contrasts[(contrasts["model"] == model) & (contrasts["method"] == results.main_method)]
        by_layer: dict[str, list[dict[str, Any]]] = {}
        for row in rows.to_dict("records"):
            by_layer.setdefault(str(row["layer"]), []).append({str(name): value for name, value in row.items()})
        layers = [figures.better(of_layer, metric) for of_layer in by_layer.values()]
        if layers:
            words.append(f"{sum(layers)} of {len(layers)} layers in {networks.name_of(results, model)}")
    if not words:
        return ""
    name = results.label("methods", results.main_method)
    return f"{metric.label} of {name} is better than every blind control's at {printing.listed(words)}."


def _best(results: Results, models: Sequence[str], summary: pd.DataFrame, metric: Metric) -> str:
    """Say how many methods of each network are better than every blind control, from which to which, and which are not.

    Of those with maps of most images and layers.
    """
    words = []
    for model in models:
        rows = summary[(summary["model"] == model) & (summary["metric"] == metric.name)]
        rows = rows[(rows["scope"] == "layer") & (rows["family"] != "control") & rows["estimate"].notna()]
        enough = rows[(rows["n_images"] >= FEW) & ~less(rows)]
        if rows.empty:
            continue
        few = "" if len(enough) else ", few images"
        ordered = (enough if len(enough) else rows).sort_values(
            "estimate", ascending=metric.direction == "lower", kind="stable"
        )
        by_side: dict[bool, list[str]] = {True: [], False: []}
        for row in ordered.to_dict("records"):
            named = f"{results.label('methods', str(row['method']))} {printing.short(row['estimate'])}"
            by_side[_beats(row, metric)].append(named)
        above, others = by_side[True], by_side[False]
        said = [" to ".join(dict.fromkeys([above[0], above[-1]]))] if above else []
        said += [f"not {', '.join(others)}"] if 0 < len(others) <= MOST_NAMED else []
        of_model = f"{len(above)} of {len(ordered)} in {networks.name_of(results, model)}"
        words.append(f"{of_model} ({'; '.join(said) or f'the best: {others[0]}'}{few})")
    name = printing.within(metric.label)
    of_all = f"Methods whose {name} over layers is better than every blind control's"
    return f"{of_all}: {printing.listed(words)}." if words else ""


def _beats(row: Mapping[Any, Any], metric: Metric) -> bool:
    """Return whether a row of the summary is better than each blind control that it is compared with, surely."""
    better = -1 if metric.direction == "lower" else 1
    minus = [f"minus_{name}" for name in BLIND if f"minus_{name}" in row]
    return bool(minus) and all(side(row[f"{name}{end}"] for end in ("", "_low", "_high")) == better for name in minus)
