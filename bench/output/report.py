"""Draws a run's figures and tables, and the page that shows them, from its files alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

import analyses
from analyses.artifacts import Section, Table
from analyses.reading import captions
from analyses.reading.choices import numbered
from analyses.reading.files import folder as folder_of
from analyses.reading.manifest import Manifest
from analyses.reading.sealed import first_problem
from analyses.report import build as page_of
from bench.output import drawing
from bench.output.store import CAPTIONS, INDEX, MANIFEST, PAGE, TIMING, Store, digest
from bench.output.terminal import teller
from bench.planning import profile as profiles
from bench.progress import Piece, say, working
from segcam.draw import glyphs
from segcam.errors import InputError

DRAWING = "drawing"
EVIDENCE = ("known_evidence", "meta_evaluation")
"""The analyses of runs of known evidence."""
COST = 5.0
"""Of an analysis, in steps of a training; for the time that is left alone."""
DRAWN_WITH = ("matplotlib", "numpy", "pandas", "scipy", "seaborn", "pillow")
COLOURS = 128
"""Of published PNG: a third of the bytes, and no difference that a reader sees."""


def report(
    store: Store, console: Console, settings: list[str] | None = None, *, wait: bool = True, anew: bool = True
) -> list[Path]:
    """Draw every figure and table of a run, and the page that shows them.

    What is published without all scores redraws the analyses that its manifest names; all else is left as it is.

    Args:
        store: the run's folder.
        console: where progress is shown.
        settings: 'figures.key=value' each, in place of the run's own.
        wait: whether to wait for another process that writes results, where there are settings; who draws is waited
            for.
        anew: whether to draw again what was drawn of the same results, by the same code, and lies there as it was.

    Returns:
        The files that were drawn, of the page its index alone.

    Raises:
        InputError: there is no run in the folder, or it was published without what this needs.
    """
    if not store.path(MANIFEST).exists():
        raise InputError(
            f"{store.out} holds no run ({MANIFEST} is missing): run all first, or name its folder with --out"
        )
    manifest = store.manifest()
    look = figures(store, settings)
    published = manifest.published
    if published and look.photographs and not published.photographs:
        raise InputError(f"{store.out} was published without photographs: leave out --set figures.photographs")
    if settings:
        profile = {**manifest.profile, "figures": look.model_dump(mode="json")}
        with store.writing(wait=wait, tell=teller(console)):
            store.write(MANIFEST, manifest.model_copy(update={"profile": profile}).written())
    with store.drawing(tell=teller(console)):
        if not anew and (earlier := before(store, drawn_from(store, look))):
            say(console, "nothing has changed since all was drawn: run report draws it again")
            return earlier
        return _drawn(store, look, console)


def piece(views: Sequence[object]) -> Piece:
    """Return what drawing a run of some classes is among its pieces of work."""
    return Piece(DRAWING, COST * (len(analyses.names()) + 1) * len(views))


def drawn_from(store: Store, look: profiles.Figures) -> str:
    """Return a hash of all that a run's report is drawn from: results, settings, code, and the packages that draw."""
    hashed = hashlib.sha256(look.model_dump_json().encode())
    for name in (MANIFEST, TIMING):  # the manifest holds the hashes of all tables
        hashed.update(store.path(name).read_bytes() if store.has(name) else b"-")
    hashed.update("; ".join(f"{name} {version(name)}" for name in DRAWN_WITH).encode())
    for package in (Path(analyses.__file__).parent, Path(glyphs.__file__).parent, Path(__file__).parent):
        for file in sorted(package.rglob("*")):
            if file.is_file() and file.suffix not in (".pyc", ".tmp"):
                hashed.update(str(file.relative_to(package)).encode() + file.read_bytes())
    return hashed.hexdigest()


def before(store: Store, source: str) -> list[Path]:
    """Return what an earlier report drew, if it is all there as it was and of the same source."""
    drawn = store.drawn() if store.drawn_from() == source else {}
    if not all(store.holds(name, value) for name, value in drawn.items()):
        return []
    page = f"{PAGE}/"
    return [store.path(name) for name in drawn if name == f"{page}{INDEX}" or f"/{page}" not in f"/{name}"]


def scores_of(manifest: Manifest) -> str:
    """Return a hash of a run's scores, which tells whether tables are drawn from them."""
    return digest(repr(sorted((name, file.sha256) for name, file in (manifest.files or {}).items())).encode())


