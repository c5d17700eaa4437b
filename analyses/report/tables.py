"""Tables as data for the page: the CSV itself, and what the page needs to show it well."""

from __future__ import annotations

import pandas as pd

from analyses import printed, style
from analyses.artifacts import MOST_PRINTED, Table
from analyses.report import scripts


def script(item: Table) -> tuple[str, bytes]:
    """Return the path and the bytes of a table's script: its CSV, its kinds of columns, bounds and best cells."""
    names = [str(name) for name in item.frame.columns]
    numeric = [_numeric(item.frame[name]) for name in item.frame.columns]
    content = {
        "file": f"{style.slug(item.name)}.csv",
        "columns": [{"name": name, "numeric": kind} for name, kind in zip(names, numeric, strict=True)],
        "bounds": printed.intervals(names),
        "best": dict(item.best),
        "bold": _bold(item),
        "shown": list(item.shown),
        "csv": scripts.packed(item.csv()),
    }
    return scripts.script(path(item.name), content)


def path(name: str) -> str:
    """Return what the page asks for to have the table `name`."""
    return f"tables/{style.slug(name)}"


def _bold(item: Table) -> list[tuple[int, str]]:
    """Return the row and column of each value that is the best of its group; of long tables none."""
    if not item.best or len(item.frame) > MOST_PRINTED:
        return []
    names, _, marks = printed.cells(item.frame, item.best, item.within)
    return [(row, name) for row, line in enumerate(marks) for name, mark in zip(names, line, strict=True) if mark]


def _numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))
