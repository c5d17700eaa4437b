"""The figures and tables that lie in a folder, with their captions: what a page is made of where nothing is redrawn."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

import analyses
from analyses import report
from analyses.artifacts import MOVING, Caption, Drawn, Section, Table
from analyses.reading.drawn_tables import table
from analyses.reading.files import SECTIONS, ResultsError
from analyses.reading.results import Results
from analyses.report import told

CAPTIONS = "captions.md"
_HEAD = re.compile(
    r"^\*\*(?:(?P<label>[^*]+) \((?P<named>[\w.-]+)\)|(?P<name>[\w.-]+))\.\*\* ?(?P<text>.*)$", re.DOTALL
)
_SENTENCE = re.compile(r"(?<=\.) (?=[^\W\d_a-z])")


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a folder by their names; empty cells of words are ''.

    Raises:
        ResultsError: one is damaged.
    """
    return {path.stem: table(path) for path in sorted((folder / "tables").glob("*.csv"))}


def sections(folder: Path, frames: Mapping[str, pd.DataFrame]) -> list[Section]:
    """Return what lies in a folder as sections, one an analysis: as its report told of them, where it did.

    Args:
        folder: with figures as PNG or WebP, and captions.
        frames: its tables.

    Raises:
        ResultsError: the captions or a figure cannot be read.
    """
    drawn = pictures(folder)
    whole = told.read(folder)
    made = whole.made(frames, drawn) if whole else []
    before = {(type(item), item.name) for section in made for item in section.items}
    captions = _captions(folder / CAPTIONS)
    items: dict[str, list[Drawn | Table]] = {}
    known = sorted(analyses.find(), key=len, reverse=True)
    for name, files in drawn.items():
        if (Drawn, name) not in before:
            label, caption = _taken(captions, name, figure=True)
            items.setdefault(_analysis(name, known), []).append(Drawn(name, caption, files, label))
    for name, frame in frames.items():
        if (Table, name) not in before:
            _, caption = _taken(captions, name, figure=False)
            items.setdefault(_analysis(name, known), []).append(Table(name, frame, str(caption)))
    titles = {name: analyses.question(name) if name in known else name for name in items}
    return [*made, *(Section(name, titles[name], of_name) for name, of_name in items.items())]


def page(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the page of a publication: of what its report told of, as it lies there, and of its scores.

    The scores of single images are those of one training a model.

    Raises:
        ResultsError: the folder tells of nothing, or what it holds is damaged.
    """
    if (whole := told.read(folder)) is None:
        raise ResultsError(f"{folder} holds no {SECTIONS}: publish it again")
    yield from report.build(Results(folder), whole.made(tables(folder), pictures(folder)), every_seed=False)


def pictures(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of the figures in a folder, by name: a still picture as 'png', and what moves.

    A published figure that shows photographs is one file, of WebP, whether it moves or not.
    """
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted((folder / "figures").glob("*")):
        if path.suffix not in (".png", f".{MOVING}"):
            continue
        content, files = path.read_bytes(), found.setdefault(path.stem, {})
        try:
            with Image.open(io.BytesIO(content)) as picture:
                if getattr(picture, "is_animated", False):
                    files[MOVING] = content
                    files.setdefault("png", _last(picture))
                else:
                    files["png"] = content
        except OSError as error:
            raise ResultsError(f"{path} cannot be read ({error}): draw or fetch it again") from error
    return found


def _last(moving: Image.Image) -> bytes:
    """Return the last frame of what moves, as PNG: the one that is printed."""
    moving.seek(getattr(moving, "n_frames", 1) - 1)
    buffer = io.BytesIO()
    moving.convert("RGB").save(buffer, "png")
    return buffer.getvalue()


def _analysis(name: str, known: list[str]) -> str:
    """Return the analysis that a figure or table is of: the longest name that its own begins with."""
    return next((one for one in known if re.match(rf"{re.escape(one)}(?![a-z0-9])", name)), name)


def _captions(path: Path) -> list[tuple[str, str, str]]:
    """Return name, label and text of each caption, in their order."""
    try:
        paragraphs = path.read_text(encoding="utf-8").split("\n\n") if path.exists() else []
    except (UnicodeDecodeError, OSError) as error:
        raise ResultsError(f"{path} cannot be read ({error}): draw or fetch it again") from error
    return list(_parts(paragraphs))


def _parts(paragraphs: list[str]) -> Iterator[tuple[str, str, str]]:
    current: tuple[str, str, str] | None = None
    for paragraph in paragraphs:
        if head := _HEAD.match(paragraph.strip()):
            if current:
                yield current
            current = head["named"] or head["name"], head["label"] or "", head["text"]
        elif current and paragraph.strip():
            current = current[0], current[1], f"{current[2]}\n\n{paragraph.strip()}"
    if current:
        yield current


def _taken(told: list[tuple[str, str, str]], name: str, *, figure: bool) -> tuple[str, Caption]:
    """Return the label and the caption of a figure or a table.

    A figure and a table may share a name: then the table is told first, and the figure has the label.
    """
    found = [(label, text) for known, label, text in told if known == name]
    if not found:
        return "", Caption("", "", "Without a caption.")
    label, text = found[-1 if figure else 0]
    head, _, details = text.partition("\n\n")
    if not figure or not label:
        return label, Caption("", "", text)
    finding, *reading = _SENTENCE.split(head, maxsplit=1)
    return label, Caption(finding, "".join(reading), details)