def _drawn(store: Store, look: profiles.Figures, console: Console) -> list[Path]:
    manifest = store.manifest()
    if manifest.kind:
        return _known_evidence(store, look)
    if manifest.published and manifest.published.analyses:
        return _again(store, manifest.published.analyses, drawing.Files(look.kinds, look.dpi, COLOURS), console)
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
            made = {**files(sections), CAPTIONS: _captions(sections, captions.note(of_class))}
            contents |= {f"{place}{name}": data for name, data in made.items()}
            pages |= {f"{place}{PAGE}/{name}": data for name, data in page_of(of_class, sections)}
            done("page")
        source = drawn_from(store, look)
        store.draw({**contents, **pages}, whole=True, of=scores_of(manifest), source=source)
    return [*map(store.path, contents), store.path(f"{PAGE}/{INDEX}")]


def known_evidence(store: Store, look: profiles.Figures) -> list[Path]:
    """Draw the figures and tables of a run of known evidence, which has no page, unless they are drawn of the same.

    Raises:
        InputError: it was published without its scores.
    """
    with store.drawing():
        return before(store, drawn_from(store, look)) or _known_evidence(store, look)


def _known_evidence(store: Store, look: profiles.Figures) -> list[Path]:
    if not store.names(folder_of("evidence")):
        raise InputError(
            f"{store.out} was published without the scores that draw it; its archive holds them: "
            "run report --out FILE.zip"
        )
    sections = [drawing.draw(store.out, name, drawing.Files(look.kinds, look.dpi)) for name in EVIDENCE]
    made = {**files(sections), CAPTIONS: _captions(sections)}
    return store.draw(made, whole=True, source=drawn_from(store, look))


def timings(store: Store, section: Section) -> list[Path]:
    """Write the tables and figures of timings; a run's own captions are left alone."""
    with store.drawing():
        others = {} if store.has(MANIFEST) else {CAPTIONS: _captions([section])}
        return store.draw({**files([section]), **others}, whole=False)


def _again(store: Store, names: Sequence[str], look: drawing.Files, console: Console) -> list[Path]:
    """Draw some analyses over what is published of them, and say what stays as it was published."""
    with working(console, "drawing", len(names)) as task:
        sections = drawing.draw_all(store.out, names, look, lambda name: task.advance(1, name))
        written = store.draw(files(sections), whole=False)
    left = {
        folder: sorted({path.stem for path in map(store.path, store.names(folder)) if path not in written})
        for folder in ("tables", "figures")
    }
    for folder, stems in left.items():
        drawn = {path.stem for path in written if path.parent.name == folder}
        if stems := [stem for stem in stems if stem not in drawn]:
            say(console, f"{folder} left as published: {', '.join(stems)}")
    say(console, "the run's archive draws all of them, and the page: run report --out FILE.zip")
    return written


def _captions(sections: Sequence[Section], note: str = "") -> bytes:
    """Return the captions of sections below what is true of them all, the `note`."""
    lines = [f"{note}\n"] if note else []
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Table):
            lines.append(f"**{item.name}.** {item.caption}\n")
            continue
        caption, name = item.caption, f"**{item.label} ({item.name}).**" if item.label else f"**{item.name}.**"
        lines.append(" ".join(part for part in (name, caption.finding, caption.reading) if part) + "\n")
        lines += [f"{caption.details}\n"] if caption.details else []
    return "\n".join(lines).encode()


def figures(store: Store, settings: list[str] | None = None) -> profiles.Figures:
    """Return the settings of a run's figures, changed as asked.

    Raises:
        InputError: a setting is of another section, unknown or bad.
    """
    try:
        current = profiles.Figures.model_validate(store.manifest().profile.get("figures", {}))
    except ValidationError as error:
        where = f"{store.path(MANIFEST)}: profile.figures."
        raise InputError(f"{where}{first_problem(error)}; {Manifest.CURE}") from error
    return profiles.figures(settings, current) if settings else current


def files(sections: Sequence[Section]) -> dict[str, bytes]:
    """Return the contents of the tables and figures of sections, by their names in a run's folder."""
    contents: dict[str, bytes] = {}
    for item in (item for section in sections for item in section.items):
        if isinstance(item, Table):
            contents |= {f"tables/{item.name}.{suffix}": text.encode() for suffix, text in item.files().items()}
        else:
            contents |= {f"figures/{item.name}.{suffix}": data for suffix, data in item.files.items()}
    return contents
