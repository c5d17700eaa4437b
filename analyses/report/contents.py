"""The order of the page's sections, and each one as the template shows it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from PIL import Image

from analyses import printing
from analyses.artifacts import MOST_PRINTED, Drawn, Section, Table
from analyses.report import assets

ORDER = (
    *("claims", "levels", "figure1", "figure2", "figure3", "heatmap", "curves", "family"),
    *(
        "methods",
        "method_ranks",
        "performance_profiles",
        "distributions",
        "metric_agreement",
        "target_agreement",
        "points",
    ),
    *("faithfulness", "sanity", "known_evidence", "diagnosis", "attention", "resolution", "skipped"),
)
"""From the verdicts to the maps, their curves, the methods, what maps are worth, what lies behind; others follow."""


@dataclass(frozen=True)
class Item:
    """A figure or a table of a section.

    Attributes:
        path: the figure's file, or what the page asks for to have the table.
        rows: of a table.
        behind: the key of the table that a figure is drawn from; '' where the section has none.
    """

    kind: str
    key: str
    name: str
    lead: str
    caption: str
    path: str
    width: int
    height: int
    rows: int
    behind: str


@dataclass(frozen=True)
class View:
    """A section as the page shows it; `key` is its place in the page's address."""

    key: str
    label: str
    title: str
    figures: list[Item]
    tables: list[Item]


def ordered(sections: Sequence[Section]) -> list[Section]:
    """Return the sections that hold anything, in the page's order."""
    rank = {name: i for i, name in enumerate(ORDER)}
    return sorted((part for part in sections if part.items), key=lambda part: rank.get(part.name, len(rank)))


def view(part: Section, drawn: Mapping[str, Picture]) -> View:
    """Return a section as the template shows it; `drawn` has its figures' pictures."""
    pictures, rows = [], []
    behind = [item.name for item in part.items if isinstance(item, Table)]
    for item in part.items:
        lead, rest = _split(item.caption)
        if isinstance(item, Drawn):
            picture = drawn[item.name]
            where = (picture_path(item.name), picture.width, picture.height, 0, _behind(item.name, behind))
            pictures.append(Item("figure", f"figure-{printing.slug(item.name)}", item.name, lead, rest, *where))
        else:
            where = (data_path(item.name), 0, 0, len(item.frame), "")
            rows.append(Item("table", f"table-{printing.slug(item.name)}", item.name, lead, rest, *where))
    return View(printing.slug(part.name), _label(part.name), part.title, pictures, rows)


def _behind(figure: str, tables_there: Sequence[str]) -> str:
    """Return the key of the table whose name a figure's begins with, the longest one; else of the section's first.

    >>> _behind("methods_summary-unet", ["methods", "methods_summary"]), _behind("figure1-unet", [])
    ('table-methods_summary', '')
    """
    if not tables_there:
        return ""
    own = [name for name in tables_there if figure.startswith(name)] or [tables_there[0]]
    return f"table-{printing.slug(max(own, key=len))}"


def _label(name: str) -> str:
    """Return a section's short name in the page's contents.

    >>> _label("method_ranks"), _label("figure1")
    ('Method ranks', 'Figure 1')
    """
    words = name.replace("_", " ").strip()
    if words.startswith("figure") and words[6:].isdigit():
        words = f"figure {words[6:]}"
    return words[:1].upper() + words[1:]


def _split(caption: str) -> tuple[str, str]:
    """Return a caption's first sentence, and the rest.

    >>> _split("Scores at 30 % (e.g. gain). Bars: 95 %."), _split("One")
    (('Scores at 30 % (e.g. gain).', 'Bars: 95 %.'), ('One', ''))
    """
    text = " ".join(caption.split())
    for at in range(len(text) - 2):
        if text[at : at + 2] == ". " and text[at + 2].isupper():
            return text[: at + 1], text[at + 2 :]
    return text, ""


WIDEST = 1440
"""Pixels: twice the width at which the page shows a figure, so that the smallest text is legible."""


QUALITY = 75


@dataclass(frozen=True)
class Picture:
    """A figure's picture: the bytes of a WebP file, and its size in pixels."""

    content: bytes
    width: int
    height: int


def small(item: Drawn) -> Picture:
    """Return a figure's PNG as WebP, at most `WIDEST` pixels wide and never enlarged."""
    with Image.open(io.BytesIO(item.files["png"])) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDEST:
        height = max(1, round(picture.height * WIDEST / picture.width))
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=QUALITY, method=2)
    return Picture(buffer.getvalue(), picture.width, picture.height)


def picture_path(name: str) -> str:
    """Return where in the page's folder the picture of the figure `name` is."""
    return f"figures/{printing.slug(name)}.webp"


def script(item: Table) -> tuple[str, bytes]:
    """Return the path and the bytes of a table's script: its CSV, its kinds of columns, bounds and best cells."""
    names = [str(name) for name in item.frame.columns]
    numeric = [_numeric(item.frame[name]) for name in item.frame.columns]
    content = {
        "file": f"{printing.slug(item.name)}.csv",
        "columns": [{"name": name, "numeric": kind} for name, kind in zip(names, numeric, strict=True)],
        "bounds": printing.intervals(names),
        "best": dict(item.best),
        "bold": _bold(item),
        "shown": list(item.shown),
        "csv": assets.packed(item.csv()),
    }
    return assets.script(data_path(item.name), content)


def data_path(name: str) -> str:
    """Return what the page asks for to have the table `name`."""
    return f"tables/{printing.slug(name)}"


def _bold(item: Table) -> list[tuple[int, str]]:
    """Return the row and column of each value that is the best of its group; of long tables none."""
    if not item.best or len(item.frame) > MOST_PRINTED:
        return []
    names, _, marks = printing.cells(item.frame, item.best, item.within)
    return [(row, name) for row, line in enumerate(marks) for name, mark in zip(names, line, strict=True) if mark]


def _numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))
