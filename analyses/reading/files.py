"""How a run's files are read: what is wrong with one is told by its name, and with what mends it."""

from __future__ import annotations

import hashlib
import stat
import sys
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analyses.reading import packed_maps
from analyses.reading.records import Film, Gallery

PIXELS = "pixels:"
"""How the names of the arrays of explained pixels begin, in a file of kept maps; the target follows."""
PREDICTED = "predicted"
"""The name of the array of predicted classes, `(images, h, w)`, in a file of kept maps; older files lack it."""
CHANCE = "_by_chance"
"""How the column ends that says what chance scores, where that depends on the row's grid; older files lack it."""
STEPS = "steps"
"""The name of the steps of a film's frames, `(frames,)`."""
TOP = "top:"
"""How the names of the maxima of a film's maps begin, `(frames, images)`; the map's name follows."""


NEGATIVE = "negative"
"""The name of the array of maps that were negative everywhere before ReLU, as `image|target|method|layer`."""


class ResultsError(Exception):
    """A file of the run is missing, damaged or of another schema; the message names it and the cure."""


SLACK = 1e-4
"""How far rounding in float32 may carry a number over its bounds."""
Version = tuple[int, int, int]
CURE = "run score makes it anew, and keeps the rest; what was published is fetched or published again"
"""What to do with a damaged table."""


def plain_file(path: Path, what: str = "", cure: str = CURE) -> Path:
    """Return a path, having seen that it is a file with an end.

    Args:
        path: the file.
        what: how errors call it; '' for a table.
        cure: what to do where it is something else.

    Raises:
        ResultsError: it is a folder, a pipe or a device.
        OSError: it is not there, or cannot be looked at.
    """
    if stat.S_ISDIR(mode := path.stat().st_mode):
        raise ResultsError(f"{what} {path}".lstrip() + f": it is a folder; move it away: {cure}")
    if not stat.S_ISREG(mode):
        raise ResultsError(f"{what} {path}".lstrip() + f": it is no plain file; {cure}")
    return path


