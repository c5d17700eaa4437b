"""Does map quality go with segmentation quality? Scores of maps against what is known of each image.

Of each image are known the Dice of the prediction, the object's area, the network's confidence and its entropy. A
control that knows neither network nor mask stands beside: what its scores go with, they owe to the images alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.plots import correlations, networks, style
from analyses.plots.correlations import Cloud
from analyses.reading.arrays import fill
from analyses.reading.catalogue import BLIND
from analyses.reading.choices import BLANK, described, ends, highest, main_target
from analyses.reading.cubes import Where, by_column, cube
from analyses.reading.image_facts import FACTS, SURE, image_facts
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE
from analyses.statistics.correlation import FEWEST
from analyses.statistics.correlation import correlations as rank_correlations
from analyses.statistics.decisions import side

RESAMPLES = 1000
SCATTERED = "energy_gain"
"""The metric whose images are drawn as dots, where the run has it; else its first."""
ABOUT = (
    "rho: Spearman's correlation over images of a map's score with a fact of the image, each training's averaged; "
    f"{CONFIDENCE:.0%} interval from {RESAMPLES} crossed resamples of images and trainings, ranked anew (widened where "
    "few trainings differ; with one it speaks of the images alone), each for itself: of many, one in twenty lies apart "
    "from 0 by chance. dice: of the prediction with the mask. area: the "
    "object's share of the labelled pixels. confidence: mean probability of the class over the pixels predicted as "
    "it. entropy: mean entropy a pixel of the network's probabilities, in nats. First and last layer before the "
    f"decoder, and the last. Correlations of fewer than {FEWEST} images are left out."
)
LACKS = " This run was scored before {} were kept: score it again for them."
READING = (
    "A dot an image, of one training: a score of its map against what is known of the image, by layer. In each panel's "
    "title Spearman's correlation over all trainings, with its interval; bold where that lies apart from 0; without, "
    "too few images have both, or one of them is the same in all."
)
SCORES_READING = (
    "Rank correlation over images of each score with a fact, by layer, with intervals; at 0 a score says nothing of "
    "the fact. Hollow: the same of a control that knows neither network nor mask. Without a mark: too few images "
    "have a value, or all have the same."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield a table and two figures a network; nothing for runs without masks, scores or enough images."""
    if not results.parts("scores") or not results.parts("predictions") or not results.targets:
        return
    known = {model: level for model in results.models if (level := highest(results, model)) is not None}
    tables = {model: tabulate(results, model, level) for model, level in known.items()}
    tables = {model: frame for model, frame in tables.items() if len(frame)}
    if not tables:
        return
    frame = pd.concat(tables.values(), ignore_index=True)
    predictions = results.predictions()
    lacking = [name for name in SURE if name not in predictions or predictions[name].isna().all()]
    about = ABOUT + (LACKS.format(" and ".join(lacking)) if lacking else "")
    yield Table("map_quality", rounded(frame), about)
    target = results.label("targets", main_target(results))
    for model, of_model in tables.items():
        ending = f"-{printing.slug(model)}"
        details = f"{described(results, model, known[model])}; target: {target}. {about}"
        with style.context():
            drawn = _scatter(results, model, known[model], of_model)
        caption = Caption(finding(results, model, of_model), READING, details)
        yield Figure(f"map_quality{ending}", drawn, caption, "Map and segmentation")
        with style.context():
            scores = _scores(results, model, of_model)
        caption = Caption(scores_finding(results, of_model), SCORES_READING, details)
        yield Figure(f"map_quality_scores{ending}", scores, caption, "Map and segmentation, all scores")


def methods_of(results: Results) -> list[str]:
    """Return the main method, and the first control there is that knows neither network nor mask."""
    blind = [name for name in BLIND if name in results.controls]
    return [results.main_method, *[name for name in blind[:1] if name != results.main_method]]


def tabulate(results: Results, model: str, level: int) -> pd.DataFrame:
    """Return a row a method, layer, metric and fact of one model's level; none where too few images are known."""
    target, methods = main_target(results), methods_of(results)
    layers = ends(results.main_layers(model))
    names = [metric.name for metric in results.metrics if metric.name != BLANK]
    where: Where = {"model": [model], "level": [level], "target": [target]}
    axes: dict[str, Sequence[Any] | None] = {"method": methods, "layer": [layer.name for layer in layers]}
    axes |= {"seed": None, "image": None}
    facts = image_facts(results, model, level)
    rows: list[dict[str, Any]] = []
    for name, maps in by_column(results, where, axes, names, optional=True):
        of_facts, _ = fill(facts, {key: maps.axes[key] for key in ("seed", "image")}, list(FACTS), "predictions")
        there = [k for k in range(len(FACTS)) if not np.isnan(of_facts[k]).all()]
        places = list(product(methods, layers))
        values = maps.values[name].reshape(len(places), *maps.present.shape[2:])
        found = rank_correlations(values, of_facts[there], RESAMPLES, CONFIDENCE)
        for (method, layer), of_map, row in zip(places, values, found, strict=True):
            keys = {"model": model, "level": level, "target": target, "method": method, "layer": layer.name}
            for k, one in zip(there, row, strict=True):
                if not math.isnan(one.rho):
                    numbers = {"rho": one.rho, "rho_low": one.low, "rho_high": one.high, "n_images": one.n}
                    said = {"depth": layer.depth, "metric": name, "fact": list(FACTS)[k]}
                    rows.append(keys | said | numbers | _told(of_map, maps.training_data))
    return pd.DataFrame(rows)


