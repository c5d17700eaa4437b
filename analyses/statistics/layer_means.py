"""Means of a metric by layer, with intervals over images and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.reading.arrays import distinct, fill, known_layers, sources
from analyses.reading.manifest import Layer, Metric
from analyses.statistics import bounds
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.intervals import bootstrap_interval


def layer_means(scores: pd.DataFrame, layers: Sequence[Layer], metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer and metric of one model, level, target and method: mean, interval and counts."""
    metrics = [metric for metric in metrics if metric.name in scores]
    known_layers(scores, layers)
    axes: dict[str, Sequence[Any]] = {
        "layer": [layer.name for layer in layers],
        "seed": distinct(scores["seed"]),
        "image": distinct(scores["image"]),
    }
    values, present = fill(scores, axes, [metric.name for metric in metrics])
    interval = bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, bounds.of(metrics, 1))
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
                "low": interval.low[k, i],
                "high": interval.high[k, i],
                "chance": _chance(metric, area),
                "n_undefined": int((present[i] & np.isnan(values[k, i])).sum()),
            }


def _chance(metric: Metric, area: float) -> float:
    if metric.chance == "area":
        return area
    return float(metric.chance) if isinstance(metric.chance, (int, float)) else math.nan
