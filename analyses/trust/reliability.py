"""Whether a score would come out again: of an image with another training, of methods with others and other images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.plots import lines, networks, style
from analyses.reading.arrays import Floats, Numbers, nan_mean
from analyses.reading.choices import BLANK, main_target
from analyses.reading.cubes import by_column
from analyses.reading.drawn_tables import published_or
from analyses.reading.results import Results
from analyses.statistics.reliability import ENOUGH, components, icc, kendall_w, method_study, trainings_needed

FEWEST = 20
"""Images with a map of every training, below which a layer's ICC says nothing."""
METHODS = 3
"""Methods that make an order, at least."""
ROW, AROUND = 0.3, 0.95  # inches
COLUMNS = (
    *("model", "level", "target", "metric", "n_layers", "n_seeds", "n_images", "icc", "icc_least", "icc_most"),
    *("trainings", "n_methods", "w_images", "w_seeds", "dependability", "images_needed", "trainings_needed"),
)
ABOUT = (
    f"Medians over layers. icc: of an image's value over trainings (two-way random, absolute agreement, one training), "
    f"with the least and the most of a layer; layers with fewer than {FEWEST} images that have a map of every training "
    f"are left out, and n_images is their median. trainings: how many a mean of an image needs for a dependability of "
    f"{ENOUGH:g}. Of the order of methods without controls: Kendall's W over images and over trainings (W is 1 where "
    "all agree; of m trainings 1 / m by chance), the dependability of this run's means, and the images (with its "
    f"trainings) or trainings (with its images) that {ENOUGH:g} needs. inf: no number is enough."
)
READING = (
    "How far an image's value says something of the image and not of the training: ICC of a single training's value, "
    "0 nothing, 1 all. Dots: median over layers; lines: least and most of a layer; negative ones are noise. Dotted: "
    f"{ENOUGH:g}."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table, and a figure of the main target where networks were trained more than once."""
    frame = published_or(results, "reliability", tabulate)
    if frame.empty:
        return
    seeds = int(frame["n_seeds"].max())
    alone = " With one training nothing is known of others: icc is empty, and orders are of images alone."
    yield Table("reliability", frame, ABOUT + (alone if seeds < 2 else ""))
    target = main_target(results)
    shown = frame[(frame["target"] == target) & frame["icc"].notna()]
    for ending, models in networks.pages([model for model in results.models if (shown["model"] == model).any()]):
        of_page = shown[shown["model"].isin(models)]
        with style.context():
            figure = draw(results, of_page, models)
        details = f"{results.label('methods', results.main_method)}, target: {results.label('targets', target)}."
        caption = Caption(finding(results, of_page), READING, f"{details} {ABOUT}")
        yield Figure(f"reliability{ending}", figure, caption, "Reliability")


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, target and metric of which anything can be said, in the manifest's order."""
    names = [metric.name for metric in results.metrics if metric.name != BLANK]
    of_all = [name for name in results.methods if name not in (*results.controls, *results.own_passes)]
    rows: list[dict[str, Any]] = []
    for model in results.models:
        layers = [layer.name for layer in results.main_layers(model)]
        for level, target in product(results.levels(model), results.targets):
            key = {"model": model, "level": level, "target": target}
            where = {name: [value] for name, value in key.items()}
            axes = {"method": of_all, "layer": layers, "seed": None, "image": None}
            # A publication has those metrics alone that figures show.
            for name, maps in by_column(results, where, axes, names, optional=True):
                by_method = {method: of_method.values[name] for method, of_method in maps.each("method")}
                if results.main_method in by_method and not np.isnan(by_method[results.main_method]).all():
                    rows.append(key | {"metric": name} | studied(by_method, results.main_method))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return rounded(frame[frame[["icc", "dependability"]].notna().any(axis=1)].reset_index(drop=True))


def studied(by_method: Mapping[str, Numbers], main: str) -> dict[str, Any]:
    """Return what one metric's values say of their reliability.

    Args:
        by_method: (layers, seeds, images); NaN is undefined.
        main: the method whose values of images are looked at.
    """
    of_main = by_method[main]
    complete = (~np.isnan(of_main)).all(axis=1).sum(axis=-1)
    enough = of_main[complete >= FEWEST]
    single = icc(enough)
    defined = ~np.isnan(single)
    row: dict[str, Any] = {
        "n_layers": int(defined.sum()) if of_main.shape[1] > 1 else len(enough),
        "n_seeds": of_main.shape[1],
        "n_images": int(np.median(complete[complete >= FEWEST])) if len(enough) else 0,
        "icc": _median(single),
        "icc_least": float(single[defined].min()) if defined.any() else math.nan,
        "icc_most": float(single[defined].max()) if defined.any() else math.nan,
        "trainings": _median(trainings_needed(components(enough))),
    }
    return row | _of_methods(np.stack(list(by_method.values())))


def _of_methods(values: Numbers) -> dict[str, Any]:
    """Return how far methods come in the same order, from (methods, layers, seeds, images)."""
    found: list[tuple[float, ...]] = []
    seeds = values.shape[2]
    for of_layer in np.moveaxis(values, 1, 0):
        has_maps = of_layer[(~np.isnan(of_layer)).any(axis=(1, 2))]
        images = int((~np.isnan(has_maps)).all(axis=(0, 1)).sum())
        if len(has_maps) < METHODS or images < FEWEST:
            continue
        study = method_study(has_maps)
        over_images, over_seeds = (kendall_w(nan_mean(has_maps, axis).T) for axis in (1, 2))
        needed = (study.images_needed(seeds), study.trainings_needed(images) if seeds > 1 else math.nan)
        found.append((len(has_maps), over_images, over_seeds, study.dependability(seeds, images), *needed))
    names = ("n_methods", "w_images", "w_seeds", "dependability", "images_needed", "trainings_needed")
    if not found:
        return dict.fromkeys(names, math.nan) | {"n_methods": 0}
    medians = dict(zip(names, (_median(np.asarray(column)) for column in zip(*found, strict=True)), strict=True))
    return medians | {"n_methods": max(int(one[0]) for one in found)}


def _median(values: Floats) -> float:
    """Return the median of what is defined, of two in the middle the higher: a mean with an infinite one says less."""
    defined = np.sort(values[~np.isnan(values)])
    if not len(defined):
        return math.nan
    middle = defined[(len(defined) - 1) // 2], defined[len(defined) // 2]
    return float(middle[1] if np.isinf(middle[1]) else (middle[0] + middle[1]) / 2)


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say which metric's values of single images are the most and the least reliable, and where."""
    order = frame.sort_values("icc", kind="stable")
    least, most = order.iloc[0], order.iloc[-1]
    labels = {metric.name: metric.label for metric in results.metrics}
    enough = int((frame["icc"] >= ENOUGH).sum())

    def words(row: Any) -> str:
        where = f"{networks.name_of(results, row['model'])} at {results.level(row['model'], int(row['level']))}"
        return f"{labels[row['metric']]} in {where} ({printing.fixed(row['icc'], 2)})"

    return (
        f"One training's value of an image reaches an ICC of {ENOUGH:g} in {enough} of {len(frame)} cases: most has "
        f"{words(most)}, least {words(least)}."
    )


def draw(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a panel a network: a row a metric, a dot a level, with the least and the most of its layers."""
    order = frame.groupby("metric")["icc"].mean().sort_values(ascending=False, kind="stable").index
    metrics = {metric.name: metric for metric in results.metrics}
    looks = networks.looks(results, models)
    figure = style.figure(ROW * len(order) + AROUND, networks.width(len(models)), constrained=True)
    panels = figure.subplots(1, len(models), squeeze=False, sharex=True, sharey=True)[0]
    places = {name: y for y, name in enumerate(order)}
    for axes, model in zip(panels, models, strict=True):
        of_model = frame[frame["model"] == model]
        levels = list(dict.fromkeys(of_model["level"]))
        for k, level in enumerate(levels):
            rows, look = of_model[of_model["level"] == level], looks[level]
            y = rows["metric"].map(places) + (k - (len(levels) - 1) / 2) * 0.7 / max(len(levels), 2)
            axes.hlines(y, rows["icc_least"], rows["icc_most"], look.color, look.linestyle, linewidth=0.8)
            axes.plot(rows["icc"], y, color=look.color, marker=look.marker, linestyle="none", markersize=3.0)
        axes.axvline(ENOUGH, **lines.REFERENCE, zorder=0)
        axes.set(ylim=(len(order) - 0.5, -0.5), xlim=(min(-0.05, frame["icc_least"].min() - 0.02), 1.02))
        axes.set_yticks(range(len(order)), [printing.plain(metrics[name].label) for name in order])
        axes.tick_params(axis="y", length=0)
        axes.set_title(networks.title(results, model, len(models)), loc="left")
        axes.set_xlabel("ICC over trainings")
        sns.despine(ax=axes)
    key: list[Artist] = networks.level_key(results, models, looks)
    style.add_key(figure, key, 4, length=2.2)
    return figure
