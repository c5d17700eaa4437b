"""Scores as arrays: layers, seeds and images of a figure's maps, and what chance scores on each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analyses.reading.choices import main_target
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results, ResultsError


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


def chance(metric: Metric, area: Floats) -> Floats:
    """Return what chance scores on images whose foreground has these shares; NaN for a metric without such a value."""
    if metric.chance == "area":
        return area
    return np.full(area.shape, metric.chance if isinstance(metric.chance, (int, float)) else np.nan)


def over_seeds(matrix: ArrayLike) -> Floats:
    """Return the mean over the seeds of what is defined, (..., seeds, images) to (..., images); NaN where nothing is.

    >>> over_seeds([[1.0, float("nan")], [2.0, 4.0]]).tolist()
    [1.5, 4.0]
    """
    values = np.asarray(matrix, dtype=np.float64)
    defined = ~np.isnan(values)
    count = defined.sum(axis=-2)
    mean = np.full(count.shape, np.nan)
    np.divide(np.where(defined, values, 0.0).sum(axis=-2), count, out=mean, where=count > 0)
    return mean


Floats = NDArray[np.float64]


def counted(
    part: pd.DataFrame, columns: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the counts as (factors, seeds, images, truth, predicted), which there are, and the factors."""
    factor, factors = pd.factorize(part["factor"], sort=True)
    seed, seeds = pd.factorize(part["seed"], sort=True)
    image, images = numbered(part["image"])
    there = np.zeros((len(factors), len(seeds), len(images)), dtype=bool)
    there[factor, seed, image] = True
    if there.sum() != len(part):
        raise ResultsError("resolution: an image is there twice; two runs share the folder: delete it and run again")
    classes = math.isqrt(len(columns))
    cube = np.zeros((*there.shape, classes, classes), dtype=np.int64)
    cube[factor, seed, image] = part[list(columns)].to_numpy(dtype=np.int64).reshape(-1, classes, classes)
    return cube, there, np.asarray(factors, dtype=np.float64)


@dataclass(frozen=True)
class Maps:
    """The scores of one model, level and target, of every method on the same axes.

    Attributes:
        layers: by depth; the input, where anything attributes to it, is the first. Beside those of the main probe
            point there is the last one of a network, where all that follows is linear.
        metrics: what was measured.
        values: by method, (metrics, layers, seeds, images); NaN where undefined or not there.
        blank: by method, (layers, seeds, images): 1 for a blank map, NaN for an undefined one; empty for runs that
            did not record it.
        present: by method, (layers, seeds, images): whether there is a map at all.
        training_data: what the networks were trained on.
    """

    layers: tuple[Layer, ...]
    metrics: tuple[Metric, ...]
    values: dict[str, Floats]
    blank: dict[str, Floats]
    present: dict[str, NDArray[np.bool_]]
    training_data: str


def cubes(
    scores: pd.DataFrame, layers: Sequence[Layer], columns: Sequence[str]
) -> Iterator[tuple[str, Floats, NDArray[np.bool_]]]:
    """Yield each method of one model, level and target with its numbers and where it has maps.

    Args:
        scores: rows of `seed`, `image`, `layer`, `method` and the columns.
        layers: all that the rows are of.
        columns: the numbers wanted.

    Yields:
        The method, its numbers, (columns, layers, seeds, images), NaN where there is no map, and where there is one,
        (layers, seeds, images): the same seeds and images for all methods, sorted.

    Raises:
        ResultsError: a layer is unknown, or a map is there twice.
    """
    layer = among(scores["layer"], [layer.name for layer in layers], "layers")
    seed, seeds = pd.factorize(scores["seed"], sort=True)
    image, images = numbered(scores["image"])
    numbers = scores[list(columns)].to_numpy(dtype=np.float64).T
    shape = (len(layers), len(seeds), len(images))
    for method, rows in scores.groupby("method", observed=True, sort=True).indices.items():
        at = (layer[rows], seed[rows], image[rows])
        present = np.zeros(shape, dtype=bool)
        present[at] = True
        if present.sum() != len(rows):
            raise ResultsError("scores: a map is there twice; two runs share the folder: delete scores/ and run again")
        cube = np.full((len(numbers), *shape), np.nan)
        cube[(slice(None), *at)] = numbers[:, rows]
        yield str(method), cube, present


Codes = NDArray[np.int64]


def numbered(column: pd.Series) -> tuple[Codes, list[str]]:
    """Return each row's place among the names of a column, and these names: as text, sorted, each once.

    >>> codes, names = numbered(pd.Series(["b", "a", "b"]))
    >>> codes.tolist(), names
    ([1, 0, 1], ['a', 'b'])
    """
    held = column.astype("category").cat.remove_unused_categories()
    names = sorted(map(str, held.cat.categories))
    return looked_up(held, names), names


def among(column: pd.Series, names: Sequence[str], what: str) -> Codes:
    """Return each row's place among `names`.

    Raises:
        ResultsError: a row has another name; the message calls them `what`.
    """
    held = column.astype("category").cat.remove_unused_categories()
    if unknown := sorted(set(map(str, held.cat.categories)) - set(names)):
        raise ResultsError(f"scores: {what} {', '.join(unknown)} are not in manifest.json; run the benchmark again")
    return looked_up(held, names)


def looked_up(column: pd.Series, names: Sequence[Any]) -> Codes:
    """Return each row's place among `names`, -1 for any other; of categories each is looked up once, not in each row.

    >>> looked_up(pd.Series(["b", "c", "b"]).astype("category"), ["a", "b"]).tolist()
    [1, -1, 1]
    """
    index = pd.Index(list(names))
    coded = isinstance(column.dtype, pd.CategoricalDtype)
    values = pd.Index(column.cat.categories.astype(str) if coded else column)
    found: Codes = index.get_indexer(values).astype(np.int64)
    return np.append(found, -1)[column.cat.codes] if coded else found


def sources(frame: pd.DataFrame) -> str:
    """Return what the networks behind the rows were trained on, in words; '' where it was not recorded."""
    names = frame["training_data"].unique() if "training_data" in frame else ()
    return " / ".join(sorted(map(str, names)))
