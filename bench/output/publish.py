"""What of a run is shown to others: what people read, small enough to lie beside code, and all of it as an archive."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analyses import Results
from analyses.artifacts import MOVING
from analyses.paper.claims.registration import registered
from analyses.paper.claims.values import matching
from analyses.reading import error_maps, files, small_maps
from analyses.reading.choices import BLANK, main_target, paper_target
from analyses.reading.files import FILMS, GALLERY, LOG, SCORES
from analyses.reading.manifest import File, Manifest, Published
from analyses.reading.results import KEYS
from analyses.report.contents import SUPPLEMENTS
from bench.output import archive
from bench.output.drawing import published as published_picture
from bench.output.report import scores_of
from bench.output.store import CAPTIONS, DRAWN, MANIFEST, PAGE, TIMING, Drawn, Store, digest
from segcam.errors import InputError

MOST_BYTES = 1_000_000
"""Of a file among what people read; larger ones are in the archive alone."""
MOST_OF_TABLE = 150_000
"""Bytes of a table there: of thousands of rows nobody reads all, and every publication of them stays in a history."""
MOST_OF_PAGE = 8_000_000
"""Bytes of a page that is published with its run; `bench site` makes a larger one anew, without maps."""
REDRAWN = ("attention", "claims", "distributions", "levels", "placement", "resolution", "skipped")
"""Analyses that need no more than the scores that are published."""
SMALL = ("predictions", "attention", "placements", "receptive_field", "resolution")
"""Tables beside the scores that are published whole."""
JUDGED = ("faithfulness", "faithfulness_curves")
"""Tables beside the scores of which the rows are published that claims are judged by."""
DRAWN_FOLDERS = ("tables/", "figures/")
UNPUBLISHED = (".svg", ".pdf")
"""Suffixes of figures that a report draws again from what is published."""
PARQUET = b"PAR1"
ORDER = ("method", "layer", "image", "target", "seed")
"""Of rows: controls made from the image alone repeat, which compresses well where they are neighbours."""


@dataclass
class Publication:
    """What was written, and the names of tables and figures that were too large for a folder."""

    written: list[Path] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


def publish_folder(run: Store, to: Store, may_drop: Callable[[str], bool] = lambda _: False) -> Publication:
    """Write what people read of a run: tables, figures as PNG or WebP, captions, page, manifest, the verdicts' scores.

    `run report --out` then decides every claim again. The folder is seen with the old publication or the new one,
    whatever ends the process; files in it that no publication made stay.

    Args:
        run: the finished run.
        to: the folder, empty or with an earlier publication.
        may_drop: asked whether an earlier publication of another run may be replaced.

    Raises:
        InputError: there is no finished run, it is itself published, or `to` holds a run that is not.
    """
    head = _head(run, REDRAWN)
    if head and head.published and run.names(SCORES):  # it cannot be told from the few scores that are published
        published = head.published.model_copy(update={"main_target": main_target(Results(run.out))})
        head = head.model_copy(update={"published": published})
    to.recover()
    before = to.manifest() if to.path(MANIFEST).exists() else None
    if before and not before.published:
        raise InputError(f"{to.out} holds a run, which would be lost: choose another folder with --to")
    other = f"{to.out} holds a publication of another run"
    if before and head and before.definition != head.definition and not may_drop(other):
        raise InputError(f"{other}: choose another folder with --to, or add --yes to replace it")
    result = Publication()
    contents: dict[str, bytes] = {}
    page = dict(_page(run)) if head and head.published and head.published.photographs else {}
    if sum(map(len, page.values())) > MOST_OF_PAGE:
        result.too_large.append(f"{PAGE}/")
        page = {}
    for name, data in [*_drawn(run, page), *(_verdict_scores(run) if run.names(SCORES) else ())]:
        if len(data) > (MOST_OF_TABLE if name.endswith(".csv") else MOST_BYTES):
            result.too_large.append(name)
        else:
            contents[name] = data
    contents |= page
    contents |= {name: run.path(name).read_bytes() for name in (CAPTIONS, TIMING) if run.has(name)}
    scores = {name: _file(data) for name, data in contents.items() if name.startswith(f"{SCORES}/")}
    drawn = {name: digest(data) for name, data in contents.items() if name not in scores and name != TIMING}
    contents[DRAWN] = Drawn(files=drawn).written()
    if head:
        contents[MANIFEST] = head.model_copy(update={"files": scores}).written()
    earlier = {*((before and before.files) or ()), *to.drawn(), MANIFEST, CAPTIONS, TIMING, DRAWN}
    result.written = to.replace(contents, earlier)
    return result


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
        kept = {name: _without_photographs(run, name) for name in contents if name.startswith(pictured)}
        contents |= kept
        listed = {**listed, **{name: _file(data, listed[name].cell) for name, data in kept.items()}}
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
        if not name.startswith((CAPTIONS, *DRAWN_FOLDERS)) or (name.endswith(UNPUBLISHED) and not run.has(name)):
            continue
        if not os.path.lexists(run.path(name)):
            raise InputError(f"{run.path(name)} is missing, which was drawn: {stage} draws it anew")
        if not run.holds(name, value):
            raise InputError(
                f"{run.path(name)} is not what the report drew: {stage} draws it anew; what is your own goes beside "
                "it, under another name"
            )


def _file(data: bytes, cell: str = "") -> File:
    """Return what the manifest says of a file of scores."""
    rows = pq.read_metadata(io.BytesIO(data)).num_rows if data[:4] == PARQUET else 0
    return File(cell=cell, rows=rows, sha256=digest(data))


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


def _page(run: Store) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a run's page; where photographs may not be shown it has none, as maps show their edges."""
    for name in sorted(name for name in run.drawn() if name.startswith(f"{PAGE}/") and run.has(name)):
        yield name, run.path(name).read_bytes()