def unreadable(path: Path, what: str, error: Exception, cure: str) -> ResultsError:
    """Return the error for a file that cannot be read: the cure for what the system says of it, else the given one."""
    place = f"{what} {path}".lstrip()
    if isinstance(error, FileNotFoundError):
        return ResultsError(f"{place}: not found; run the benchmark with this output folder first")
    if isinstance(error, PermissionError):
        return ResultsError(f"{place}: may not be read; give yourself the right to read it")
    reason = "nested too deeply" if isinstance(error, RecursionError) else (str(error).splitlines() or [""])[0][:200]
    return ResultsError(f"{place}: cannot be read ({reason}); {cure}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can go wrong while reading `path` into a `ResultsError` that names it."""
    try:
        yield
    except KeyError as error:
        raise ResultsError(
            f"{path}: {error.args[0]!r} is missing; the run is unfinished, of another version, or did not measure it: "
            "run it again, with every metric that is needed in score.metrics"
        ) from error
    except (
        *(OSError, EOFError, ValueError, TypeError, AttributeError, NotImplementedError, MemoryError, OverflowError),
        *(zipfile.BadZipFile, zlib.error, pa.ArrowException),
    ) as error:
        raise unreadable(path, "", error, CURE) from error


def sha256(path: Path) -> str:
    """Return the hash of a file's content, in hexadecimal digits; the last ones of unchanged files are kept.

    Raises:
        OSError: it cannot be read.
    """
    return _sha256(path, version_of(path))


def version_of(path: Path) -> Version:
    """Return what changes whenever a file does, as far as the system tells."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size, state.st_ino


@lru_cache(maxsize=1 << 14)
def _sha256(path: Path, version: Version) -> str:  # noqa: ARG001
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    tables = []
    for path in paths:
        with reading(path):
            tables.append(_table(path, needed, where or {}, columns))
    with reading(paths[0].parent):
        rows: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return rows


def _table(
    path: Path, needed: Sequence[str], where: Mapping[str, Collection[Any]], columns: Sequence[str] | None
) -> pa.Table:
    """Return the columns of the rows with the values of `where`; of files whose bounds exclude them nothing is read."""
    known = outline(path)
    for name in (*needed, *where):
        if name not in known.schema.names:
            raise KeyError(name)
    names = known.schema.names
    shown = names if columns is None else [name for name in dict.fromkeys(columns) if name in names]
    if not known.may_have(where):
        return known.schema.empty_table().select(shown)
    values = {name: pa.array(list(items), type=known.type_of(name)) for name, items in where.items()}
    table = pq.read_table(path, columns=list(dict.fromkeys([*shown, *where])), partitioning=None)
    if masks := [pc.is_in(table.column(name), items) for name, items in values.items()]:
        table = table.filter(reduce(pc.and_, masks))
    return table.select(shown).replace_schema_metadata(known.schema.metadata)


def check(path: Path, rows: int | None, bounds: Mapping[str, tuple[float, float]]) -> None:
    """See that a table has its rows, and that no number lies outside its bounds.

    Args:
        path: the file.
        rows: how many there must be; None where that is not known.
        bounds: the lowest and the highest value of columns.

    Raises:
        ResultsError: it has others; names the column and the value.
    """
    with reading(path):
        known = outline(path)
        if rows is not None and known.rows != rows:
            raise ResultsError(f"{path}: it has {known.rows} rows in place of {rows}; {CURE}")
        for name, (low, high) in bounds.items():
            for value in known.ends.get(name, ()):
                if value < low - SLACK or value > high + SLACK:
                    raise ResultsError(f"{path}: {name} is {value:g}, outside {low:g} to {high:g}; {CURE}")


@dataclass(frozen=True)
class Outline:
    """What a table's file says of itself, and is read without its rows.

    Attributes:
        schema: of its columns.
        rows: how many it has.
        ends: the lowest and the highest value of columns, NaN left out; none of columns without any value.
    """

    schema: pa.Schema
    rows: int
    ends: Mapping[str, tuple[Any, Any]]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(self.schema.names)

    def may_have(self, where: Mapping[str, Collection[Any]]) -> bool:
        """Return whether there may be rows that have one of the values in each of these columns."""
        return self.rows > 0 and all(
            name not in self.ends or any(self.ends[name][0] <= value <= self.ends[name][1] for value in values)
            for name, values in where.items()
        )

    def type_of(self, name: str) -> pa.DataType:
        """Return the type of a column's values, of coded ones that of what the codes stand for."""
        kind = self.schema.field(name).type
        return kind.value_type if pa.types.is_dictionary(kind) else kind


def outline(path: Path) -> Outline:
    """Return what a table's file says of itself; the last ones of unchanged files are kept.

    Raises:
        OSError, ArrowException: it cannot be read.
    """
    return _outline(path, version_of(plain_file(path)))


@lru_cache(maxsize=1 << 14)
def _outline(path: Path, version: Version) -> Outline:  # noqa: ARG001
    with pq.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        ends: dict[str, tuple[Any, Any]] = {}
        for k, name in enumerate(schema.names if metadata.num_columns == len(schema.names) else ()):
            groups = [metadata.row_group(group).column(k) for group in range(metadata.num_row_groups)]
            told = [group.statistics for group in groups if group.is_stats_set]
            if len(told) == len(groups) and all(one.has_min_max for one in told):
                ends[name] = (min(one.min for one in told), max(one.max for one in told))
            elif pa.types.is_floating(schema.field(name).type):  # of a group without any value nothing is told
                lowest = pc.min_max(pc.drop_null(_defined(file.read(columns=[name]).column(0)))).as_py()
                ends |= {name: (lowest["min"], lowest["max"])} if lowest["min"] is not None else {}
        return Outline(schema, metadata.num_rows, ends)


def _defined(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.filter(pc.invert(pc.is_nan(column)))


def distinct(path: Path, name: str) -> frozenset[Any]:
    """Return the values that a column of keys has in a file; none where it has no such column."""
    return _distinct(path, version_of(plain_file(path)), name)


@lru_cache(maxsize=1 << 15)
def _distinct(path: Path, version: Version, name: str) -> frozenset[Any]:
    known = _outline(path, version)
    if name not in known.schema.names:
        return frozenset()
    low, high = known.ends.get(name, (None, float("nan")))
    values = [low] if low == high else pc.unique(pq.read_table(path, columns=[name]).column(0)).to_pylist()
    return frozenset(sys.intern(value) if isinstance(value, str) else value for value in values)


def gallery(path: Path, *, photographs: bool, free: Collection[str] = ()) -> Gallery:
    """Read the kept maps of a checkpoint.

    Args:
        path: the file.
        photographs: whether all images are wanted, where the file has them.
        free: those that are wanted in any case.

    Raises:
        ResultsError: the file is missing or damaged.
    """
    with reading(path), plain_file(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        others = ("ids", "images", "masks", NEGATIVE, *packed_maps.ARRAYS)
        arrays = {name: file[name] for name in file.files if name not in others} | packed_maps.unpack(file)
        ids = tuple(str(image) for image in file["ids"])
        negative = frozenset(map(str, file[NEGATIVE] if NEGATIVE in file.files else ()))
        return Gallery(ids, _photographs(file, photographs, free), file["masks"], arrays, negative)


def film(path: Path, *, photographs: bool, free: Collection[str] = ()) -> Film:
    """Read the film of a training; see `gallery`."""
    with reading(path), plain_file(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        names = [name for name in file.files if "|" in name and not name.startswith(TOP)]
        maps = {}
        for name in names:
            greys = file[name].astype(np.float32) / np.iinfo(file[name].dtype).max
            maps[name.split("|", 2)[2]] = greys * file[TOP + name][:, :, None, None]
        target, method, _ = names[0].split("|", 2)
        return Film(
            steps=tuple(int(step) for step in file[STEPS]),
            ids=tuple(str(image) for image in file["ids"]),
            photographs=_photographs(file, photographs, free),
            masks=file["masks"],
            predicted=file[PREDICTED],
            target=target,
            method=method,
            maps=maps,
        )


def _photographs(file: Any, every: bool, free: Collection[str]) -> dict[str, NDArray[np.uint8]]:
    images = file["images"] if "images" in file.files else ()
    ids = (str(image) for image in file["ids"])
    return {image: pixels for image, pixels in zip(ids, images, strict=False) if every or image in free}


SCORES = "scores"
"""Folder of the scores, a row a map; every other table has a folder in it."""


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
LOG_TEXT = ("model", "training_data", "initial_answer")
"""Its columns of words."""
SECTIONS = "sections.json"
"""What a report tells of its tables and figures, by sections."""
FILMS = "films"
"""Folder of the films of trainings, a file a model."""


def with_answers(log: pd.DataFrame) -> pd.DataFrame:
    """Return a training log with the column `initial_answer`, '' where it is from before there was one."""
    return log if "initial_answer" in log else log.assign(initial_answer="")
