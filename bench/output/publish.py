"""What of a run is shown to others: what people read, small enough to lie beside code, and all of it as an archive."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analyses import Results
from analyses.paper.claims.contrasts import METRICS
from analyses.reading import files
from analyses.reading.choices import BLANK, main_target, paper_target
from analyses.reading.files import GALLERY, LOG, SCORES
from analyses.reading.results import KEYS
from bench.output import archive
from bench.output.drawing import with_palette
from bench.output.report import COLOURS
from bench.output.store import CAPTIONS, MANIFEST, PAGE, TIMING, Store, as_json
from segcam.errors import InputError

MOST_BYTES = 1_000_000
"""Of a file among what people read; larger ones are in the archive alone."""
REDRAWN = ("attention", "claims", "distributions", "levels", "resolution", "skipped")
"""Analyses that need no more than the scores that are published."""
SMALL = ("predictions", "attention", "resolution")
"""Tables beside the scores that are published whole."""
DRAWN = ("tables", "figures")
ORDER = ("method", "layer", "image", "target", "seed")
"""Of rows: controls made from the image alone repeat, which compresses well where they are neighbours."""


@dataclass
class Published:
    """What was written, and the names of tables and figures that were too large for a folder."""

    written: list[Path] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


def publish_folder(run: Store, to: Store) -> Published:
    """Write what people read of a run: tables, figures as PNG, captions, manifest, and the scores of the verdicts.

    `run report --out` then decides every claim again. A README in the folder is left alone.

    Args:
        run: the finished run.
        to: the folder, empty or with an earlier publication.

    Raises:
        InputError: there is no finished run, it is itself published, or `to` holds a run that is not.
    """
    head = _head(run, REDRAWN)
    if head and run.names(SCORES):  # which target it is cannot be told from the few scores that are published
        head["published"]["main_target"] = main_target(Results(run.out))
    if to.has(MANIFEST) and not to.read_json(MANIFEST).get("published"):
        raise InputError(f"{to.out} holds a run, which would be lost: choose another folder with --to")
    result = Published()
    names = set()
    for name, data in [*_drawn(run), *(_verdict_scores(run) if run.names(SCORES) else ())]:
        if len(data) > MOST_BYTES:
            result.too_large.append(name)
        else:
            names.add(name)
            result.written.append(to.write(name, data))
    for name in to.below(*DRAWN, SCORES, PAGE):
        if name not in names:
            to.remove(name)
    for name in (CAPTIONS, TIMING):
        if run.has(name):
            result.written.append(to.write(name, run.path(name).read_bytes()))
    if head:
        result.written.append(to.write_json(MANIFEST, head))
    return result


def publish_archive(run: Store, file: Path) -> Path:
    """Write all of a run but its networks into one file, which `run report` reads as it reads a folder.

    Raises:
        InputError: there is no finished run, or it is itself published.
    """
    head = _head(run, ())
    if not head:
        raise InputError(f"{run.out} holds timings alone, which --to publishes whole")
    photographs = head["published"]["photographs"]
    names = [name for name in (CAPTIONS, TIMING) if run.has(name)]
    names += [name for name in run.below(SCORES, *DRAWN) if not name.endswith((".svg", ".pdf"))]
    contents: dict[str, Path | bytes] = {name: run.path(name) for name in names}
    if not photographs:
        contents |= {name: _without_photographs(run, name) for name in names if name.startswith(f"{GALLERY}/")}
    return archive.pack(file, contents | {MANIFEST: as_json(head)})


def _head(run: Store, analyses: tuple[str, ...]) -> dict[str, Any]:
    """Return the manifest of what is published of a run; empty for timings, which have none."""
    if not run.has(CAPTIONS):
        raise InputError(f"{run.out} holds no finished run: run all first, or name its folder with --out")
    if not run.has(MANIFEST):
        return {}
    values = run.read_json(MANIFEST)
    if values.get("published"):
        raise InputError(f"{run.out} is published already: name the folder of the run itself with --out")
    photographs = values["profile"]["figures"]["photographs"]
    return values | {"published": {"photographs": photographs, "analyses": list(analyses)}}


def _drawn(run: Store) -> Iterator[tuple[str, bytes]]:
    for name in run.below(*DRAWN):
        data = run.path(name).read_bytes()
        if name.endswith(".png"):
            yield name, with_palette(data, COLOURS)
        elif name.startswith("tables/"):
            yield name, data


def _verdict_scores(run: Store) -> Iterator[tuple[str, bytes]]:
    """Yield what claims are decided from: a file a checkpoint, of the main method and the controls; whole tables."""
    results = Results(run.out)
    metrics = [metric.name for metric in results.metrics if metric.name in (*METRICS, BLANK)]
    where = {"method": [results.main_method, *results.controls], "target": [paper_target(results)]}
    scores = results.scores(where, [*KEYS, "area", "training_data", *metrics])
    for (model, level, seed), rows in scores.groupby(["model", "level", "seed"], observed=True):
        yield f"{SCORES}/{str(model).replace(':', '-')}-s{seed}-l{level}.parquet", _parquet(rows)
    for name in SMALL:
        if paths := results.parts(name):
            tables = [pq.read_table(path) for path in paths]
            table = pa.concat_tables(tables, promote_options="permissive")
            yield f"{files.folder(name)}/{name}.parquet", _parquet(table.to_pandas())
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
    """Return a file of kept maps without images, and of the main method alone: others show an image's edges."""
    results = Results(run.out)
    shown = f"|{results.main_method}|"
    with np.load(run.path(name), allow_pickle=False) as stored:
        names = [key for key in stored.files if key in ("ids", "masks") or key.startswith(files.PIXELS)]
        if results.main_method not in results.controls:
            names += [key for key in stored.files if shown in key]
        arrays: dict[str, NDArray[Any]] = {key: stored[key] for key in names}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
