"""How a run's files are read: what is wrong with one is told by its name."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analyses.reading.records import Gallery

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
            tables.append(_rows(file, path, wanted, columns))
    with reading(paths[0].parent):
        whole: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return whole


def _rows(file: pq.ParquetFile, path: Path, wanted: Mapping[str, list[Any]], columns: Sequence[str] | None) -> pa.Table:
    """Return the columns of the rows with the values wanted; nothing is read of files whose bounds leave them out."""
    schema = file.schema_arrow
    shown = [name for name in dict.fromkeys(schema.names if columns is None else columns) if name in schema.names]
    bounds = {name: _bounds(file, name) for name in wanted}
    if any(it is not None and not any(it[0] <= v <= it[1] for v in wanted[name]) for name, it in bounds.items()):
        return schema.empty_table().select(shown)
    mixed = [name for name, it in bounds.items() if it is None or it[0] != it[1]]
    held = _MEMORY.columns(file, path, [*shown, *mixed])
    table = pa.table([held[name] for name in shown], names=shown).replace_schema_metadata(schema.metadata)
    keep: Any = None
    for name in mixed:
        there = _among(held[name], wanted[name])
        keep = there if keep is None else pc.and_(keep, there)
    return table if keep is None else table.filter(keep)


def _bounds(file: pq.ParquetFile, name: str) -> tuple[Any, Any] | None:
    """Return a column's least and greatest value; None where the file does not tell, or has rows without a value."""
    metadata = file.metadata
    at = file.schema_arrow.names.index(name)
    found = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
    if not found or not all(it is not None and it.has_min_max and it.null_count == 0 for it in found):
        return None
    return min(it.min for it in found), max(it.max for it in found)


def _among(column: pa.ChunkedArray, values: list[Any]) -> pa.ChunkedArray:
    """Return which rows have one of the values: in coded columns each value is looked up once."""
    if not pa.types.is_dictionary(column.type):
        return pc.is_in(column, pa.array(values, type=column.type))
    wanted = pa.array(values, type=column.type.value_type)
    parts = [pc.take(pc.is_in(part.dictionary, wanted), part.indices) for part in column.chunks]
    return pa.chunked_array(parts, type=pa.bool_())


MOST_KEPT = 1 << 30
"""Bytes of columns that each process keeps in memory: many analyses read the same ones, and other rows of them."""


class _Memory:
    """Columns of files; where there are too many, those of the file that was used longest ago are forgotten."""

    def __init__(self) -> None:
        self.held: OrderedDict[tuple[str, int, int], dict[str, pa.ChunkedArray]] = OrderedDict()
        self.bytes = 0

    def columns(self, file: pq.ParquetFile, path: Path, names: Sequence[str]) -> Mapping[str, pa.ChunkedArray]:
        """Return columns of an open file, from memory where it has not changed since they were read."""
        state = path.stat()
        key = (str(path.absolute()), state.st_mtime_ns, state.st_size)
        found = self.held.pop(key, {})
        if missing := [name for name in dict.fromkeys(names) if name not in found]:
            read = file.read(columns=missing)
            found |= dict(zip(read.column_names, read.columns, strict=True))
            self.bytes += read.nbytes
        self.held[key] = found
        while self.bytes > MOST_KEPT and len(self.held) > 1:
            self.bytes -= sum(column.nbytes for column in self.held.popitem(last=False)[1].values())
        return found


_MEMORY = _Memory()


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


SCORES = "scores"
"""Folder of the scores, a row a map; every other table has a folder in it."""


OLDER = (
    *("predictions", "attention", "agreement", "gallery", "resolution", "evidence", "answers", "training.parquet"),
    *("faithfulness", "faithfulness_curves", "sanity", "sanity_training"),
)
"""What older versions wrote beside `scores/`."""


def folder(name: str) -> str:
    """Return the folder of a table or of the kept maps, relative to the run's.

    >>> folder("scores"), folder("predictions")
    ('scores', 'scores/predictions')
    """
    return SCORES if name == SCORES else f"{SCORES}/{name}"


GALLERY = folder("gallery")
"""Folder of the kept maps, a file a checkpoint."""


LOG = f"{folder('training')}/training.parquet"
"""The training log."""


STRAY = f"{SCORES}/{Path(LOG).name}"
"""The training log where it would be taken for scores."""


def older(run: Path) -> str:
    """Return what is wrong with a run that has the layout of an older version, and the cure; '' for any other."""
    if (run / STRAY).is_file():
        return f"{run / STRAY} lies among the scores: move it to {run / LOG}, a new folder, and try again"
    names = [name for name in OLDER if _written(run / name)]
    if not names:
        return ""
    log = f" ({Path(LOG).name} to {run / LOG}, a new folder)" if Path(LOG).name in names else ""
    return (
        f"{run} has the layout of an older version, with {', '.join(names)} beside {SCORES}/ and not in it: move them "
        f"into {run / SCORES}{log} and give the same command again"
    )


def _written(path: Path) -> bool:
    return path.is_file() or any(path.glob("*.parquet")) or any(path.glob("*.npz"))