def _told(values: Any, training_data: str) -> dict[str, Any]:
    return {"n_seeds": int((~np.isnan(values)).any(axis=1).sum()), "training_data": training_data}


def apart(frame: pd.DataFrame) -> pd.Series:
    """Return of which rows the interval lies apart from 0, whatever resamples were drawn."""
    sides = side((frame[f"rho{end}"] for end in ("", "_low", "_high")), resamples=RESAMPLES)
    return pd.Series(sides != 0, frame.index)


def scattered(results: Results, frame: pd.DataFrame) -> str:
    """Return the metric whose images are drawn as dots."""
    there = set(frame["metric"])
    return next((name for name in (SCATTERED, *(metric.name for metric in results.metrics)) if name in there), "")


def finding(results: Results, model: str, frame: pd.DataFrame) -> str:
    """Say with which fact a metric of the main method goes most, and at which layers it goes with Dice."""
    name = scattered(results, frame)
    rows = frame[(frame["metric"] == name) & (frame["method"] == results.main_method)]
    label = next((metric.label for metric in results.metrics if metric.name == name), name)
    method = results.label("methods", results.main_method)
    if rows.empty:
        return f"Too few images have {label.lower()} of {method} and a fact beside it."
    parts, said = [], 0
    for fact in [one for one in FACTS if (rows["fact"] == one).any()]:
        of_fact = rows[rows["fact"] == fact]
        with_it = of_fact[apart(of_fact)]
        of = f" of {len(of_fact)}{'' if said else ' layers'}" if len(of_fact) != said else ""
        said = len(of_fact)
        if with_it.empty:
            parts.append(f"{_plain(fact)} at none{of}")
            continue
        most = max(with_it.to_dict("records"), key=lambda row: abs(row["rho"]))
        where = networks.label_of(results, model, str(most["layer"]))
        parts.append(
            f"{_plain(fact)} at {len(with_it)}{of} "
            f"({correlations.RHO}\N{NO-BREAK SPACE}{printing.fixed(float(most['rho']), 2)} at {where})"
        )
    return f"{label} of {method} goes with {printing.listed(parts)}."


def scores_finding(results: Results, frame: pd.DataFrame) -> str:
    """Say how many scores go with the first fact, and how many of these the control's scores do, too."""
    fact = next(one for one in FACTS if (frame["fact"] == one).any())
    rows = frame[frame["fact"] == fact]
    keys = ["metric", "layer"]
    own, control = (rows[rows["method"] == name] for name in [*methods_of(results), ""][:2])
    with_it = own[apart(own)]
    also = control[apart(control)].set_index(keys)["rho"]
    same = sum(
        (row["metric"], row["layer"]) in also.index and also[row["metric"], row["layer"]] * row["rho"] > 0
        for row in with_it.to_dict("records")
    )
    said = f"{len(with_it)} of {len(own)} scores by layer go with {_plain(fact)}"
    if control.empty:
        return f"{said}."
    beside = results.label("methods", methods_of(results)[1])
    return f"{said}; at {same} of these so does {beside}, which knows no network."


def _plain(fact: str) -> str:
    return {"dice": "Dice", "area": "the object's area"}.get(fact, fact)


def _scatter(results: Results, model: str, level: int, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a row a layer and a column a fact."""
    name = scattered(results, frame)
    seed = min(point.seed for point in results.reached(model, level))
    layers = [layer.name for layer in ends(results.main_layers(model))]
    where: Where = {"model": [model], "level": [level], "seed": [seed], "target": [main_target(results)]}
    axes = {"method": [results.main_method], "layer": layers, "image": None}
    maps = cube(results, where, axes, [name])
    facts = image_facts(results, model, level, [seed]).set_index("image").reindex(maps.axes["image"])
    shown = [fact for fact in FACTS if (frame["fact"] == fact).any()]
    known = frame[(frame["metric"] == name) & (frame["method"] == results.main_method)]
    ends_of = {
        (row["layer"], row["fact"]): (row["rho"], row["rho_low"], row["rho_high"]) for row in known.to_dict("records")
    }
    rows = []
    for i, layer in enumerate(layers):
        y = maps.values[name][0, i]
        clouds = [Cloud(facts[fact].to_numpy(np.float64), y, FACTS[fact], ends_of.get((layer, fact))) for fact in shown]
        rows.append((networks.label_of(results, model, layer), clouds))
    metric = next(metric for metric in results.metrics if metric.name == name)
    return correlations.clouds(rows, style.metric_label(metric))


def _scores(results: Results, model: str, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a panel a fact: a row a metric, a dot a layer."""
    labels = {metric.name: metric.label for metric in results.metrics if (frame["metric"] == metric.name).any()}
    layers = {layer.name: layer.label for layer in ends(results.main_layers(model))}
    facts = {fact: words for fact, words in FACTS.items() if (frame["fact"] == fact).any()}
    control = methods_of(results)[1:]
    beside = results.label("methods", control[0]) if control else ""
    return correlations.dots(frame, labels, layers, facts, results.main_method, beside)
