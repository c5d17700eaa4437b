"""Scores as arrays: layers, seeds and images of a figure's maps, and what chance scores on each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.paired import over_seeds
from analyses.places import looked_up, numbered, sources
from analyses.records import ATTENTION, Layer, Metric
from analyses.results import Results, ResultsError
from analyses.stats import Floats

BLANK = "blank"
"""The metric that says whether there is a map at all: it is defined for maps that no other metric has a value of."""
ENOUGH = 0.5
DECODER = "decoder"


@dataclass(frozen=True)
class Grid:
    """The scores of a model's main maps at some levels, for one target.

    Attributes:
        model: its name.
        target: the target's name.
        levels: those with maps, rising.
        layers: at the main probe point, in the order of execution.
        metrics: those that the scores have.
        values: (metrics, levels, layers, seeds, images); NaN where undefined or where there is no map.
        present: (levels, layers, seeds, images), whether there is a map.
        area: (images,), the foreground's share of each image; NaN where it is not known.
        training_data: what the networks were trained on.
    """

    model: str
    target: str
    levels: tuple[int, ...]
    layers: tuple[Layer, ...]
    metrics: tuple[Metric, ...]
    values: Floats
    present: NDArray[np.bool_]
    area: Floats
    training_data: str

    def by_image(self, metric: int) -> Floats:
        """Return the mean over seeds of each image, (levels, layers, images); NaN where no seed has a value."""
        return over_seeds(self.values[metric])

    def chance(self, metric: int) -> Floats:
        """Return what chance scores on each image, (images,); NaN for a metric without such a value."""
        return chance(self.metrics[metric], self.area)


def read(results: Results, metrics: Sequence[Metric]) -> dict[str, Grid]:
    """Read the maps of the run's main method by model: all levels, one target a model; without models without maps.

    Raises:
        ResultsError: a map is there twice, or a file is damaged.
    """
    names = [metric.name for metric in metrics]
    layers = {model: results.main_layers(model) for model in results.models}
    wanted = list(dict.fromkeys(layer.name for found in layers.values() for layer in found))
    where = {"method": [results.main_method], "layer": wanted}
    columns = ["model", "target", "level", "layer", "seed", "image", "area", "training_data", *names]
    scores = results.scores(where, columns)  # once for all models: each reading opens every file
    grids = {}
    for model in results.models:
        own = scores[scores["model"] == model]
        own = own[own["layer"].isin([layer.name for layer in layers[model]])]
        if len(own):
            target = main_target(results, own[own["level"] == own["level"].max()], names)
            grids[model] = _grid(own[own["target"] == target], model, target, layers[model], metrics)
    return grids


def _grid(scores: pd.DataFrame, model: str, target: str, layers: Sequence[Layer], metrics: Sequence[Metric]) -> Grid:
    axes: dict[str, Sequence[Any]] = {
        "level": sorted(int(level) for level in scores["level"].unique()),
        "layer": [layer.name for layer in layers],
        "seed": sorted(scores["seed"].unique()),
        "image": numbered(scores["image"])[1],
    }
    values, present = fill(scores, axes, [*(metric.name for metric in metrics), "area"])
    return Grid(
        model=model,
        target=target,
        levels=tuple(int(str(level)) for level in axes["level"]),
        layers=tuple(layers),
        metrics=tuple(metrics),
        values=values[:-1],
        present=present,
        area=over_seeds(values[-1].reshape(-1, values.shape[-1])),
        training_data=sources(scores),
    )


def fill(
    frame: pd.DataFrame, axes: Mapping[str, Sequence[Any]], columns: Sequence[str]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return columns of a table as arrays over key columns, and where there are rows.

    Args:
        frame: a row a map.
        axes: for each key column its values in their order; rows of other values are left out.
        columns: the columns wanted.

    Returns:
        (columns, *axes), NaN where there is no row or value, and (*axes).

    Raises:
        ResultsError: two rows have the same keys.

    >>> fill(pd.DataFrame({"seed": [1, 0], "x": [5.0, 6.0]}), {"seed": [0, 1, 2]}, ["x"])[0].tolist()
    [[6.0, 5.0, nan]]
    """
    shape = tuple(len(values) for values in axes.values())
    places = [looked_up(frame[key], wanted) for key, wanted in axes.items()]
    inside: NDArray[np.bool_] = np.all([place >= 0 for place in places], axis=0)
    at = tuple(place[inside] for place in places)
    present = np.zeros(shape, dtype=bool)
    present[at] = True
    if present.sum() != inside.sum():
        raise ResultsError("scores: a map is there twice; two runs share the folder: delete scores/ and run again")
    values = np.full((len(columns), *shape), np.nan)
    for k, column in enumerate(columns):
        values[k][at] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)[inside]
    return values, present


def main_target(results: Results, scores: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Return the target whose maps stand for a model where one figure shows one target.

    It is the manifest's first one for which half of the maps or more have a value; where none is so, as for networks
    of which one pixel's gradient reaches few layers, the one of which most have, and of equals the first.

    Args:
        results: the run.
        scores: maps of one model and level, a row a map, one or more.
        metrics: columns of which one with a value is enough, but for `BLANK`, which blank maps have, too.
    """
    names = [name for name in metrics if name != BLANK]
    shares = scores[names].notna().any(axis=1).groupby(scores["target"], observed=True).mean()
    targets = [target for target in results.targets if target in shares.index]
    whole = [target for target in targets if shares[target] >= ENOUGH]
    return (whole or sorted(targets, key=lambda target: -float(shares[target])))[0]


def chance(metric: Metric, area: Floats) -> Floats:
    """Return what chance scores on images whose foreground has these shares; NaN for a metric without such a value."""
    if metric.chance == "area":
        return area
    return np.full(area.shape, metric.chance if isinstance(metric.chance, (int, float)) else np.nan)


def ends(layers: Sequence[Layer]) -> list[Layer]:
    """Return the first and the last layer before the decoder, and the last of the decoder, each once.

    Layers before and after attention count where there are no others: they sit on branches of their own.
    """
    trunk = [layer for layer in layers if layer.role not in ATTENTION] or list(layers)
    encoder = [layer for layer in trunk if layer.role != DECODER]
    decoder = [layer for layer in trunk if layer.role == DECODER]
    return list(dict.fromkeys([*encoder[:1], *encoder[-1:], *decoder[-1:]]))
