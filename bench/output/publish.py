"""A run made small enough to lie beside code: its scores, tables and figures, without networks."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from analyses import Results
from analyses.reading import files
from analyses.reading.files import GALLERY, LOG, SCORES
from analyses.reading.records import Gallery
from analyses.report.sheets import quantised
from bench.output import report as reports
from bench.output.store import MANIFEST, PAGE, SCORED, Store
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


BITS = 10
"""Bits of a published float's mantissa: it is off by at most 1 in 2,048 of its value."""


def rounded(values: NDArray[np.floating], bits: int = BITS) -> NDArray[np.float32]:
    """Return float32 values with this many bits of their mantissa, rounded to the nearest; NaN and infinity stay.

    >>> rounded(np.array([1.0, 0.1, -3.0001], np.float32), 10).tolist()
    [1.0, 0.0999755859375, -3.0]
    """
    cut = np.uint32(23 - bits)
    held = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    near = ((held + (np.uint32(1) << (cut - np.uint32(1)))) >> cut << cut).view(np.float32)
    return np.where(np.isfinite(values), near, values).astype(np.float32)


Arrays = dict[str, NDArray[Any]]


def published_maps(results: Results, *, photographs: bool) -> Iterator[tuple[str, bytes]]:
    """Yield for each model the kept maps of the seed that figures show: a file's name in the run's folder, its bytes.

    The maps that Figures 1 to 3 draw from, the main method's of all layers, are whole, their floats rounded. Where
    photographs may be shown, they and all other maps are there as well. Else there is nothing beside what those figures
    show: the maps of Sobel or of activations, say, show a photograph's edges.

    Args:
        results: the run.
        photographs: whether photographs may be shown.

    Raises:
        ResultsError: a file is damaged.
    """
    if not photographs and results.main_method in results.controls:
        return
    for model in results.models:
        for point in results.pictured(model):
            path = results.gallery_path(point.model, point.seed, point.level)
            if point.reached and path.is_file():
                kept = files.gallery(path, photographs=photographs)
                stored: dict[str, Any] = _arrays(results, model, kept, whole=photographs)
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **stored)
                yield f"{GALLERY}/{path.name}", buffer.getvalue()


def _arrays(results: Results, model: str, kept: Gallery, *, whole: bool) -> Arrays:
    """Return what is stored of a checkpoint's kept maps; if `whole`, something of all of them."""
    found: Arrays = {"ids": np.array(kept.ids), "masks": kept.masks}
    found |= {} if kept.images is None else {"images": kept.images}
    first = results.targets[:1]
    pixels = [f"{files.PIXELS}{target}" for target in (results.targets if whole else first)]
    found |= {name: kept.arrays[name] for name in pixels if name in kept.arrays}
    drawn = [f"{target}|{results.main_method}|{layer.name}" for target in first for layer in results.main_layers(model)]
    found |= {name: rounded(kept.arrays[name]) for name in drawn if name in kept.arrays}
    others = {name: values for name, values in kept.arrays.items() if name.count("|") >= 2 and name not in drawn}
    return found | (_small(others) if whole and others else {})


def _small(maps: Arrays) -> Arrays:
    """Return maps as `files.gallery` finds them again: each distinct one once, as the bytes that the page shows."""
    numbers: dict[tuple[tuple[int, ...], bytes], int] = {}
    stored: Arrays = {}
    of = []
    for values in maps.values():
        tiles = _tiles(values)
        number = numbers.setdefault((tiles.shape, tiles.tobytes()), len(numbers))
        stored[f"{files.SMALL}{number}"] = tiles
        of.append(number)
    return {files.SMALL_NAMES: np.array(list(maps)), files.SMALL_NUMBERS: np.array(of), **stored}


def _tiles(maps: NDArray[Any]) -> NDArray[Any]:
    """Return maps `(n, h, w)` as the page shows them; one with values that are no numbers is NaN everywhere."""
    defined = np.isfinite(maps).all(axis=(1, 2))
    tiles = np.stack([quantised(np.where(known, one, 0)) for one, known in zip(maps, defined, strict=True)])
    return tiles if defined.all() else np.where(defined[:, None, None], tiles, np.nan).astype(np.float16)
