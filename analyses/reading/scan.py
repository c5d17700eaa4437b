"""Tables asked where they lie: DuckDB reads the columns and rows that are wanted, and hands them on in portions."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from analyses.reading.files import SCORES, Outline, ResultsError, distinct, folder, outline, reading

MEMORY = "256MB"
"""What DuckDB may hold: it goes through a file's row groups one after the other."""
PORTION = 1 << 17
"""Rows that are handed on at once."""


class Scan:
    """The rows of a table's files that have given values.

    Args:
        paths: the files, seen to be what the run wrote.
        where: for a column the values wanted.
        table: its name, for errors.

    Raises:
        ResultsError: a file is damaged, or lacks a column of `where`.
    """

    def __init__(self, paths: Sequence[Path], where: Mapping[str, Collection[Any]], table: str = SCORES) -> None:
        self.where = {name: list(values) for name, values in where.items()}
        self.table = table
        self._outlines: dict[Path, Outline] = {}
        for path in paths:
            with reading(path):
                known = outline(path)
                if missing := [name for name in where if name not in known.columns]:
                    raise KeyError(missing[0])
                if all(self.where.values()) and known.may_have(where):
                    self._outlines[path] = known
        self.paths = list(self._outlines)

    def has(self, name: str) -> bool:
        """Return whether any of the files has a column."""
        return any(name in known.columns for known in self._outlines.values())

    def needs(self, names: Sequence[str]) -> None:
        """See that all files have these columns.

        Raises:
            ResultsError: one has not.
        """
        for path, known in self._outlines.items():
            with reading(path):
                if missing := [name for name in names if name not in known.columns]:
                    raise KeyError(missing[0])

    def single(self, name: str) -> bool:
        """Return whether a column's numbers are floats of 32 bits in all files that have it."""
        return all(known.type_of(name) == pa.float32() for known in self._outlines.values() if name in known.columns)

    def values(self, name: str) -> list[Any]:
        """Return the values of a column of keys in the files, sorted: of the rows wanted, and maybe of others."""
        found: set[Any] = set()
        for path in self.paths:
            with reading(path):
                found |= distinct(path, name)
        known = set(self.where.get(name, found))
        return sorted(found & known)

    def portions(self, columns: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in portions.

        Args:
            columns: for each name what it is, in SQL.

        Raises:
            ResultsError: a file is damaged.
        """
        if self.paths:
            with self._reading():
                yield from self._query(columns).to_arrow_reader(PORTION)

    def groups(self, keys: Sequence[str], totals: Mapping[str, str]) -> list[tuple[Any, ...]]:
        """Return the groups of rows with the same keys, sorted, each with what its rows come to.

        Args:
            keys: columns.
            totals: for each name an aggregate, in SQL.

        Raises:
            ResultsError: a file is damaged.
        """
        if not self.paths:
            return []
        with self._reading():
            columns = {**{key: quoted(key) for key in keys}, **totals}
            rows = self._query(columns, f" GROUP BY {', '.join(map(quoted, keys))}").fetchall()
        return sorted(rows, key=lambda row: row[: len(keys)])

    def _query(self, columns: Mapping[str, str], end: str = "") -> duckdb.DuckDBPyRelation:
        shown = ", ".join(f"{what} AS {quoted(name)}" for name, what in columns.items())
        wanted = " AND ".join(f"{quoted(name)} IN ?" for name in self.where)
        alike = len({known.columns for known in self._outlines.values()}) == 1
        files = "read_parquet(?)" if alike else "read_parquet(?, union_by_name = true)"
        query = f"SELECT {shown} FROM {files}{f' WHERE {wanted}' if wanted else ''}{end}"
        return _connection().sql(query, params=[[str(path) for path in self.paths], *self.where.values()])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            for path in self.paths:  # which one it is, DuckDB does not always say
                with reading(path):
                    pq.read_table(path)
            raise ResultsError(
                f"{self.paths[0].parent}: cannot be read ({error}); delete {folder(self.table)}/ and "
                "run the benchmark again"
            ) from error


def coded(name: str, values: Sequence[str]) -> str:
    """Return, in SQL, a column of text as codes: each value's place among `values`, which are all that it may have."""
    return f"{quoted(name)}::{_enumeration(tuple(values))}"


def defined(names: Sequence[str]) -> str:
    """Return, in SQL, whether any of these columns of numbers has a value."""
    return " OR ".join(f"NOT coalesce(isnan({quoted(name)}), true)" for name in names) or "false"


def quoted(name: str) -> str:
    """Return a column's name in SQL.

    >>> print(quoted("energy gain"))
    "energy gain"
    """
    return '"{}"'.format(name.replace('"', '""'))


@functools.cache
def _connection() -> duckdb.DuckDBPyConnection:
    """Return this process's connection; of one thread, since analyses run side by side."""
    settings: dict[str, Any] = {
        "threads": 1,
        "memory_limit": MEMORY,
        "temp_directory": "",
        "autoload_known_extensions": False,
    }
    return duckdb.connect(config=settings)


@functools.lru_cache(maxsize=1 << 10)
def _enumeration(values: tuple[str, ...]) -> str:
    """Make a type of these values, and return its name."""
    name = f"names_{_enumeration.cache_info().misses}"
    texts = ", ".join("'{}'".format(value.replace("'", "''")) for value in values)
    _connection().execute(f"CREATE TYPE {name} AS ENUM ({texts})")
    return name
