"""Means of a metric by layer, with intervals over images and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.reading.arrays import among, numbered, sources
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import ResultsError
from analyses.statistics.crossed import crossed_interval

RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0


def layer_means(scores: pd.DataFrame, layers: Sequence[Layer], metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer and metric of one model, level, target and method: mean, interval and counts."""
    metrics = [metric for metric in metrics if metric.name in scores]
    values, present = _cube(scores, layers, [metric.name for metric in metrics])
    interval = crossed_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE)
    low, high = (np.array([m.within(v) for m, v in zip(metrics, bound, strict=True)]) for bound in interval[1:])
    area = float(scores["area"].mean()) if "area" in scores else math.nan
    training_data = sources(scores)
    for i, layer in enumerate(layers):
        if not present[i].any():
            continue
        counts = {
            "n_images": int(present[i].any(axis=0).sum()),
            "n_seeds": int(present[i].any(axis=1).sum()),
            "training_data": training_data,
        }
        for k, metric in enumerate(metrics):
            yield counts | {
                "layer": layer.name,
                "depth": layer.depth,
                "metric": metric.name,
                "estimate": interval.estimate[k, i],
                "low": low[k, i],
                "high": high[k, i],
                "chance": _chance(metric, area),
                "n_undefined": int((present[i] & np.isnan(values[k, i])).sum()),
            }


def _cube(
    scores: pd.DataFrame, layers: Sequence[Layer], metrics: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the scores as (metrics, layers, seeds, images), NaN where undefined, and which maps there are."""
    layer = among(scores["layer"], [layer.name for layer in layers], "layers")
    seed, seeds = pd.factorize(scores["seed"], sort=True)
    image, images = numbered(scores["image"])
    shape = (len(layers), len(seeds), len(images))
    present = np.zeros(shape, dtype=bool)
    present[layer, seed, image] = True
    if present.sum() != len(scores):
        raise ResultsError("scores: a map is there twice; two runs share the folder: delete scores/ and run again")
    values = np.full((len(metrics), *shape), np.nan)
    for k, metric in enumerate(metrics):
        values[k, layer, seed, image] = scores[metric].to_numpy()
    return values, present


def _chance(metric: Metric, area: float) -> float:
    if metric.chance == "area":
        return area
    return float(metric.chance) if isinstance(metric.chance, (int, float)) else math.nan
