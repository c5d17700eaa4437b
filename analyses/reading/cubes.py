"""Columns of a table as arrays over its keys, read into their places portion by portion: no table is held whole."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyses.reading import scan
from analyses.reading.arrays import Codes, Numbers, twice
from analyses.reading.files import SCORES
from analyses.reading.manifest import Layer
from analyses.reading.results import Results, ResultsError
from analyses.reading.scan import Scan

MOST = 1 << 26
"""Bytes of arrays that are held at once, as far as one column of one item allows."""
Where = Mapping[str, Collection[Any]]


@dataclass(frozen=True)
class Cube:
    """Columns of numbers over keys.

    Attributes:
        axes: for each key column its values, in their order.
        values: by column, an axis a key; NaN where undefined or where there is no row.
        present: of the same shape, whether there is a row.
        training_data: what the networks behind the rows were trained on.
    """

    axes: dict[str, list[Any]]
    values: dict[str, Numbers]
    present: NDArray[np.bool_]
    training_data: str

    def each(self, axis: str) -> Iterator[tuple[Any, Cube]]:
        """Yield each value of the first axis that has rows, with its part of the cube, which lacks that axis."""
        others = {name: values for name, values in self.axes.items() if name != axis}
        for at, value in enumerate(self.axes[axis]):
            if self.present[at].any():
                values = {name: numbers[at] for name, numbers in self.values.items()}
                yield value, Cube(others, values, self.present[at], self.training_data)


def cube(
    results: Results,
    where: Where,
    axes: Mapping[str, Sequence[Any] | None],
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    table: str = SCORES,
) -> Cube:
    """Read columns of a table into arrays.

    Args:
        results: the run.
        where: for a column the values wanted.
        axes: for each key column its values in their order, rows of others being left out; None for those that there
            are, sorted.
        columns: numbers that every file has.
        optional: numbers wanted beside these where there are any.
        table: its name.

    Raises:
        ResultsError: two rows have the same keys, a file is damaged, or a column is missing.
    """
    given = {name: list(values) for name, values in axes.items() if values is not None}
    rows = Scan(results.required(table), where, table)
    if others := {name: values for name, values in given.items() if not set(rows.values(name)) <= set(values)}:
        rows = Scan(rows.paths, {**where, **others}, table)
    rows.needs([*axes, *columns])
    known = {name: given[name] if name in given else rows.values(name) for name in axes}
    names = [*columns, *(name for name in optional if rows.has(name))]
    shape = tuple(map(len, known.values()))
    values: dict[str, Numbers] = {
        name: np.full(shape, np.nan, np.float32 if rows.single(name) else np.float64) for name in names
    }
    present, count = np.zeros(shape, bool), 0
    for at, numbers in _places(rows, known, names):
        count += len(at)
        present.reshape(-1)[at] = True
        for name, portion in zip(names, numbers, strict=True):
            values[name].reshape(-1)[at] = portion
    if count != present.sum():
        raise twice(table)
    sources = rows.values("training_data")
    return _trimmed(known, given, values, present, " / ".join(map(str, sources)))


def _places(
    rows: Scan, axes: Mapping[str, Sequence[Any]], names: Sequence[str]
) -> Iterator[tuple[Codes, list[NDArray[Any]]]]:
    """Yield portions of rows: each one's place in an array of these axes, laid out flat, and its numbers."""
    if not all(axes.values()):
        return
    text = {name: isinstance(values[0], str) for name, values in axes.items()}
    keys = {name: scan.coded(name, axes[name]) if text[name] else scan.quoted(name) for name in axes}
    for portion in rows.portions({**keys, **{name: scan.quoted(name) for name in names}}):
        at: Codes = np.zeros(portion.num_rows, np.int64)
        for k, (name, values) in enumerate(axes.items()):
            column, order = portion.column(k), None if text[name] else np.argsort(values)
            at *= len(values)
            if order is None:
                at += column.indices.to_numpy()
            else:
                at += order[np.searchsorted(values, column.to_numpy(), sorter=order)]
        numbers = portion.columns[len(axes) :]
        yield at, [column.to_numpy(zero_copy_only=False) for column in numbers]


