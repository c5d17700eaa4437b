"""Draws a run's figures and tables, and the page that shows them, from its files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import analyses
from analyses.artifacts import Section, Table
from analyses.reading import captions
from analyses.reading.files import folder as folder_of
from analyses.report import build as page_of
from bench.output import drawing
from bench.output.store import CAPTIONS, MANIFEST, PAGE, Store
from bench.planning import profile as profiles
from bench.progress import working
from segcam.errors import InputError

DRAWN = (".csv", ".md", ".tex", ".png", ".svg", ".pdf")
"""Suffixes of what a report writes into tables/ and figures/."""
COLOURS = 128
"""Of published PNG: a third of the bytes, and no difference that a reader sees."""


def report(store: Store, console: Console, settings: list[str] | None = None) -> list[Path]:
    """Draw every figure and table of a run, and the page that shows them.

    What is published without all scores redraws the analyses that its manifest names; all else is left as it is.

    Args:
        store: the run's folder.
        console: where progress is shown.
        settings: 'figures.key=value' each, in place of the run's own.

    Returns:
        The files written, of the page its index alone.

    Raises:
        InputError: there is no run in the folder, or it was published without what this needs.
    """
    if not store.has(MANIFEST):
        raise InputError(
            f"{store.out} holds no run ({MANIFEST} is missing): run all first, or name its folder with --out"
        )
    values = store.read_json(MANIFEST)
    look = figures(store, settings)
    published = values.get("published") or {}
    if published and look.photographs and not published["photographs"]:
        raise InputError(f"{store.out} was published without photographs: leave out --set figures.photographs")
    if settings:
        values["profile"]["figures"] = look.model_dump(mode="json")
        store.write_json(MANIFEST, values)
    if values.get("kind"):
        return known_evidence(store, look)
    if names := published.get("analyses"):
        return _again(store, names, drawing.Files(look.kinds, look.dpi, COLOURS), console)
    names = list(analyses.find())
    if not any(entry["reached"] for entry in values["checkpoints"]):
        console.print("no level was reached, so there are no maps to draw", markup=False)
        names = ["levels"]
    with working(console, "drawing", len(names) + 1) as task:
        sections = drawing.draw_all(
            store.out, names, drawing.Files(look.kinds, look.dpi), lambda name: task.advance(1, name)
        )
        results = analyses.Results(store.out)
        page = page_of(results, sections)
        written = write(store, sections, captions.note(results))
        index, *others = [store.write(f"{PAGE}/{name}", data) for name, data in page]
        task.advance(1, "page")
    forget(store, [*written, index, *others])
    return [*written, index]


def known_evidence(store: Store, look: profiles.Figures) -> list[Path]:
    """Draw the figures and tables of a run of known evidence, which has no page.

    Raises:
        InputError: it was published without its scores.
    """
    if not store.names(folder_of("evidence")):
        raise InputError(
            f"{store.out} was published without the scores that draw it; its archive holds them: "
            "run report --out FILE.zip"
        )
    written = write(store, [drawing.draw(store.out, "known_evidence", drawing.Files(look.kinds, look.dpi))])
    forget(store, written)
    return written


def _again(store: Store, names: Sequence[str], look: drawing.Files, console: Console) -> list[Path]:
    """Draw some analyses over what is published of them, and say what stays as it was published."""
    with working(console, "drawing", len(names)) as task:
        written = files(store, drawing.draw_all(store.out, names, look, lambda name: task.advance(1, name)))
    left = {
        folder: sorted({path.stem for path in map(store.path, store.names(folder)) if path not in written})
        for folder in ("tables", "figures")
    }
    for folder, stems in left.items():
        drawn = {path.stem for path in written if path.parent.name == folder}
        if stems := [stem for stem in stems if stem not in drawn]:
            console.print(f"{folder} left as published: {', '.join(stems)}", markup=False, highlight=False)
    console.print("the run's archive draws all of them, and the page: run report --out FILE.zip", markup=False)
    return written


def forget(store: Store, written: Sequence[Path]) -> None:
    """Remove what a report of other settings wrote, and this one did not: it would not fit the rest."""
    for name in store.below("tables", "figures", PAGE):
        if store.path(name) not in written and (name.startswith(f"{PAGE}/") or name.endswith(DRAWN)):
            store.remove(name)


def write(store: Store, sections: Sequence[Section], note: str = "") -> list[Path]:
    """Write the tables and figures of sections, and their captions below what is true of them all, the `note`."""
    written = files(store, sections)
    lines = [f"{note}\n"] if note else []
    lines += [f"**{item.name}.** {item.caption}\n" for section in sections for item in section.items]
    return [*written, store.write(CAPTIONS, "\n".join(lines).encode())]


def figures(store: Store, settings: list[str] | None = None) -> profiles.Figures:
    """Return the settings of a run's figures, changed as asked.

    Raises:
        InputError: a setting is of another section, unknown or bad.
    """
    current = profiles.Figures.model_validate(store.read_json(MANIFEST)["profile"]["figures"])
    return profiles.figures(settings, current) if settings else current


def files(store: Store, sections: Sequence[Section]) -> list[Path]:
    """Write the tables and figures of sections."""
    written: list[Path] = []
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Table):
            held = {f"tables/{item.name}.{suffix}": text.encode() for suffix, text in item.files().items()}
        else:
            held = {f"figures/{item.name}.{suffix}": data for suffix, data in item.files.items()}
        written += [store.write(name, data) for name, data in held.items()]
    return written
