"""How a run's files are read: what is wrong with one is told by its name."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analyses.records import Gallery

PIXELS = "pixels:"
"""How the names of the arrays of explained pixels begin, in a file of kept maps; the target follows."""
SMALL = "small:"
"""How the names of the arrays begin that hold maps as bytes, each distinct one once; its number follows."""
SMALL_NAMES, SMALL_NUMBERS = f"{SMALL}names", f"{SMALL}numbers"
"""The names of the maps that are held so, and the number of each."""


class ResultsError(Exception):
    """A file of the run is missing, damaged or of another schema; the message names it and the cure."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can go wrong while reading `path` into a `ResultsError` that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: not found; run the benchmark with this output folder first") from error
    except KeyError as error:
        raise ResultsError(
            f"{path}: {error.args[0]!r} is missing; the run is unfinished or of another version: run it again"
        ) from error
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); delete it and run the benchmark again") from error


def frame(
    paths: Sequence[Path],
    needed: Sequence[str],
    where: Mapping[str, Collection[Any]] | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read parquet files into one frame; a column that a file lacks is filled with missing values.

    Args:
        paths: the files.
        needed: the columns that every file has.
        where: for a column the values wanted; all rows by default.
        columns: the columns wanted; all by default.

    Raises:
        ResultsError: a file is damaged, or lacks a column that is needed.
    """
    wanted = {column: list(values) for column, values in (where or {}).items()}
    tables = []
    for path in paths:
        with reading(path), pq.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            for column in (*needed, *wanted):
                if column not in there:
                    raise KeyError(column)
            tables.append(_rows(file, wanted, columns))
    with reading(paths[0].parent):
        whole: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return whole


def _rows(file: pq.ParquetFile, wanted: Mapping[str, list[Any]], columns: Sequence[str] | None) -> pa.Table:
    """Read the rows with the values wanted. Row groups without any are skipped: pyarrow skips none by coded columns."""
    metadata = file.metadata
    places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    groups, mixed = [], set[str]()
    for group in range(metadata.num_row_groups):
        found = {name: metadata.row_group(group).column(places[name]).statistics for name in wanted}
        told = {name: it for name, it in found.items() if it is not None and it.has_min_max}
        if all(any(it.min <= value <= it.max for value in wanted[name]) for name, it in told.items()):
            groups.append(group)
            mixed |= {name for name in wanted if name not in told or not _all_alike(told[name])}
    names = None if columns is None else [name for name in dict.fromkeys([*columns, *mixed]) if name in places]
    table = file.read_row_groups(groups, columns=names)
    keep: Any = None
    for name in mixed:
        values = pa.array(wanted[name], type=_plain(table.schema.field(name).type))
        there = pc.is_in(table[name], values)
        keep = there if keep is None else pc.and_(keep, there)
    table = table if keep is None else table.filter(keep)
    return table if columns is None else table.select([name for name in columns if name in places])


def _all_alike(statistics: pq.Statistics) -> bool:
    return bool(statistics.min == statistics.max and not statistics.null_count)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def gallery(path: Path, *, photographs: bool) -> Gallery:
    """Read the kept maps of a checkpoint.

    Args:
        path: the file.
        photographs: whether the images are wanted, where the file has them.

    Raises:
        ResultsError: the file is missing or damaged.
    """
    with reading(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        apart = {"ids", "images", "masks"}
        arrays = {name: file[name] for name in file.files if name not in apart and not name.startswith(SMALL)}
        if SMALL_NAMES in file.files:
            small = {number: file[f"{SMALL}{number}"] for number in np.unique(file[SMALL_NUMBERS]).tolist()}
            named = zip(file[SMALL_NAMES].tolist(), file[SMALL_NUMBERS].tolist(), strict=True)
            arrays |= {str(name): small[number] for name, number in named}
        return Gallery(
            ids=tuple(str(image) for image in file["ids"]),
            images=file["images"] if photographs and "images" in file.files else None,
            masks=file["masks"],
            arrays=arrays,
        )
