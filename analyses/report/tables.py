"""A table as the page's data: its values, how they are printed, and what DataTables shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analyses import printing
from analyses.artifacts import MOST_PRINTED, Table
from analyses.report import data
from analyses.report.links import Kept
from analyses.report.words import Words

MOST_CHOICES = 60
"""Values of a column that is offered as a list to filter by."""
WORDS = 40
"""Letters from which on a cell is a sentence."""
_LABEL = "_label"


def script(item: Table, words: Words | None = None, kept: Kept | None = None) -> tuple[str, bytes]:
    """Return the path and the bytes of a table's script; `tables.js` reads it.

    Each column of the table is there with its values, for sorting, filtering and saving, and its cells in words.
    Bounds are printed with the value that they are of, and what is the same in all rows is said once, above the table.

    Args:
        item: the table.
        words: what its names stand for; themselves by default.
        kept: the maps that rows may be linked to; none by default.
    """
    words, kept = words or Words(), kept or Kept()
    frame = item.frame
    printed = printing.cells(frame)
    cells = {name: words.cells(frame, name) or texts for name, texts in printed.items()}
    alike = [name for name in cells if len(frame) > 1 and frame[name].nunique(dropna=False) == 1]
    varied = [name for name in cells if name not in alike and not _is_told(cells, name)]
    visible = [name for name in varied if name in (item.shown or varied)] or varied
    marks = printing.best_cells(frame, item.best, item.within) if len(frame) <= MOST_PRINTED else {}
    names = [str(name) for name in frame.columns]
    bounds = printing.intervals(names)
    columns = []
    for name in names:
        numeric, texts = printing.numeric(frame[name]), cells.get(name)
        text = name in visible and not numeric
        columns.append(
            {
                "name": name,
                "title": words.head(name) + printing.arrow(name, item.best),
                "meaning": words.meaning(name),
                "values": _values(frame[name], printed.get(name)),
                "cells": texts if numeric or texts != printed.get(name) else None,
                "best": marks[name].nonzero()[0].tolist() if name in marks else [],
                "bounds": [names.index(end) for end in bounds.get(name, ())],
                "numeric": numeric,
                "words": text and _longest(texts or ()) > WORDS,
                "printed": name in varied,
                "visible": name in visible,
                "choice": name in visible and _is_choice(frame[name], texts or ()),
            }
        )
    content = {
        "file": printing.slug(item.name),
        "alike": _alike(cells, alike, words),
        "links": kept.addresses(frame),
        "columns": columns,
    }
    return data.script(path(item.name), data.packed(content))


def path(name: str) -> str:
    """Return what the page asks for to have the table `name`."""
    return f"tables/{printing.slug(name)}"


def _values(column: pd.Series, cells: list[str] | None) -> list[Any]:
    """Return the values of a column of numbers, None where undefined; of others, what is printed."""
    return column.astype(object).where(column.notna(), None).tolist() if printing.numeric(column) else list(cells or [])


def _longest(cells: Sequence[str]) -> int:
    return max(map(len, cells), default=0)


def _is_choice(column: pd.Series, cells: Sequence[str]) -> bool:
    """Return whether to offer a column's values as a list to filter by: a few, each of several rows."""
    if printing.numeric(column) and column.name not in ("level", "seed"):
        return False
    return 1 < column.nunique() <= MOST_CHOICES and column.nunique() < len(column) and _longest(cells) <= WORDS


def _is_told(cells: dict[str, list[str]], name: str) -> bool:
    """Return whether a column says what its rows are called, as the one of their names does in words."""
    return name.endswith(_LABEL) and cells[name] == cells.get(name.removesuffix(_LABEL))


def _alike(cells: dict[str, list[str]], names: list[str], words: Words) -> str:
    """Return in words what the columns that are the same in all rows hold."""
    filled = [f"{words.head(name)} {cells[name][0]}" for name in names if cells[name][0]]
    empty = [words.head(name) for name in names if not cells[name][0]]
    sentences = [f"In all rows: {'; '.join(filled)}."] if filled else []
    return " ".join([*sentences, f"Empty in all rows: {', '.join(empty)}."] if empty else sentences)
