"""The order of the page's sections, and each one as the template shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analyses import printing
from analyses.artifacts import Caption, Drawn, Section, Table
from analyses.report import figures, tables
from analyses.report.glossary import TABLES
from analyses.report.words import Words

ORDER = (
    *("claims", "levels", "film", "figure1", "figure2", "figure3", "curves", "heatmap", "family"),
    *("methods", "methods_summary", "method_ranks", "performance_profiles", "distributions"),
    *("metric_agreement", "target_agreement"),
    *("points", "leakage", "distance", "faithfulness", "sanity", "known_evidence", "meta_evaluation", "reliability"),
    *("robustness", "groups", "map_quality", "when_wrong", "map_threshold", "diagnosis", "attention"),
    *("receptive_field", "resolution", "skipped"),
)
"""From the verdicts to the maps, their curves, the methods, what maps are worth, what lies behind; others follow."""


@dataclass(frozen=True)
class Item:
    """A figure or a table of a section.

    Attributes:
        key: its place in the page's address.
        name: in print.
        lead: the first part of its caption: of a figure what is seen, or how it is read.
        reading: of a figure, how it is read.
        caption: the rest, which the page folds away.
        path: the figure's file, or what the page asks for to have the table.
        size: of a figure, width and height in pixels; of a table, the number of rows.
        behind: the key of the table that a figure is drawn from; '' where the section has none.
        frames: of a figure that moves the file of its pictures; '' for one that does not.
        count: of these pictures, in `columns`.
        file: of a table, what it is called in the run's folder.
    """

    key: str
    name: str
    lead: str
    reading: str
    caption: str
    path: str
    size: tuple[int, ...]
    behind: str = ""
    frames: str = ""
    count: int = 0
    columns: int = 0
    file: str = ""


@dataclass(frozen=True)
class View:
    """A section as the page shows it.

    `key` is its place in the page's address; `elsewhere` are the figures that lie in the run's folder alone.
    """

    key: str
    label: str
    title: str
    figures: list[Item]
    tables: list[Item]
    elsewhere: list[str]


PICTURES = ("figure1", "known_evidence", "curves", "methods", "sanity", "figure2", "levels", "method_ranks")
"""Sections whose first figure the overview shows, of as many as it has room for; the first one large."""
SUPPLEMENTS = ("figure1_layers", "figure2_more")
"""What the names of figures begin with that the page leaves to its atlas, where that shows the same maps."""
SCENE = "figure-known_evidence_scene"
"""What the key of a figure begins with that the overview shows in place of its section's first."""
ROOM = 5


def ordered(sections: Sequence[Section]) -> list[Section]:
    """Return the sections that hold anything, in the page's order."""
    rank = {name: i for i, name in enumerate(ORDER)}
    return sorted((one for one in sections if one.items), key=lambda one: rank.get(one.name, len(rank)))


def view(section: Section, pictures: Mapping[str, figures.PagePicture], words: Words) -> View:
    """Return a section as the template shows it; `pictures` are those of its figures."""
    out = View(printing.slug(section.name), _label(section.name), section.title, [], [], [])
    names = [item.name for item in section.items if isinstance(item, Table)]
    for item in section.items:
        slug = printing.slug(item.name)
        if isinstance(item, Drawn) and item.name not in pictures:
            out.elsewhere.append(item.name)
        elif isinstance(item, Drawn):
            size = (pictures[item.name].width, pictures[item.name].height)
            lead, reading, rest = (words.caption(part) for part in _parts(item.caption))
            label, behind = item.label or item.name, _behind(item.name, names)
            shown = Item(f"figure-{slug}", label, lead, reading, rest, figures.path(item.name), size, behind)
            if frames := pictures[item.name].frames:
                path = figures.frames_path(item.name)
                shown = replace(shown, frames=path, count=frames.count, columns=frames.columns)
            out.figures.append(shown)
        else:
            lead, rest = (words.caption(part) for part in _split(item.caption))
            rows, path = (len(item.frame),), tables.path(item.name)
            name = TABLES.get(item.name, _label(item.name))
            out.tables.append(Item(f"table-{slug}", name, lead, "", rest, path, rows, file=f"{slug}.csv"))
    return out


def pictures(views: Sequence[View]) -> list[Item]:
    """Return the figures that the overview shows: maps first, then what was found of them."""
    by_key = {one.key: one for one in views}
    shown = [by_key[name] for name in PICTURES if name in by_key]
    others = [one for one in views if one not in shown]
    return [_picture(one.figures) for one in (*shown, *others) if one.figures][:ROOM]


def _picture(figures: Sequence[Item]) -> Item:
    return next((one for one in figures if one.key.startswith(SCENE)), figures[0])


def _behind(figure: str, tables: Sequence[str]) -> str:
    """Return the key of the table whose name a figure's begins with, the longest one; else of the section's first.

    >>> _behind("methods_summary-unet", ["methods", "methods_summary"]), _behind("figure1-unet", [])
    ('table-methods_summary', '')
    """
    if not tables:
        return ""
    return (
        f"table-{printing.slug(max((name for name in tables if figure.startswith(name)), key=len, default=tables[0]))}"
    )


def _label(name: str) -> str:
    """Return a section's short name in the page's contents.

    >>> _label("method_ranks"), _label("figure1")
    ('Method ranks', 'Figure 1')
    """
    words = name.replace("_", " ").strip()
    if words.startswith("figure") and words[6:].isdigit():
        words = f"figure {words[6:]}"
    return printing.capital(words)


def _parts(caption: Caption) -> tuple[str, str, str]:
    """Return what is seen, how it is read, and the rest; where one is lacking, the next stands first."""
    first, *others = [part for part in (caption.finding, caption.reading) if part] or _split(caption.details)
    if not caption.finding and not caption.reading:
        return first, "", "".join(others)
    return first, "".join(others), caption.details


def _split(caption: str) -> tuple[str, str]:
    """Return a caption's first sentence, and the rest.

    >>> _split("Scores at 30 % (e.g. gain). Bars: 95 %."), _split("One")
    (('Scores at 30 % (e.g. gain).', 'Bars: 95 %.'), ('One', ''))
    """
    lead, *rest = re.split(r"(?<=\.) (?=[^\W\d_a-z])", " ".join(caption.split()), maxsplit=1)
    return lead, "".join(rest)
