"""Has a run's figures, tables and page drawn from its files alone, where they are not drawn already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from inspect import getfile
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

import analyses
from analyses.reading.manifest import Manifest
from analyses.reading.sealed import first_problem
from bench.output.store import INDEX, MANIFEST, PAGE, TIMING, Store, digest
from bench.output.terminal import teller
from bench.planning import profile as profiles
from bench.progress import Piece, say
from segcam.errors import InputError

DRAWING = "drawing"
COST = 5.0
"""Of an analysis, in steps of a training; for the time that is left alone."""
DRAWN_WITH = ("matplotlib", "numpy", "pandas", "scipy", "seaborn", "pillow")


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
        from bench.output.redrawn import everything  # noqa: PLC0415  (what draws takes seconds to import)

        return everything(store, look, console)


def piece(views: Sequence[object]) -> Piece:
    """Return what drawing a run of some classes is among its pieces of work."""
    return Piece(DRAWING, COST * (len(analyses.names()) + 1) * len(views))


def drawn_from(store: Store, look: profiles.Figures) -> str:
    """Return a hash of all that a run's report is drawn from: results, settings, code, and the packages that draw."""
    hashed = hashlib.sha256(look.model_dump_json().encode())
    for name in (MANIFEST, TIMING):  # the manifest holds the hashes of all tables
        hashed.update(store.path(name).read_bytes() if store.has(name) else b"-")
    hashed.update("; ".join(f"{name} {version(name)}" for name in DRAWN_WITH).encode())
    for package in (Path(analyses.__file__).parent, Path(getfile(InputError)).with_name("draw"), Path(__file__).parent):
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


def known_evidence(store: Store, look: profiles.Figures) -> list[Path]:
    """Draw the figures and tables of a run of known evidence, which has no page, unless they are drawn of the same.

    Raises:
        InputError: it was published without its scores.
    """
    with store.drawing():
        if earlier := before(store, drawn_from(store, look)):
            return earlier
        from bench.output import redrawn  # noqa: PLC0415  (as above)

        return redrawn.known_evidence(store, look)


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