def _verdict_scores(run: Store) -> Iterator[tuple[str, bytes]]:
    """Yield what claims are decided from: a file a checkpoint, of the main method and the controls; whole tables."""
    results = Results(run.out)
    metrics = [metric.name for metric in results.metrics if metric.name in {*registered().metrics, BLANK}]
    where = {"method": [results.main_method, *results.controls], "target": [paper_target(results)]}
    scores = results.scores(where, [*KEYS, "area", "training_data", *metrics])
    for (model, level, seed), rows in scores.groupby(["model", "level", "seed"], observed=True):
        yield f"{SCORES}/{str(model).replace(':', '-')}-s{seed}-l{level}.parquet", _parquet(rows)
    for name in (*SMALL, *JUDGED):
        if paths := results.parts(name):
            tables = [pq.read_table(path) for path in paths]
            frame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
            if name in JUDGED:
                frame = frame[np.any([matching(frame, rows) for rows in registered().choices(name)], axis=0)]
            yield f"{files.folder(name)}/{name}.parquet", _parquet(frame)
    if run.has(LOG):
        yield LOG, run.path(LOG).read_bytes()


def _parquet(frame: pd.DataFrame) -> bytes:
    order = [key for key in ORDER if key in frame]
    frame = frame.sort_values(order, kind="stable", ignore_index=True)
    coded: dict[str, pd.Series] = {
        str(name): column.cat.remove_unused_categories() for name, column in frame.items() if column.dtype == "category"
    }
    frame = frame.assign(**coded)
    floats = [str(name) for name in frame if frame[name].dtype == np.float32]
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pandas(frame, preserve_index=False),
        buffer,
        compression="zstd",
        compression_level=19,  # slow to write, fast to read
        use_dictionary=[str(name) for name in frame if name not in floats],
        use_byte_stream_split=floats,
    )
    return buffer.getvalue()


def _without_photographs(run: Store, name: str) -> bytes:
    """Return a file of kept maps without images but those that anyone may show.

    It has maps of the main method alone: others show an image's edges.
    """
    results = Results(run.out)
    shown = f"|{results.main_method}|"
    with np.load(run.path(name), allow_pickle=False) as stored:
        names = [key for key in stored.files if "|" not in key and key != "images"]
        if results.main_method not in results.controls:
            names += [key for key in stored.files if shown in key]
        arrays: dict[str, NDArray[Any]] = {key: stored[key] for key in names}
        free = np.isin(stored["ids"], list(results.free))
        if free.any():
            arrays["images"] = np.where(free[:, None, None, None], stored["images"], 0).astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
