"""What of a run is shown to others: what people read, small enough to lie beside code, and all of it as an archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analyses import Results
from analyses.artifacts import MOVING
from analyses.reading import captions, error_maps, small_maps
from analyses.reading.choices import main_target
from analyses.reading.files import FILMS, GALLERY, SCORES, SECTIONS
from analyses.reading.manifest import Manifest, Published
from analyses.report import told
from analyses.report.contents import SUPPLEMENTS
from bench.output import archive, extracts, hidden
from bench.output.drawing import published as published_picture
from bench.output.report import scores_of
from bench.output.store import CAPTIONS, DRAWN, MANIFEST, PAGE, TIMING, Drawn, Store, digest
from segcam.errors import InputError

MOST_BYTES = 1_000_000
"""Of a file among what people read; larger ones are in the archive alone."""
MOST_OF_TABLE = 400_000
"""Bytes of a table there: of thousands of rows nobody reads all, and every publication of them stays in a history."""
MOST_OF_PAGE = 8_000_000
"""Bytes of a page that is published with its run; `bench site` makes a larger one anew, without maps."""
REDRAWN = ("claims", "levels", "placement", "receptive_field", "resolution", "skipped")
"""Analyses that need no more than the scores that are published."""
FROM_TABLES = ("attention", "faithfulness", "family", "methods_summary", "reliability")
"""Analyses whose figures need no more than the table of their name."""
DRAWN_FOLDERS = ("tables/", "figures/")
UNPUBLISHED = (".svg", ".pdf")
"""Suffixes of figures that a report draws again from what is published."""


@dataclass
class Publication:
    """What was written, and the names of tables and figures that were too large for a folder."""

    written: list[Path] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


def publish_folder(
    run: Store,
    to: Store,
    may_drop: Callable[[str], bool] = lambda _: False,
    *,
    with_page: bool = True,
    with_maps: bool = True,
    only: Collection[str] = (),
) -> Publication:
    """Write what people read of a run: tables, figures as PNG or WebP, captions, page, manifest, the verdicts' scores.

    `run report --out` then decides every claim again. The folder is seen with the old publication or the new one,
    whatever ends the process; files in it that no publication made stay. Where photographs may not be shown, maps are
    of those alone that anyone may show.

    Args:
        run: the finished run.
        to: the folder, empty or with an earlier publication.
        may_drop: asked whether an earlier publication of another run may be replaced.
        with_page: whether the page goes along; without it, folders that lie beside code stay light.
        with_maps: whether kept maps of free photographs go along, of which a report makes the page's atlas.
        only: the analyses whose tables and figures go along; all by default. The verdicts' scores always do, of which
            a report draws what it can.

    Raises:
        InputError: there is no finished run, it is itself published, `to` holds a run that is not, or an analysis is
            unknown or made nothing of this run.
    """
    head = _head(run, REDRAWN)
    if head and head.published and run.names(SCORES):  # it cannot be told from the few scores that are published
        published = head.published.model_copy(update={"main_target": main_target(Results(run.out))})
        head = head.model_copy(update={"published": published})
    if head and head.published and not head.kind and not head.published.photographs:
        head = hidden.shown(head)
    to.recover()
    before = to.manifest() if to.path(MANIFEST).exists() else None
    if before and not before.published:
        raise InputError(f"{to.out} holds a run, which would be lost: choose another folder with --to")
    other = f"{to.out} holds a publication of another run"
    if before and head and before.definition != head.definition and not may_drop(other):
        raise InputError(f"{other}: choose another folder with --to, or add --yes to replace it")
    result = Publication()
    if head and not head.kind:
        contents = _run(run, head, result, with_page=with_page, with_maps=with_maps, only=only)
    elif only:
        raise InputError(f"{run.out} holds no scores of networks: --analyses chooses among what a run of these draws")
    else:
        contents = _other(run, result)
    listed = {name: extracts.file_of(data) for name, data in contents.items() if name.startswith(f"{SCORES}/")}
    drawn = {name: digest(data) for name, data in contents.items() if name not in listed and name != TIMING}
    contents[DRAWN] = Drawn(files=drawn).written()
    if head and head.published and not head.kind:
        from_tables = tuple(name for name in FROM_TABLES if f"tables/{name}.csv" in contents)
        published = head.published.model_copy(update={"from_tables": from_tables})
        head = head.model_copy(update={"published": published})
    if head:
        contents[MANIFEST] = head.model_copy(update={"files": listed}).written()
    earlier = {*((before and before.files) or ()), *to.drawn(), MANIFEST, CAPTIONS, SECTIONS, TIMING, DRAWN}
    result.written = to.replace(contents, earlier)
    return result


def _run(
    run: Store, head: Manifest, result: Publication, *, with_page: bool, with_maps: bool, only: Collection[str]
) -> dict[str, bytes]:
    """Return the files of the publication of a run, but for the lists of them; notes what is too large."""
    results = Results(run.out)
    scores = dict(extracts.scores(run)) if run.names(SCORES) else {}
    if scores and with_maps:
        scores |= dict(extracts.free_maps(results))
    whole = told.read(run.out)
    assert whole is not None  # `_head` has seen to it
    known = [section.name for section in whole.sections]
    if unknown := [name for name in only if name not in known]:
        raise InputError(f"--analyses {unknown[0]}: {run.out} has {', '.join(known)}")
    if only and with_page and results.photographs:
        raise InputError("the page of a run shows all of its analyses: add --no-page to --analyses")
    page: dict[str, bytes] = {}
    if results.photographs:
        if with_page:
            own = {name: run.path(name).read_bytes() for name in run.drawn() if name.startswith(f"{PAGE}/")}
            page = _page(own, result)
        drawn = dict(_drawn(run, page))
    else:
        whole, figures = hidden.drawn(run, head, scores, whole)
        drawn = {name: data for name, data in _drawn(run, {}) if not hidden.shows_maps(name)} | figures
    if only:
        whole = whole.of_analyses(only)
        wanted = {item.name for section in whole.sections for item in section.items}
        drawn = {name: data for name, data in drawn.items() if Path(name).stem in wanted}
    contents = _small_enough({**drawn, **scores}, result)
    if with_page and not results.photographs:
        page = _page(hidden.page(head, contents, whole), result)
    timing = {TIMING: run.path(TIMING).read_bytes()} if run.has(TIMING) else {}
    return {**contents, **page, CAPTIONS: whole.captions(captions.note(results)), SECTIONS: whole.written(), **timing}


def _page(files: Mapping[str, bytes], result: Publication) -> dict[str, bytes]:
    """Return the files of a page, none where it is too large for a folder."""
    too_large = _too_large(f"{PAGE}/", sum(map(len, files.values())), MOST_OF_PAGE, result)
    return {} if too_large else dict(files)


def _other(run: Store, result: Publication) -> dict[str, bytes]:
    """Return the files of the publication of timings or of known evidence."""
    names = [name for name in (CAPTIONS, SECTIONS, TIMING) if run.has(name)]
    return {**_small_enough(dict(_drawn(run, {})), result), **{name: run.path(name).read_bytes() for name in names}}


def _small_enough(contents: Mapping[str, bytes], result: Publication) -> dict[str, bytes]:
    """Return the files that are small enough for a folder; notes the others."""
    most = {name: MOST_OF_TABLE if name.endswith(".csv") else MOST_BYTES for name in contents}
    return {name: data for name, data in contents.items() if not _too_large(name, len(data), most[name], result)}


def _too_large(name: str, size: int, most: int, result: Publication) -> bool:
    if size > most:
        result.too_large.append(name)
    return size > most


def publish_archive(run: Store, file: Path) -> Path:
    """Write all of a run but its networks into one file, which `run report` reads as it reads a folder.

    Raises:
        InputError: there is no finished run, or it is itself published.
    """
    head = _head(run, ())
    if not head or not head.published:
        raise InputError(f"{run.out} holds timings alone, which --to publishes whole")
    listed = head.files or {}
    names = [name for name in (CAPTIONS, TIMING, DRAWN) if run.has(name)]
    places = (SCORES, FILMS, *DRAWN_FOLDERS)
    names += [name for name in (*listed, *run.drawn()) if run.has(name) and name.startswith(places)]
    contents: dict[str, Path | bytes] = {name: run.path(name) for name in names if not name.endswith(UNPUBLISHED)}
    if not head.published.photographs:
        pictured = tuple(f"{name}/" for name in (GALLERY, small_maps.FOLDER, error_maps.PLACE, FILMS))
        kept = {name: extracts.without_photographs(run, name) for name in contents if name.startswith(pictured)}
        contents |= kept
        listed = {**listed, **{name: extracts.file_of(data, listed[name].cell) for name, data in kept.items()}}
    return archive.pack(file, contents | {MANIFEST: head.model_copy(update={"files": listed}).written()})


def _head(run: Store, analyses: tuple[str, ...]) -> Manifest | None:
    """Return the manifest of what is published of a run; None for timings, which have none.

    Every file that it lists has been seen to be there, and to be what the run wrote; so has all that was drawn.
    """
    if not run.has(CAPTIONS):
        raise InputError(f"{run.out} holds no finished run: run all first, or name its folder with --out")
    if not run.path(MANIFEST).exists():
        if run.has(TIMING):
            _all_drawn(run, "run timing")
            return None
        raise InputError(f"{run.out} holds no {MANIFEST}: run score writes it anew, and keeps what is finished")
    manifest = run.manifest()
    if manifest.published:
        raise InputError(f"{run.out} is published already: name the folder of the run itself with --out")
    measured = sum(not Path(name).name.startswith("train-") for name in manifest.cells)
    if manifest.planned.train and measured < (manifest.planned.score or 0):
        raise InputError(
            f"{run.out} is not finished ({measured} of {manifest.planned.score} cells are scored): run all again first"
        )
    if not manifest.kind and not run.has(SECTIONS):
        raise InputError(f"{run.path(SECTIONS)} is missing, which was drawn: run report draws it anew")
    Results(run.out).check()
    if run.drawn_of() not in ("", scores_of(manifest)):
        raise InputError(f"{run.out} was scored again since its tables were drawn: run report first")
    _all_drawn(run, "run report")
    photographs = Results(run.out).photographs
    return manifest.model_copy(update={"published": Published(photographs=photographs, analyses=analyses)})


def _all_drawn(run: Store, stage: str) -> None:
    """See that what was drawn is there as it was drawn; pictures of formats that are not published may have gone.

    Args:
        run: the run.
        stage: what draws it anew.

    Raises:
        InputError: a table, a figure or the captions are missing or were changed; names the first.
    """
    for name, value in run.drawn().items():
        if not name.startswith((CAPTIONS, SECTIONS, *DRAWN_FOLDERS)) or (
            name.endswith(UNPUBLISHED) and not run.has(name)
        ):
            continue
        if not os.path.lexists(run.path(name)):
            raise InputError(f"{run.path(name)} is missing, which was drawn: {stage} draws it anew")
        if not run.holds(name, value):
            raise InputError(
                f"{run.path(name)} is not what the report drew: {stage} draws it anew; what is your own goes beside "
                "it, under another name"
            )


def _drawn(run: Store, page: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name in sorted(name for name in run.drawn() if run.has(name) and name.startswith(DRAWN_FOLDERS)):
        if _elsewhere(name, run, page):
            continue
        data = run.path(name).read_bytes()
        if name.endswith(".png"):
            suffix, picture = published_picture(data)
            yield f"{name.removesuffix('.png')}.{suffix}", picture
        elif name.startswith("tables/") or name.endswith(f".{MOVING}"):
            yield name, data


def _elsewhere(name: str, run: Store, page: Mapping[str, bytes]) -> bool:
    """Return whether the page's atlas shows the maps of a figure, or a file that moves shows it."""
    place = Path(name)
    atlas = bool(page) and place.name.startswith(SUPPLEMENTS)
    return atlas or (place.suffix == ".png" and run.has(place.with_suffix(f".{MOVING}").as_posix()))
