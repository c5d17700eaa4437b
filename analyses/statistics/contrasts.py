"""Methods against others on the same maps, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyses.reading.arrays import Floats, MapScores, nan_mean
from analyses.reading.catalogue import FEWEST
from analyses.reading.manifest import INPUT
from analyses.statistics import bounds
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, bootstrap_means
from analyses.statistics.decisions import side
from analyses.statistics.intervals import widened


@dataclass(frozen=True)
class Compared:
    """A method's means and its mean differences from controls, with the bounds of their intervals.

    All maps of the layers are compared on the images that the method has maps of, which may be few. The first axis
    of each array is [the method itself, its difference from each control].

    Attributes:
        layers: for each metric and layer, (3, 1 + controls, metrics, layers): estimate, low, high.
        mean: of these over the layers, each layer with the same weight, (3, 1 + controls, metrics); of the layers
            of a network, and of the input, by scope.
        counts: images with a defined map, or pair, (1 + controls, metrics, layers).
    """

    layers: Floats
    mean: dict[str, Floats]
    counts: NDArray[np.int64]

    def apart(self, sign: int) -> NDArray[np.bool_]:
        """Return where the interval lies above (`sign` 1) or below (-1) zero for sure, of enough images to say so."""
        return np.asarray((side(self.layers) == sign) & (self.counts >= FEWEST))


def compare(maps: MapScores, method: str, controls: Sequence[str]) -> Compared:
    """Compare a method with controls, paired by layer, seed and image: where either is undefined there is no pair."""
    images = maps.present[method].any(axis=(0, 1))
    scopes = {"input": [i for i, layer in enumerate(maps.layers) if layer.role == INPUT]}
    scopes["layer"] = [i for i in range(len(maps.layers)) if i not in scopes["input"]]
    of_metrics = []
    for k, metric in enumerate(maps.metrics):
        scores, *others = (
            maps.values[name][k][..., images].astype(np.float64, copy=False) for name in (method, *controls)
        )
        cube = np.stack([scores, *(scores - other for other in others)])
        own = bounds.Bounds(metric.lower, metric.upper)
        of_metrics.append(_compared(cube, scopes, bounds.stacked([own, *(own.weighted([1, -1]) for _ in controls)])))
    return Compared(
        np.stack([one.layers for one in of_metrics], axis=2),
        {scope: np.stack([one.mean[scope] for one in of_metrics], axis=2) for scope in scopes},
        np.stack([one.counts for one in of_metrics], axis=1),
    )


def _compared(cube: Floats, scopes: Mapping[str, Sequence[int]], possible: bounds.Bounds) -> Compared:
    """Return what one metric's values and differences, (1 + controls, layers, seeds, images), come to."""
    estimate, drawn = bootstrap_means(cube, np.random.default_rng(SEED), RESAMPLES)
    mean = {}
    for scope, of_scope in scopes.items():
        middle, own_mean = nan_mean(estimate[:, of_scope]), nan_mean(cube[:, of_scope], axis=1)
        ends = widened(own_mean, middle, nan_mean(drawn[..., of_scope]), CONFIDENCE, possible)
        mean[scope] = np.stack([middle, *ends])
    counts = (~np.isnan(cube)).any(axis=-2).sum(axis=-1)
    of_layers = bounds.Bounds(*(np.expand_dims(end, -1) for end in possible))
    return Compared(np.stack([estimate, *widened(cube, estimate, drawn, CONFIDENCE, of_layers)]), mean, counts)
