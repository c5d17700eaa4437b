"""Every method against the controls: which maps find the object, or follow edges, more than blind ones do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table
from analyses.comparisons import method_rows as tables
from analyses.plots import method_heatmaps as figures
from analyses.plots import networks, style
from analyses.reading import catalogue, choices, gaps
from analyses.reading.catalogue import FEWEST, Entry
from analyses.reading.manifest import Metric
from analyses.reading.results import Results


@dataclass
class MethodRows:
    """The rows of both tables; the second is of each model's highest level and main target alone."""

    means: list[dict[str, Any]] = field(default_factory=list)
    contrasts: list[dict[str, Any]] = field(default_factory=list)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield two tables and the figures of all models; nothing for runs that did not record the methods' families."""
    methods, metric = catalogue.entries(results), tables.main_metric(results)
    if not methods or metric is None:
        return
    pairs = tables.compared(results)
    of_methods = collect(results, methods, pairs)
    if not of_methods.means:
        return
    means, contrasts = (tables.ordered(rows, methods) for rows in (of_methods.means, of_methods.contrasts))
    note = tables.reading(results)
    yield Table("methods", means, f"{tables.ABOUT} by layer and method. {note}")
    if not contrasts.empty:
        against = ", ".join(results.label("methods", name) for name in tables.controls(methods))
        yield Table(
            "methods_contrasts",
            contrasts,
            f"What methods score above the controls ({against}): mean differences, method less control, paired by "
            "layer, seed and image, each model at its highest level and for the target that most methods explain; "
            f"_n counts the images with both values. {tables.POINTWISE} {note}",
        )
    yield from _figures(results, means, contrasts, pairs, metric)


MOST_REASONS = 3
"""Of what was skipped, in a caption."""

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


def collect(results: Results, methods: Sequence[Entry], pairs: Mapping[str, tuple[int, str]]) -> MethodRows:
    """Compute the rows: means for all models, levels and targets, comparisons for `pairs`, which the figures show."""
    of_methods = MethodRows()
    for model in results.models:
        for level in sorted({c.level for c in results.checkpoints if c.model == model and c.reached}):
            for target in results.targets:
                names = {"model": model, "level": level, "target": target}
                shown = (level, target) == pairs.get(model)
                of_target = tables.beside(results, methods, model, level, target, paired=shown)
                for entry, maps, estimates, against in of_target:
                    of_methods.means += [names | row for row in tables.layer_rows(maps, entry, estimates)]
                    if shown:
                        rows = tables.contrast_rows(maps, entry, estimates, against)
                        of_methods.contrasts += [names | row for row in rows]
    return of_methods


def _figures(
    results: Results,
    means: pd.DataFrame,
    contrasts: pd.DataFrame,
    pairs: Mapping[str, tuple[int, str]],
    metric: Metric,
) -> Iterator[Figure]:
    """Yield the heat maps of all networks, each of its highest level and the target that most methods explain."""
    main = pd.DataFrame([(model, *pair) for model, pair in pairs.items()], columns=["model", "level", "target"])
    shown = means.merge(main)
    blind = tables.blind(results)
    where = tables.where(results, pairs)
    for ending, models in figures.pages(results, shown):
        of_page = shown[shown["model"].isin(models)]
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


def _skipped(results: Results, models: Sequence[str]) -> str:
    """Say why methods were skipped, as they say it themselves; of many reasons, where they stand."""
    left = gaps.read(results)
    left = left[left["model"].isin(models)]
    reasons = [
        f"{printing.listed([results.label('methods', name) for name in dict.fromkeys(rows['method'])])}: {reason}"
        for reason, rows in left.groupby("reason", sort=False)
    ]
    if not reasons or len(reasons) > MOST_REASONS:
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
