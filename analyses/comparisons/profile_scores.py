"""Performance profiles as numbers: the share of maps above a bar, the area under it, and how sure both are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyses.reading.arrays import Floats, Numbers
from analyses.reading.choices import highest, main_target
from analyses.reading.cubes import cube
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import SHARE
from analyses.statistics.intervals import bootstrap_interval

TIE = 1e-6
"""Scores that differ by less are equal: a map without any structure scores what chance does but for rounding."""


@dataclass(frozen=True)
class NetworkScores:
    """The scores of all methods with maps of most images, for one model, level and target; each map is a run.

    Attributes:
        model: its name.
        level: the highest level that most seeds reached.
        target: the target's name.
        metric: whose scores they are.
        methods: in the manifest's order.
        left_out: methods with maps of few images.
        layers: at the main probe point, in the order of execution.
        scores: (methods, layers, seeds, images), NaN where undefined.
        present: whether there is a map, of the same shape.
        sign: 1 where higher is better, -1 where lower is.
        chance: what chance scores.
        best: the best value that there is; of metrics without one, that occurs.
        training_data: what the networks were trained on.
    """

    model: str
    level: int
    target: str
    metric: Metric
    methods: tuple[str, ...]
    left_out: tuple[str, ...]
    layers: tuple[Layer, ...]
    scores: Numbers
    present: NDArray[np.bool_]
    sign: int
    chance: float
    best: float
    training_data: str


def read(results: Results, model: str, metric: Metric, fewest: float) -> NetworkScores | None:
    """Read the scores of a model at its highest level; None where there are none.

    Args:
        results: the run.
        model: the model's name.
        metric: with a better side and a number for chance.
        fewest: methods with maps of less than this share of the images of the method with most are left out.

    Raises:
        ResultsError: a map is there twice, or a file is damaged.
    """
    level, layers, target = highest(results, model), results.main_layers(model), main_target(results)
    if level is None:
        return None
    where: dict[str, Sequence[str | int]] = {
        "model": [model],
        "level": [level],
        "target": [target],
    }
    names = [name for name in results.methods if name not in results.own_passes]
    axes: dict[str, Any] = {"method": names, "layer": [layer.name for layer in layers], "seed": None, "image": None}
    maps = cube(results, where, axes, [metric.name])
    images = dict(zip(names, maps.present.any(axis=(1, 2)).sum(axis=1), strict=True))
    if not any(images.values()):
        return None
    enough = {name for name, count in images.items() if count and count >= fewest * max(images.values())}
    methods = [name for name in names if name in enough]
    kept = [names.index(name) for name in methods]
    values, present = maps.values[metric.name][kept], maps.present[kept]
    if np.isnan(values).all():
        return None
    has_maps: NDArray[np.bool_] = np.asarray(present.any(axis=(0, 2, 3)))
    sign = 1 if metric.direction == "higher" else -1
    return NetworkScores(
        model=model,
        level=level,
        target=target,
        metric=metric,
        methods=tuple(methods),
        left_out=tuple(
            name for name in results.methods if name in results.own_passes or (images.get(name) and name not in enough)
        ),
        layers=tuple(layer for layer, has in zip(layers, has_maps, strict=True) if has),
        scores=values[:, has_maps],
        present=present[:, has_maps],
        sign=sign,
        chance=float(metric.chance or 0.0),
        best=_best(metric, values, sign),
        training_data=maps.training_data,
    )


def _best(metric: Metric, values: Numbers, sign: int) -> float:
    bound = metric.upper if sign > 0 else metric.lower
    return bound if np.isfinite(bound) else float(sign * np.nanmax(sign * values))


def numbers(network: NetworkScores, places: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Return of each method with maps of some layers the area under its profile and its share above chance.

    The area is that from chance c to the best value b over their distance, which is the mean of (x - c) / (b - c),
    negative ones and those of maps without a value counting as 0; each layer has the same weight.

    Args:
        network: the scores.
        places: of the layers.

    Returns:
        By method `area` and `above` with the bounds of their intervals, `n_layers`, `n_images`, `n_seeds`, `n_maps`,
        and `share_undefined`, of maps without a value.

    Source: Dolan and More, Mathematical Programming 91, 2002, section 2 (failed runs are never within the bar).
    """
    scores, present = network.scores[:, places], network.present[:, places]
    of_methods = [_over_layers(network, *of_method) for of_method in zip(scores, present, strict=True)]
    stacked = np.stack(of_methods, axis=1)
    interval = bootstrap_interval(stacked, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, SHARE)
    rows: dict[str, dict[str, Any]] = {}
    for k, method in enumerate(network.methods):
        of_method = present[k]
        if not of_method.any():
            continue
        row: dict[str, Any] = {}
        for p, name in enumerate(("area", "above")):
            ends = (name, f"{name}_low", f"{name}_high")
            row |= {end: float(values[p, k]) for end, values in zip(ends, interval, strict=True)}
        row |= {"n_layers": int(of_method.any(axis=(1, 2)).sum()), "n_images": int(of_method.any(axis=(0, 1)).sum())}
        row |= {"n_seeds": int(of_method.any(axis=(0, 2)).sum()), "n_maps": int(of_method.sum())}
        rows[method] = row | {"share_undefined": float(np.isnan(scores[k][of_method]).mean())}
    return rows


def _over_layers(network: NetworkScores, scores: Numbers, present: NDArray[np.bool_]) -> Floats:
    """Return of each seed and image what a method's maps gain, and whether they do, as means over the layers.

    Args:
        network: with chance and the best value.
        scores: of one method, (layers, seeds, images).
        present: whether there is a map, of the same shape.

    Returns:
        (2, seeds, images); NaN where there is no map.
    """
    gained = np.nan_to_num(network.sign * (scores.astype(np.float64) - network.chance), nan=0.0)
    span = network.sign * (network.best - network.chance)
    area = np.clip(gained / span, 0, 1) if span > 0 else np.zeros(gained.shape)
    maps = present.sum(axis=0)
    means = np.full((2, *maps.shape), np.nan)
    for mean, values in zip(means, (area, gained > TIE), strict=True):
        np.divide(np.where(present, values, 0.0).sum(axis=0), maps, out=mean, where=maps > 0)
    return means
