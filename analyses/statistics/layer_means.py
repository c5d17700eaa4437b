"""Means of a metric by layer, with intervals over images and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from analyses.reading.cubes import Cube
from analyses.reading.manifest import Layer, Metric
from analyses.statistics import bounds
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.intervals import bootstrap_interval


def layer_means(maps: Cube, layers: Sequence[Layer], metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer and metric of one model, level, target and method: mean, interval and counts.

    Args:
        maps: the metrics and, where it is known, the `area`, on the axes layer, seed and image.
        layers: of the first axis.
        metrics: those that are wanted; of others than the maps' there are no rows.
    """
    metrics = [metric for metric in metrics if metric.name in maps.values]
    seeds, images = maps.present.any(axis=(0, 2)), maps.present.any(axis=(0, 1))
    values = np.stack([maps.values[metric.name] for metric in metrics])
    if not (seeds.all() and images.all()):
        values = values[:, :, seeds][..., images]
    interval = bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, bounds.of(metrics, 1))
    area = maps.values["area"][maps.present].mean(dtype=np.float64) if "area" in maps.values else math.nan
    for i, layer in enumerate(layers):
        present = maps.present[i]
        if not present.any():
            continue
        counts = {
            "n_images": int(present.any(axis=0).sum()),
            "n_seeds": int(present.any(axis=1).sum()),
            "training_data": maps.training_data,
        }
        for k, metric in enumerate(metrics):
            yield counts | {
                "layer": layer.name,
                "depth": layer.depth,
                "metric": metric.name,
                "estimate": interval.estimate[k, i],
                "low": interval.low[k, i],
                "high": interval.high[k, i],
                "chance": _chance(metric, float(area)),
                "n_undefined": int(np.isnan(maps.values[metric.name][i][present]).sum()),
            }


def _chance(metric: Metric, area: float) -> float:
    if metric.chance == "area":
        return area
    return float(metric.chance) if isinstance(metric.chance, (int, float)) else math.nan