def _trimmed(
    known: dict[str, list[Any]],
    given: Mapping[str, Sequence[Any]],
    values: dict[str, Numbers],
    present: NDArray[np.bool_],
    training_data: str,
) -> Cube:
    """Return a cube without values of keys that were not asked for and have no rows, as those of other rows' files."""
    for k, name in enumerate(known):
        if name in given or not present.size:
            continue
        has: NDArray[np.bool_] = np.asarray(present.any(axis=tuple(axis for axis in range(present.ndim) if axis != k)))
        if not has.all():
            present = np.compress(has, present, axis=k)
            values = {column: np.compress(has, numbers, axis=k) for column, numbers in values.items()}
            known = {**known, name: [value for value, one in zip(known[name], has, strict=True) if one]}
    return Cube(known, values, present, training_data)


def by_method(
    results: Results,
    where: Where,
    methods: Sequence[str],
    layers: Sequence[str],
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    axes: Mapping[str, Sequence[Any]] | None = None,
) -> Iterator[tuple[str, Cube]]:
    """Yield each method that has maps, with its columns on the axes layer, seed and image: a few methods at a time.

    Args:
        results: the run.
        where: the model, the level and the target.
        methods: in the order in which they come.
        layers: of the first axis; rows of others are left out.
        columns: numbers that every file has.
        optional: numbers wanted beside these where there are any.
        axes: the seeds and images; by default those that the few methods have maps of.

    Raises:
        ResultsError: a map is there twice, a file is damaged, or a column is missing.
    """
    rows = Scan(results.required(SCORES), where)
    one = 4 * (len(columns) + len(optional)) * len(layers) * len(rows.values("seed")) * len(rows.values("image"))
    known = set(rows.values("method"))
    for some in in_parts([name for name in methods if name in known], one):
        of_some: dict[str, Sequence[Any] | None] = {"method": some, "layer": layers, "seed": None, "image": None}
        of_some |= axes or {}
        yield from cube(results, where, of_some, columns, optional=optional).each("method")


def by_column(
    results: Results,
    where: Where,
    axes: Mapping[str, Sequence[Any] | None],
    columns: Sequence[str],
    *,
    optional: bool = False,
) -> Iterator[tuple[str, Cube]]:
    """Yield each column alone as an array over keys: a few columns are read at a time.

    Args:
        results: the run.
        where: for a column the values wanted.
        axes: see `cube`.
        columns: of numbers, in the order in which they come.
        optional: whether those that no file has are passed over.

    Raises:
        ResultsError: a map is there twice, a file is damaged, or a column is missing.
    """
    rows = Scan(results.required(SCORES), where)
    one = 4 * math.prod(len(rows.values(name) if values is None else values) for name, values in axes.items())
    for some in in_parts(columns, one):
        read = {"columns": (), "optional": some} if optional else {"columns": some}
        few = cube(results, where, axes, **read)
        for name, numbers in few.values.items():
            yield name, Cube(few.axes, {name: numbers}, few.present, few.training_data)


def there(results: Results, where: Where, keys: Sequence[str], table: str = SCORES) -> dict[str, list[Any]]:
    """Return for each key column the values that rows have, sorted."""
    rows = Scan(results.required(table), where, table)
    return {key: [value for (value,) in rows.groups([key], {})] for key in keys}


def in_parts(items: Sequence[Any], bytes_of_one: int, most: int | None = None) -> Iterator[list[Any]]:
    """Yield items in groups, as many at once as arrays of them take the memory that there is for them.

    >>> list(in_parts("abcde", 3, most=7))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    at_once = max(1, (MOST if most is None else most) // max(1, bytes_of_one))
    for first, last in pairwise([*range(0, len(items), at_once), len(items)]):
        yield list(items[first:last])


def known_layers(results: Results, model: str, level: int, layers: Sequence[Layer]) -> None:
    """See that the maps of a model and level are of no other layers than these.

    Raises:
        ResultsError: they are.
    """
    found = Scan(results.required(SCORES), {"model": [model], "level": [level]}).values("layer")
    if strange := sorted(set(found) - {layer.name for layer in layers}):
        raise ResultsError(f"scores: layers {', '.join(strange)} are not in manifest.json; run the benchmark again")
