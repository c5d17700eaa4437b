"""Which methods rank above which on the same images: Friedman's test, Nemenyi's pairs, critical differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.comparisons.method_rows import read
from analyses.plots import style
from analyses.plots.rank_diagram import draw_diagram
from analyses.reading.arrays import Floats, nan_mean
from analyses.reading.catalogue import Entry, entries
from analyses.reading.choices import highest, target_of_most_methods
from analyses.reading.manifest import Metric
from analyses.reading.results import Results
from analyses.statistics.ranks import ALPHA, Ranks, rank

METRIC = "energy_gain"
MISSING = 0.1
"""Share of images without a value from which on a method is left out: an image counts where all methods have one."""
KNOWING = ("mask_oracle", "mask_displaced", "uniform")
"""Controls that are left out: two know the answer, the last ties with nothing but itself."""
COLUMNS = (
    *("model", "level", "target", "metric", "method", "mean_rank", "critical_difference", "apart_from_best"),
    *("p_friedman", "kendall_w", "n_images", "n_seeds", "n_layers", "share_of_maps", "training_data"),
)


@dataclass(frozen=True)
class Ranking:
    """The methods of one model in the manifest's order, and how they rank.

    `share_of_maps` is that of the layers, seeds and images for which every method has a value: these are compared.
    """

    model: str
    level: int
    target: str
    methods: tuple[Entry, ...]
    ranks: Ranks
    n_seeds: int
    n_layers: int
    share_of_maps: float
    training_data: str


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of mean ranks and a diagram a model; nothing where fewer than three methods can be compared."""
    metric = next((metric for metric in results.metrics if metric.name == METRIC), None)
    if metric is None:
        return
    rankings = [item for model in results.models if (item := _compare(results, model, metric)) is not None]
    if not rankings:
        return
    targets = " or ".join(dict.fromkeys(str(results.label("targets", item.target)) for item in rankings))
    about = (
        f"Methods ranked on every image by {metric.label.lower()}, their mean over all layers that every one has maps "
        "of, and over seeds; of an image those layers and seeds count for which every method's map has a value "
        "(share_of_maps), as methods with blank maps of hard layers would else be ranked on easy ones; rank 1 is best; "
        f"target: that which most methods explain, {targets}. Methods whose mean ranks are "
        f"no further apart than the critical difference are not told apart by Nemenyi's test at {ALPHA:g}. With many "
        "images small differences are told apart: Kendall's W (0: images disagree, 1: all have one order) is the "
        f"effect. Methods without a value on more than {MISSING:.0%} of the images are left out, and networks of which "
        f"the main method is one."
    )
    yield Table("method_ranks", _table(rankings), about, best={"mean_rank": "lower"}, within=("model",))
    with style.context():
        figure = _draw(results, rankings)
    yield Figure(
        "method_ranks", figure, Caption("", "", f"Critical-difference diagrams; a bar joins such methods. {about}")
    )


def _compare(results: Results, model: str, metric: Metric) -> Ranking | None:
    level = highest(results, model)
    methods = entries(results)
    if level is None or not methods:
        return None
    target = target_of_most_methods(results, model, level)
    maps = read(results, model, level, target)
    at = [one.name for one in maps.metrics].index(metric.name)
    left_out = {*results.own_passes, *KNOWING}
    shown = [e for e in methods if e.scope == "layer" and e.name in maps.values and e.name not in left_out]
    covered = {e.name: maps.present[e.name].any(axis=(1, 2)) for e in shown}
    main = covered.get(results.main_method)
    if main is None:
        return None
    shown = [entry for entry in shown if (covered[entry.name] >= main).all()]
    values = {entry: _rows(maps.values[entry.name][at][main]) for entry in shown}
    values = {entry: rows for entry, rows in values.items() if np.isnan(rows).all(axis=0).mean() <= MISSING}
    if len(values) < 3 or results.main_method not in {entry.name for entry in values}:
        return None
    cube = np.stack(list(values.values()))
    complete = ~np.isnan(cube).any(axis=0)
    columns = nan_mean(np.where(complete, cube, np.nan), axis=-2)  # layers and seeds alike
    ranks = rank(columns.T, higher_is_better=metric.direction != "lower")
    present = maps.present[results.main_method][main]
    seeds, share = int(present.any(axis=(0, 2)).sum()), float(complete.sum() / present.sum())
    return Ranking(model, level, target, tuple(values), ranks, seeds, int(main.sum()), share, maps.training_data)


def _rows(values: Floats) -> Floats:
    """Return (layers, seeds, images) as (layers x seeds, images)."""
    return values.reshape(-1, values.shape[-1])


def _table(rankings: list[Ranking]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for ranking in rankings:
        ranks = ranking.ranks
        best = int(np.argmin(ranks.mean)) if ranks.n > 1 else 0
        for i, entry in enumerate(ranking.methods):
            row = {"model": ranking.model, "level": ranking.level, "target": ranking.target}
            row |= {"metric": METRIC, "method": entry.name, "mean_rank": ranks.mean[i]}
            row |= {"critical_difference": ranks.distance, "apart_from_best": bool(ranks.pairs[best, i] < ALPHA)}
            row |= {"p_friedman": ranks.p, "kendall_w": ranks.agreement, "n_images": ranks.n}
            row |= {"n_seeds": ranking.n_seeds, "n_layers": ranking.n_layers, "share_of_maps": ranking.share_of_maps}
            rows.append(row | {"training_data": ranking.training_data})
    order = {ranking.model: i for i, ranking in enumerate(rankings)}
    frame = tidy(pd.DataFrame(rows, columns=list(COLUMNS)).astype({"p_friedman": object}), ["mean_rank"])
    frame["p_friedman"] = [float(f"{p:.3g}") for p in frame["p_friedman"]]  # six decimals would make it zero
    return frame.sort_values("model", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def _draw(results: Results, rankings: list[Ranking]) -> matplotlib.figure.Figure:
    drawn = [item for item in rankings if item.ranks.n > 1]
    heights = [0.8 + 0.075 * len(item.methods) for item in drawn]
    figure = style.figure(sum(heights) or 1.0, constrained=True)
    panels = figure.subplots(len(heights) or 1, 1, squeeze=False, height_ratios=heights or None).ravel()
    for axes, item in zip(panels, drawn, strict=False):
        draw_diagram(axes, item.ranks, [entry.label for entry in item.methods])
        name = f"{results.label('models', item.model)}, {results.level(item.model, item.level)}"
        n = f"{item.ranks.n} images, {item.n_seeds} seed{'s' if item.n_seeds != 1 else ''}"
        axes.set_title(
            printing.plain(f"{name}: {n}, W = {item.ranks.agreement:.2f}, CD = {item.ranks.distance:.2f}"), loc="left"
        )
    return figure
