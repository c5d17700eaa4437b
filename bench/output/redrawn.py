"""What a report draws: a run's tables, figures, captions and page, as files in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

import analyses
from analyses.artifacts import Section, Table
from analyses.reading import captions
from analyses.reading.choices import numbered
from analyses.reading.files import SECTIONS
from analyses.reading.files import folder as folder_of
from analyses.reading.manifest import Published
from analyses.report import build as page_of
from analyses.report import told
from analyses.site.published import page as page_of_publication
from bench.output import drawing
from bench.output.report import DRAWING, drawn_from, scores_of
from bench.output.store import CAPTIONS, INDEX, MANIFEST, PAGE, Store
from bench.planning import profile as profiles
from bench.progress import say, working
from segcam.draw import glyphs
from segcam.errors import InputError

EVIDENCE = ("known_evidence", "meta_evaluation")
"""The analyses of runs of known evidence."""


def everything(store: Store, look: profiles.Figures, console: Console) -> list[Path]:
    """Draw all that is drawn of a run, and return the files, of the page its index alone.

    Raises:
        InputError: it was published without what this needs.
    """
    manifest = store.manifest()
    if manifest.kind:
        return known_evidence(store, look)
    if manifest.published and manifest.published.analyses:
        return _again(store, manifest.published, drawing.Files(look.kinds, look.dpi, drawing.PALETTE), console)
    results = analyses.Results(store.out)
    if left_out := results.left_out():
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        shown = f"{', '.join(left_out[:3])}{more}"
        say(console, f"left out, since the manifest does not list them: {shown}")
    if unwritten := glyphs.note(numbered(results)):
        say(console, unwritten)
    names = analyses.names()
    if not any(entry.reached for entry in manifest.checkpoints):
        say(console, "no level was reached, so there are no maps to draw")
        names = ["levels"]
    views: list[tuple[str | None, str]] = [
        (view.label, f"{view.folder}/" if view.folder else "") for view in manifest.views
    ]
    views = views or [(None, "")]
    contents: dict[str, bytes] = {}
    pages: dict[str, bytes] = {}
    with working(console, DRAWING, (len(names) + 1) * len(views)) as task:
        for label, place in views:

            def done(name: str, label: str | None = label) -> None:
                task.advance(1, f"{label}: {name}" if label else name)

            of_class = analyses.Results(store.out, label)
            look_of = drawing.Files(look.kinds, look.dpi)
            sections = drawing.draw_all(store.out, names, look_of, done, explained=label)
            made = {**files(sections), **_told(told.Told.of(sections), captions.note(of_class))}
            contents |= {f"{place}{name}": data for name, data in made.items()}
            pages |= {f"{place}{PAGE}/{name}": data for name, data in page_of(of_class, sections)}
            done("page")
        source = drawn_from(store, look)
        store.draw({**contents, **pages}, whole=True, of=scores_of(manifest), source=source)
    return [*map(store.path, contents), store.path(f"{PAGE}/{INDEX}")]


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
    sections = [drawing.draw(store.out, name, drawing.Files(look.kinds, look.dpi)) for name in EVIDENCE]
    made = {**files(sections), **_told(told.Told.of(sections))}
    return store.draw(made, whole=True, source=drawn_from(store, look))


def timings(store: Store, section: Section) -> list[Path]:
    """Write the tables and figures of timings; a run's own captions are left alone."""
    with store.drawing():
        others = {} if store.has(MANIFEST) else {CAPTIONS: told.Told.of([section]).captions()}
        return store.draw({**files([section]), **others}, whole=False)


def _again(store: Store, published: Published, look: drawing.Files, console: Console) -> list[Path]:
    """Draw some analyses over what is published of them, and say what stays as it was published.

    Where photographs may not be shown, parts of a study were joined, or no page lies there, it is made of what does;
    any other publication has that of its run, with all maps.
    """
    names = (*published.analyses, *published.from_tables)
    with working(console, "drawing", len(names)) as task:
        made = drawing.draw_all(store.out, names, look, lambda name: task.advance(1, name))
    sections = [_figures_of(one) if one.name in published.from_tables else one for one in made]
    contents = files(sections)
    whole = told.read(store.out)
    if whole:
        told_anew = whole.replaced(sections, published.from_tables)
        contents |= _told(told_anew, captions.note(analyses.Results(store.out)))
    written = store.draw(contents, whole=False)
    left = {
        folder: sorted({path.stem for path in map(store.path, store.names(folder)) if path not in written})
        for folder in ("tables", "figures")
    }
    for folder, stems in left.items():
        drawn = {path.stem for path in written if path.parent.name == folder}
        if stems := [stem for stem in stems if stem not in drawn]:
            say(console, f"{folder} left as published: {', '.join(stems)}")
    if whole and (published.joined or not published.photographs or not store.has(f"{PAGE}/{INDEX}")):
        pages = {f"{PAGE}/{name}": data for name, data in page_of_publication(store.out)}
        store.draw(pages, whole=False)
        say(console, "the page shows these as published; a run's archive draws all anew: run report --out FILE.zip")
        return [*written, store.path(f"{PAGE}/{INDEX}")]
    say(console, "the run's archive draws all of them, and the page: run report --out FILE.zip")
    return written


def _figures_of(section: Section) -> Section:
    """Return what was made without tables: those that it was drawn from stay as they are."""
    return replace(section, items=[item for item in section.items if not isinstance(item, Table)])


def _told(whole: told.Told, note: str = "") -> dict[str, bytes]:
    """Return what is told of a report, for people and for what makes a page of it."""
    return {CAPTIONS: whole.captions(note), SECTIONS: whole.written()}


def files(sections: Sequence[Section]) -> dict[str, bytes]:
    """Return the contents of the tables and figures of sections, by their names in a run's folder."""
    contents: dict[str, bytes] = {}
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Table):
            contents |= {f"tables/{item.name}.{suffix}": text.encode() for suffix, text in item.files().items()}
        else:
            contents |= {f"figures/{item.name}.{suffix}": data for suffix, data in item.files.items()}
    return contents
