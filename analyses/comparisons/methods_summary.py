"""Methods over a network's layers: whose maps find the object, on average, more than those of blind controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table
from analyses.comparisons import method_rows as tables
from analyses.plots import networks, style
from analyses.plots.dots import draw_summary, less
from analyses.plots.networks import FEW
from analyses.reading import catalogue
from analyses.reading.catalogue import BLIND, FEWEST
from analyses.reading.drawn_tables import published_or
from analyses.reading.manifest import Metric
from analyses.reading.results import Results
from analyses.statistics.decisions import side

MOST_NAMED = 3
"""Of methods that are no better than controls, in a title."""
SHOWN = (
    *("model", "level", "target", "method", "scope", "metric"),
    *("estimate", "low", "high"),
    *(f"minus_{name}{end}" for name in ("sobel", "gaussian") for end in ("", "_low", "_high")),
    *("blank_share", "n_layers", "n_images", "n_seeds"),
)
"""Columns that are printed: the CSV has all."""
READING = (
    "Mean over a network's layers with its interval, a row a method, the highest first; n: images, where others have "
    f"more; below {FEW} apart. Grey lines are controls that know neither network nor mask. A hollow mark is of fewer "
    "layers, or of fewer than half of the maps: such means are not to be compared with others."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of means over layers and the figures of it; nothing for runs without methods' families."""
    metric = tables.main_metric(results)
    if metric is None:
        return
    frame = published_or(results, "methods_summary", summarise)
    if frame.empty:
        return
    against = ", ".join(results.label("methods", name) for name in tables.controls(catalogue.entries(results)))
    yield Table(
        "methods_summary",
        frame,
        f"{tables.ABOUT} by method, over layers, each model at its highest level and for the target that most methods "
        "explain: estimate is the mean of the layers' means, each layer with the same weight; minus_ is "
        f"the same mean of the paired differences from a control ({against}); layers_above_ and layers_below_ count "
        "the layers where the interval of that difference lies above or below zero (a lower background ratio is the "
        f"better one), of the layers_tested_ with pairs of {FEWEST} images or more. {tables.POINTWISE} "
        f"{tables.reading(results)}",
        shown=[name for name in SHOWN if name in frame],
    )
    pairs = {row["model"]: (int(row["level"]), str(row["target"])) for row in frame.to_dict("records")}
    details = (
        f"{tables.where(results, pairs)}. The controls are {tables.blind(results)}, on the input where the "
        "maps are. The paired differences in the table methods_summary are the fair comparison; it has background "
        "ratio, too."
    )
    for ending, models in networks.pages([name for name in results.models if name in pairs]):
        rows = frame[frame["model"].isin(models)]
        if (rows["family"] == "control").all():
            continue
        with style.context():
            drawn = draw_summary(results, rows)
        caption = Caption(finding(results, models, rows, metric), READING, details)
        yield Figure(f"methods_summary{ending}", drawn, caption, "Methods over layers")


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, method, metric and scope: of the layers, or of the input's pixels."""
    methods = catalogue.entries(results)
    rows: list[dict[str, Any]] = []
    for model, (level, target) in tables.compared(results).items() if methods else ():
        of_model = {"model": model, "level": level, "target": target}
        for entry, maps, estimates, against in tables.beside(results, methods, model, level, target):
            rows += [of_model | row for row in tables.summary_rows(maps, entry, estimates, against)]
    return tables.ordered(rows, methods)


def finding(results: Results, models: Sequence[str], summary: pd.DataFrame, metric: Metric) -> str:
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
