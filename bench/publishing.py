"""A run made small enough to lie beside code: its scores, tables and figures, without networks."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from analyses import Results
from analyses.folders import GALLERY, LOG, SCORES
from bench import report as reports
from bench.published_maps import published_maps
from bench.rounding import BITS, rounded
from bench.store import MANIFEST, PAGE, SCORED, Store
from segcam.errors import InputError

LEVEL = 19
"""Of the compression: slow to write, fast to read."""
MOST_PICTURED = 300_000
"""Bytes of the largest SVG file: larger ones hold pictures or much text, which PNG shows as well."""
TABLES = tuple(name for name in SCORED if name != GALLERY)
KEPT = ("tables", "figures", PAGE, SCORES)
ORDER = ("method", "layer", "image", "target", "seed")
"""Of the rows of scores: controls made from the image alone repeat over targets and seeds, and are stored once."""


def publish(run: Store, to: Store, console: Console, settings: list[str] | None = None) -> list[Path]:
    """Write what of a run can be published, drawn anew from scores that are rounded, so that all of it agrees.

    The folder's `scores/` and manifest then redraw all of it (`run report --out`). The page is there where its gallery
    may show the images; else `run report` makes it. A README in it is left alone.

    Args:
        run: the finished run.
        to: the folder to publish in, empty or with an earlier publication.
        console: where progress is shown.
        settings: 'figures.key=value' each, in place of the run's own.

    Returns:
        The files written.

    Raises:
        InputError: there is no run, it is itself published, or `to` holds a run that is not.
    """
    if not run.has(MANIFEST) or not run.names(SCORES):
        raise InputError(f"{run.out} holds no scored run: run all first, or name its folder with --out")
    values = run.read_json(MANIFEST)
    if values.get("published"):
        raise InputError(f"{run.out} is published already: name the folder of the run itself with --out")
    if to.has(MANIFEST) and not to.read_json(MANIFEST).get("published"):
        raise InputError(f"{to.out} holds a run, which would be lost: choose another folder with --to")
    chosen = reports.figures(run, settings)
    values["profile"]["figures"] = chosen.model_dump(mode="json")
    with tempfile.TemporaryDirectory() as folder:
        draft = Store(Path(folder) / "draft")
        draft.write_json(MANIFEST, values | {"published": {"mantissa_bits": BITS, "photographs": chosen.photographs}})
        for name, table in _tables(run):
            draft.write(name, _packed(table))
        if run.has(LOG):
            draft.write(LOG, run.path(LOG).read_bytes())
        for name, data in published_maps(Results(run.out), photographs=chosen.photographs):
            draft.write(name, data)
        reports.report(draft, console)
        _leave_out(draft, [name for name in draft.below("figures") if _too_large(draft, name)])
        return list(_moved(draft, to, KEPT if chosen.photographs else [name for name in KEPT if name != PAGE]))


def _tables(run: Store) -> Iterator[tuple[str, pa.Table]]:
    """Yield the run's tables: scores in a file a checkpoint's level with all seeds, the others whole."""
    for folder in TABLES:
        files = run.names(folder)
        parts: dict[str, list[str]] = {}
        for name in files:
            parts.setdefault(_part(name) if folder == SCORES else Path(folder).name, []).append(name)
        for part, names in parts.items():
            tables = [pq.read_table(run.path(name)) for name in names]
            yield f"{folder}/{part}.parquet", pa.concat_tables(tables, promote_options="permissive")


def _part(name: str) -> str:
    """Return the model and level that a file of scores is of.

    >>> _part("scores/unet-s0-l90-costly-000.parquet"), _part("scores/a-s1-b-s2-l100-001.parquet")
    ('unet-l90', 'a-s1-b-l100')
    """
    model, _, rest = Path(name).stem.rpartition("-s")
    return f"{model}-l{rest.split('-')[1].removeprefix('l')}"


def _packed(table: pa.Table) -> bytes:
    """Return a table as a small parquet file: sorted, and its floats rounded."""
    frame: pd.DataFrame = table.to_pandas()
    order = [key for key in ORDER if key in frame]
    frame = frame.sort_values(order, kind="stable", ignore_index=True) if order else frame
    floats = [str(name) for name in frame if frame[name].dtype == np.float32]
    frame = frame.assign(**{name: rounded(frame[name].to_numpy()) for name in floats})
    coded = [str(name) for name in frame if str(name) not in floats]
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pandas(frame, preserve_index=False),
        buffer,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=coded,
        use_byte_stream_split=floats,
    )
    return buffer.getvalue()


def _leave_out(draft: Store, names: Sequence[str]) -> None:
    """Remove files of figures, and tell the manifest, so that nobody draws them who redraws what is published."""
    for name in names:
        draft.remove(name)
    values = draft.read_json(MANIFEST)
    values["published"][reports.LEFT_OUT] = [Path(name).name for name in names]
    draft.write_json(MANIFEST, values)


def _moved(draft: Store, to: Store, folders: Sequence[str]) -> Iterator[Path]:
    names = [MANIFEST, reports.CAPTIONS, *draft.below(*folders)]
    for name in sorted(set(to.below(*KEPT)) - set(names)):
        to.remove(name)
    for name in names:
        yield to.write(name, draft.path(name).read_bytes())


def _too_large(draft: Store, name: str) -> bool:
    return name.endswith(".svg") and draft.path(name).stat().st_size > MOST_PICTURED
