"""Which methods rank above which on the same images: Friedman's test, Nemenyi's pairs, critical differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.comparisons.method_rows import read
from analyses.plots import lines, networks, style
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
ROW, CD_ROW, AROUND = 0.145, 0.6, 0.87  # inches; rows of a critical difference; inches
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
    """Yield the table of mean ranks and a figure; nothing where fewer than three methods can be compared."""
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
        f"no further apart than the critical difference are not told apart by Nemenyi's test at {ALPHA:g}. Images are "
        "its only random factor, trainings are averaged: it does not say that others would rank alike. With many "
        "images small differences are told apart: Kendall's W (0: images disagree, 1: all have one order) is the "
        f"effect. Methods without a value on more than {MISSING:.0%} of the images are left out, and networks of which "
        f"the main method is one."
    )
    yield Table("method_ranks", _table(rankings), about, best={"mean_rank": "lower"}, within=("model",))
    drawn = [item for item in rankings if item.ranks.n > 1]
    if not drawn:
        return
    with style.context():
        figure = draw(results, drawn)
    agreement = "; ".join(
        f"{results.label('models', item.model)}, {results.level(item.model, item.level)}: {item.ranks.n} images, "
        f"{item.n_seeds} seed{'s' if item.n_seeds != 1 else ''}, W = {item.ranks.agreement:.2f}, critical difference "
        f"{item.ranks.distance:.2f}"
        for item in drawn
    )
    caption = Caption(finding(results, drawn), READING, f"{agreement}. {about}")
    yield Figure("method_ranks", figure, caption, "Method ranks")


READING = (
    "Mean rank of each method over images, 1 is best, a mark a network. Full marks are not told apart from the best "
    "one by Nemenyi's test; the bars on top are the critical differences. In grey: controls; in bold: "
    "the study's main method."
)


def finding(results: Results, rankings: Sequence[Ranking]) -> str:
    """Say which method ranks best in each network, and where the main one stands."""
    best, own = [], []
    for item in rankings:
        order = np.argsort(item.ranks.mean, kind="stable")
        first, name = item.methods[order[0]], networks.name_of(results, item.model)
        best.append(f"{first.label} in {name} ({item.ranks.mean[order[0]]:.2f})")
        place = [item.methods[i].name for i in order].index(results.main_method) + 1
        own.append(f"{place} of {len(order)}")
    own = own[:1] if len(set(own)) == 1 else own
    main = results.label("methods", results.main_method)
    return f"Best mean rank: {printing.listed(best)}; {main} comes {printing.listed(own)}."


def _compare(results: Results, model: str, metric: Metric) -> Ranking | None:
    level = highest(results, model)
    methods = entries(results)
    if level is None or not methods:
        return None
    target = target_of_most_methods(results, model, level)
    left_out = {*results.own_passes, *KNOWING}
    scores = {name: maps for name, maps in read(results, model, level, target, [metric.name]) if name not in left_out}
    shown = [entry for entry in methods if entry.scope == "layer" and entry.name in scores]
    covered = {entry.name: scores[entry.name].present[entry.name].any(axis=(1, 2)) for entry in shown}
    main = covered.get(results.main_method)
    if main is None:
        return None
    shown = [entry for entry in shown if (covered[entry.name] >= main).all()]
    values = {entry: _rows(scores[entry.name].values[entry.name][0][main]) for entry in shown}
    values = {entry: rows for entry, rows in values.items() if np.isnan(rows).all(axis=0).mean() <= MISSING}
    if len(values) < 3 or results.main_method not in {entry.name for entry in values}:
        return None
    complete = ~np.logical_or.reduce([np.isnan(rows) for rows in values.values()])
    columns = [nan_mean(np.where(complete, rows, np.nan), axis=0) for rows in values.values()]  # over layers and seeds
    ranks = rank(np.stack(columns, axis=1), higher_is_better=metric.direction != "lower")
    maps = scores[results.main_method]
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


def draw(results: Results, rankings: Sequence[Ranking]) -> matplotlib.figure.Figure:
    """Draw the mean ranks on one axis: a row a method, a mark a network, and the critical differences on top."""
    looks = style.model_lines(results.models)
    means: dict[Entry, list[float]] = {}
    for item in rankings:
        for entry, mean in zip(item.methods, item.ranks.mean, strict=True):
            means.setdefault(entry, []).append(float(mean))
    rows = {entry: y for y, entry in enumerate(sorted(means, key=lambda entry: float(np.mean(means[entry]))))}
    top = -0.8 - CD_ROW * len(rankings)
    figure = style.figure(ROW * (len(rows) - top) + AROUND, style.COLUMN, constrained=True)
    axes = figure.subplots()
    for y in rows.values():
        axes.axhline(y, color="#eeeeee", linewidth=0.5, zorder=0)
    for i, item in enumerate(rankings):
        look, best = looks[item.model], int(np.argmin(item.ranks.mean))
        for k, (entry, mean) in enumerate(zip(item.methods, item.ranks.mean, strict=True)):
            face = "white" if item.ranks.pairs[best, k] < ALPHA else look.color
            mark: dict[str, Any] = {"markerfacecolor": face, "markersize": 3.6, "markeredgewidth": 0.8}
            axes.plot(mean, rows[entry], linestyle="none", color=look.color, marker=look.marker, **mark)
        above = top + CD_ROW * (i + 0.5)
        axes.plot(
            [1, 1 + item.ranks.distance], [above, above], color=look.color, marker="|", markersize=4, linewidth=1.2
        )
    axes.set_yticks(list(rows.values()), [printing.plain(entry.label) for entry in rows])
    for label, entry in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(style.GREY_TEXT if entry.control else "black")
        label.set_fontweight("bold" if entry.name == results.main_method else "normal")
    most = max(len(item.methods) for item in rankings)
    axes.set(
        xlabel="Mean rank by energy gain, 1 is best\n(bars: critical difference)",
        xlim=(0.6, most + 0.4),
        ylim=(len(rows) - 0.4, top),
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes)
    key = [
        lines.line_key(replace(looks[item.model], linestyle="-"), printing.plain(networks.name_of(results, item.model)))
        for item in rankings
    ]
    key += [
        lines.dots_key("full", "not worse than the best"),
        lines.dots_key("hollow", "worse (Nemenyi)"),
    ]
    style.add_key(figure, key, 3)
    return figure
