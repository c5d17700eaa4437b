"""A table as the page's data: its values, how they are printed, and what DataTables shows of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import MOST_PRINTED, Table
from analyses.report import data

MOST_CHOICES = 60
"""Values of a column that is offered as a list to filter by."""
WORDS = 40
"""Letters from which on a cell is a sentence."""


def script(item: Table) -> tuple[str, bytes]:
    """Return the path and the bytes of a table's script; `tables.js` reads it.

    Each column of the table is there with its values, for sorting and saving, and its printed cells. Bounds are
    printed with the value that they are of, and what is the same in all rows is said once, above the table.
    """
    frame = item.frame
    cells = printing.cells(frame)
    alike = [name for name in cells if len(frame) > 1 and frame[name].nunique(dropna=False) == 1]
    varied = [name for name in cells if name not in alike]
    visible = [name for name in varied if name in (item.shown or varied)] or varied
    marks = printing.best_cells(frame, item.best, item.within) if len(frame) <= MOST_PRINTED else {}
    columns = [
        {
            "name": name,
            "title": printing.head(name, item.best),
            "values": _values(frame[name], cells.get(name)),
            "cells": cells.get(name) if printing.numeric(frame[name]) else None,
            "best": marks[name].nonzero()[0].tolist() if name in marks else [],
            "numeric": printing.numeric(frame[name]),
            "words": name in visible and not printing.numeric(frame[name]) and _longest(frame[name]) > WORDS,
            "printed": name in varied,
            "visible": name in visible,
            "choice": name in visible and _is_choice(frame[name]),
        }
        for name in map(str, frame.columns)
    ]
    content = {"file": printing.slug(item.name), "alike": _alike(cells, alike), "columns": columns}
    return data.script(path(item.name), data.packed(content))


def path(name: str) -> str:
    """Return what the page asks for to have the table `name`."""
    return f"tables/{printing.slug(name)}"


def _values(column: pd.Series, cells: list[str] | None) -> list[Any]:
    """Return the values of a column of numbers, None where undefined; of others, what is printed."""
    return column.astype(object).where(column.notna(), None).tolist() if printing.numeric(column) else list(cells or [])


def _longest(column: pd.Series) -> int:
    return int(column.astype(str).str.len().max()) if len(column) else 0


def _is_choice(column: pd.Series) -> bool:
    """Return whether to offer a column's values as a list to filter by: a few, each of several rows."""
    if printing.numeric(column) and column.name not in ("level", "seed"):
        return False
    return 1 < column.nunique() <= MOST_CHOICES and column.nunique() < len(column) and _longest(column) <= WORDS


def _alike(cells: dict[str, list[str]], names: list[str]) -> str:
    """Return in words what the columns that are the same in all rows hold."""
    filled = [f"{name.replace('_', ' ')} {cells[name][0]}" for name in names if cells[name][0]]
    empty = [name.replace("_", " ") for name in names if not cells[name][0]]
    sentences = [f"In all rows: {'; '.join(filled)}."] if filled else []
    return " ".join([*sentences, f"Empty in all rows: {', '.join(empty)}."] if empty else sentences)
