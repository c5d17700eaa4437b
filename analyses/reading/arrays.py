"""Scores as arrays: layers, seeds and images of a figure's maps, and what chance scores on each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analyses.reading.files import SCORES, folder
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import ResultsError

Floats = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
"""Of scores, floats of 32 bits as files have them: half the memory, and the same numbers."""
Codes = NDArray[np.int64]


def fill(
    frame: pd.DataFrame, axes: Mapping[str, Sequence[Any]], columns: Sequence[str], table: str = SCORES
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return columns of a table as arrays over key columns, and where there are rows.

    Args:
        frame: a row a map.
        axes: for each key column its values in their order; rows of other values are left out.
        columns: the columns of numbers.
        table: where the rows are from, for the error's message.

    Returns:
        (columns, *axes), NaN where there is no row or value, and (*axes).

    Raises:
        ResultsError: two rows have the same keys.

    >>> fill(pd.DataFrame({"seed": [1, 0], "x": [5.0, 6.0]}), {"seed": [0, 1, 2]}, ["x"])[0].tolist()
    [[6.0, 5.0, nan]]
    """
    shape = tuple(len(values) for values in axes.values())
    places = [looked_up(frame[key], values) for key, values in axes.items()]
    inside: NDArray[np.bool_] = np.all([place >= 0 for place in places], axis=0)
    at = tuple(place[inside] for place in places)
    present = np.zeros(shape, dtype=bool)
    present[at] = True
    if present.sum() != inside.sum():
        raise twice(table)
    values = np.full((len(columns), *shape), np.nan)
    for k, column in enumerate(columns):
        values[k][at] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)[inside]
    return values, present


def each_once(frame: pd.DataFrame, keys: Sequence[str], table: str) -> None:
    """Raise a `ResultsError` where two rows of a table have the same keys."""
    if frame.duplicated(list(keys)).any():
        raise twice(table)


def twice(table: str) -> ResultsError:
    """Return the error for a table that has a row twice."""
    return ResultsError(
        f"{table}: a row is there twice; two runs share the folder: delete {folder(table)}/ and cells/ and run again"
    )


def chance(metric: Metric, area: Floats) -> Floats:
    """Return what chance scores on images whose foreground has these shares; NaN for a metric without such a value."""
    if metric.chance == "area":
        return area
    return np.full(area.shape, metric.chance if isinstance(metric.chance, (int, float)) else np.nan)


def nan_mean(values: ArrayLike, axis: int = -1) -> Floats:
    """Return the mean over an axis of what is defined; NaN where nothing is.

    >>> nan_mean([[1.0, float("nan")], [2.0, 4.0]]).tolist()
    [1.0, 3.0]
    """
    numbers = np.asarray(values, dtype=np.float64)
    defined = ~np.isnan(numbers)
    count = defined.sum(axis=axis)
    mean = np.full(count.shape, np.nan)
    np.divide(np.where(defined, numbers, 0.0).sum(axis=axis), count, out=mean, where=count > 0)
    return mean


def counted(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Return confusion counts of tests at other sizes.

    Args:
        frame: a row an image, seed and factor.
        columns: the counts, truth by truth.

    Returns:
        (factors, seeds, images, truth, predicted), zero where an image was not tested; (factors, seeds, images),
        whether it was; and the factors.
    """
    axes = {name: distinct(frame[name]) for name in ("factor", "seed", "image")}
    values, present = fill(frame, axes, columns, "resolution")
    classes = math.isqrt(len(columns))
    counts = np.moveaxis(np.nan_to_num(values), 0, -1).reshape(*present.shape, classes, classes)
    return counts, present, np.asarray(axes["factor"], dtype=np.float64)


def overlaps(frame: pd.DataFrame, foreground: Sequence[int], classes: int) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return a row's pixels that are truly of a class and predicted so, those predicted so, and those truly so.

    Args:
        frame: columns of confusion counts, `n_<truth>_<predicted>`.
        foreground: the class, or those that count as one.
        classes: how many classes there are.
    """
    every = range(classes)
    predicted = frame[[f"n_{truth}_{one}" for truth in every for one in foreground]].sum(axis=1)
    true = frame[[f"n_{one}_{other}" for other in every for one in foreground]].sum(axis=1)
    both = frame[[f"n_{one}_{other}" for other in foreground for one in foreground]].sum(axis=1)
    return both, predicted, true


@dataclass(frozen=True)
class MapScores:
    """The scores of one model, level and target, of methods on the same axes.

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
    values: dict[str, Numbers]
    blank: dict[str, Numbers]
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
    known_layers(scores, layers)
    axes: dict[str, Sequence[Any]] = {
        "method": distinct(scores["method"]),
        "layer": [layer.name for layer in layers],
        "seed": distinct(scores["seed"]),
        "image": distinct(scores["image"]),
    }
    values, present = fill(scores, axes, columns)
    for k, method in enumerate(axes["method"]):
        yield method, values[:, k], present[k]


def known_layers(scores: pd.DataFrame, layers: Sequence[Layer]) -> None:
    """Raise a `ResultsError` where rows are of other layers than these."""
    if strange := sorted(set(distinct(scores["layer"])) - {layer.name for layer in layers}):
        raise ResultsError(f"scores: layers {', '.join(strange)} are not in manifest.json; run the benchmark again")


def distinct(column: pd.Series) -> list[Any]:
    """Return the values of a column, sorted, each once: numbers, or names as text.

    >>> distinct(pd.Series([2, 1, 2])), distinct(pd.Series(["b", "a", "b"]).astype("category"))
    ([1, 2], ['a', 'b'])
    """
    if pd.api.types.is_numeric_dtype(column):
        return sorted(column.unique().tolist())
    return sorted(map(str, column.astype("category").cat.remove_unused_categories().cat.categories))


def looked_up(column: pd.Series, names: Sequence[Any]) -> Codes:
    """Return each row's place among `names`, -1 for any other; of categories each is looked up once, not in each row.

    >>> looked_up(pd.Series(["b", "c", "b"]).astype("category"), ["a", "b"]).tolist()
    [1, -1, 1]
    """
    if not pd.api.types.is_numeric_dtype(column):
        column = column.astype("category")
    coded = isinstance(column.dtype, pd.CategoricalDtype)
    values = pd.Index(column.cat.categories.astype(str) if coded else column)
    places: Codes = pd.Index(list(names)).get_indexer(values).astype(np.int64)
    return np.append(places, -1)[column.cat.codes] if coded else places


def sources(frame: pd.DataFrame) -> str:
    """Return what the networks behind the rows were trained on, in words; '' where it was not recorded."""
    names = frame["training_data"].unique() if "training_data" in frame else ()
    return " / ".join(sorted(map(str, names)))
