"""The values that a claim's contrast compares: a number a seed and image, or what is missing, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.paper.claims.statements import EVERY, HIGHEST, Contrast, Group, Selection
from analyses.reading.arrays import Floats, each_once
from analyses.reading.choices import described, highest, model_of
from analyses.reading.manifest import Layer, level_name
from analyses.reading.results import Results
from analyses.statistics.paired import trend_weights

METRICS = ("edge_alignment", "energy_gain", "background_ratio", "spread", "edge_thickness")


class NotMeasuredError(Exception):
    """The run lacks what a contrast compares; the message says what."""


@dataclass(frozen=True)
class ContrastValues:
    """What a contrast compares.

    Attributes:
        groups: each group's value of a seed and image, (groups, seeds, images); NaN where it has no map with a value.
        contrast: the number claimed, (seeds, images): the group's value, the first's less the second's, or the change
            of the fitted line over all; NaN where a group has no value.
        dropped: images that are scored but have no contrast, as maps without a value are left out.
        cells: the models and levels compared, in words.
        training_data: what the networks were trained on.
    """

    groups: Floats
    contrast: Floats
    dropped: int
    cells: str
    training_data: str


class ClaimScores:
    """The scores of one method and target of a run, by model and level.

    Args:
        results: the run.
        target: whose maps are compared.
    """

    def __init__(self, results: Results, target: str) -> None:
        self.results = results
        self.target = target
        self._read: dict[tuple[str, int], pd.DataFrame] = {}

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """The metrics of claims that the run has."""
        return tuple(metric.name for metric in self.results.metrics if metric.name in METRICS)

    def values(self, contrast: Contrast) -> ContrastValues:
        """Return what a contrast compares.

        Raises:
            NotMeasuredError: a model, level, layer or metric is not in the run, or no seed has all cells.
            ResultsError: a map is there twice, or a file is damaged.
        """
        if contrast.metric not in self.measured:
            raise NotMeasuredError(f"metric {contrast.metric}")
        of_groups = [self._group(group, contrast.metric) for group in contrast.groups]
        seeds = sorted(set.intersection(*(set(frame.index) for frame, _ in of_groups)))
        if not seeds:
            raise NotMeasuredError("no seed with all cells")
        images = sorted(set().union(*(frame.columns for frame, _ in of_groups)))
        groups = np.stack(
            [frame.reindex(index=seeds, columns=images).to_numpy(dtype=np.float64) for frame, _ in of_groups]
        )
        numbers = _contrast(groups, contrast)
        used = sorted({pair for _, pairs in of_groups for pair in pairs})
        return ContrastValues(
            groups,
            numbers,
            int(np.isnan(numbers).all(axis=0).sum()),
            "; ".join(described(self.results, model, level) for model, level in used),
            " / ".join(sorted({str(x) for pair in used for x in self._scores(*pair)["training_data"].unique()})),
        )

    def _group(self, group: Group, metric: str) -> tuple[pd.DataFrame, list[tuple[str, int]]]:
        """Return the mean over a group's cells, (seeds x images), of seeds that have all; and its models and levels."""
        left_out = {cell for cells in group.but for cell in self._pairs(cells)}
        present = [cell for cells in group.cells for cell in self._pairs(cells) if cell not in left_out]
        frames, seeds = [], []
        for model, level in dict.fromkeys((model, level) for model, level, _ in present):
            layers = {layer for m, n, layer in present if (m, n) == (model, level)}
            scores = self._scores(model, level)
            scores = scores[scores["layer"].isin(layers)]
            n_layers = scores.groupby("seed")["layer"].nunique()
            seeds.append(set(n_layers.index[n_layers == len(layers)]))
            frames.append(scores[["seed", "image", metric]])
        complete = set.intersection(*seeds)
        if not complete:
            raise NotMeasuredError(f"no seed with all maps of {group.name}")
        rows = pd.concat(frames)
        means = rows[rows["seed"].isin(complete)].groupby(["seed", "image"])[metric].mean().unstack("image")
        return means, list(dict.fromkeys((model, level) for model, level, _ in present))

    def _pairs(self, cells: Selection) -> list[tuple[str, int, str]]:
        """Return the model, level and layer's name of every cell."""
        model = model_of(self.results, cells.model)
        if model is None:
            raise NotMeasuredError(f"no {cells.model} in the run")
        layers = _named(self.results.main_layers(model), cells.layers, self.results.label("models", model))
        return [(model, self._level(model, level), layer) for level in cells.levels for layer in layers]

    def _level(self, model: str, asked: int) -> int:
        level = highest(self.results, model) if asked == HIGHEST else asked
        if level is None or not self.results.reached(model, level):
            name = "any level" if asked == HIGHEST else level_name(asked)
            raise NotMeasuredError(f"{self.results.label('models', model)} did not reach {name}")
        return level

    def _scores(self, model: str, level: int) -> pd.DataFrame:
        if (model, level) not in self._read:
            where: dict[str, Sequence[str | int]] = {
                "model": [model],
                "level": [level],
                "method": [self.results.main_method],
                "target": [self.target],
                "layer": [layer.name for layer in self.results.main_layers(model)],
            }
            columns = ["seed", "image", "layer", "training_data", *self.measured]
            scores = self.results.scores(where, columns)
            scores = scores.astype({"image": str, "layer": str, "training_data": str})
            each_once(scores, ["seed", "image", "layer"], "scores")
            self._read[model, level] = scores.astype(dict.fromkeys(self.measured, "float64"))
        return self._read[model, level]


def _named(layers: Sequence[Layer], labels: tuple[str, ...], model: str) -> list[str]:
    if labels == EVERY:
        return [layer.name for layer in layers]
    names = {layer.label: layer.name for layer in layers}
    if missing := [label for label in labels if label not in names]:
        raise NotMeasuredError(f"{model} has no layer {', '.join(missing)}")
    return [names[label] for label in labels]


def _contrast(groups: Floats, contrast: Contrast) -> NDArray[np.float64]:
    if len(groups) == 1:
        return np.asarray(groups[0], dtype=np.float64)
    weights = np.array([1.0, -1.0]) if contrast.test == "wilcoxon" else trend_weights(len(groups))
    numbers: Floats = np.tensordot(weights, groups, axes=1)
    return numbers
