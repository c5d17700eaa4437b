"""What of a run's scores and kept maps is published: what claims are decided from, and maps that anyone may see."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analyses import Results
from analyses.paper.claims import coarse
from analyses.paper.claims.choices import table
from analyses.paper.claims.decisive import decisive, methods
from analyses.paper.claims.registration import registered
from analyses.paper.claims.values import matching
from analyses.reading import files, packed_maps
from analyses.reading.choices import BLANK, paper_target
from analyses.reading.cubes import Where
from analyses.reading.files import GALLERY, LOG, NEGATIVE, SCORES
from analyses.reading.manifest import File
from analyses.reading.records import Gallery
from analyses.reading.results import KEYS
from analyses.reading.small_maps import SmallMap
from bench.output.store import Store, digest

SMALL = ("predictions", "placements", "receptive_field", "resolution")
"""Tables beside the scores that are published whole."""
JUDGED = ("faithfulness", "faithfulness_curves")
"""Tables beside the scores of which the rows are published that claims are judged by."""
PARQUET = b"PAR1"
ORDER = (
    *("part", "measure", "method", "layer", "point", "placement", "border"),
    *("image", "target", "seed", "model", "level"),
)
"""Of rows: controls made from the image alone repeat, which compresses well where they are neighbours."""
CHOICES = (*coarse.KEYS, "seed", "image")
"""The order of rows of other choices: the images of each follow each other as those of any other, and compress so."""
CELLS = 32
"""The longer side of a kept map that is published, at most."""


def scores(run: Store) -> Iterator[tuple[str, bytes]]:
    """Yield what claims are decided from: a file a checkpoint, of the main method and the controls; whole tables."""
    results = Results(run.out)
    target = paper_target(results)
    for (model, level), kept in decisive(results, target).items():
        where: Where = {
            "model": [model],
            "level": [level],
            "target": [target],
            "method": methods(results),
            "layer": sorted(kept.layers),
        }
        metrics = [metric.name for metric in results.metrics if metric.name in {*kept.metrics, BLANK}]
        frame = results.scores(where, [*KEYS, "area", "training_data", *metrics])
        for seed, rows in frame.groupby("seed"):
            yield f"{SCORES}/{model.replace(':', '-')}-s{seed}-l{level}.parquet", parquet(rows)
    if not (choices := table(results, target)).empty:
        yield table_file(coarse.TABLE), parquet(choices)
    for name in (*SMALL, *JUDGED):
        if paths := results.parts(name):
            rows = joined([pq.read_table(path) for path in paths])
            if name in JUDGED:
                rows = rows[np.any([matching(rows, chosen) for chosen in registered().choices(name)], axis=0)]
            yield table_file(name), parquet(rows)
    if run.has(LOG):
        yield LOG, run.path(LOG).read_bytes()


def table_file(name: str) -> str:
    """Return the file of a table beside the scores."""
    return f"{files.folder(name)}/{name}.parquet"


def joined(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """Return the rows of several files of a table."""
    frame: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return frame


def parquet(frame: pd.DataFrame) -> bytes:
    """Return the file of a table: the same bytes for the same rows, be they of one run or of its parts."""
    coded: dict[str, pd.Series] = {
        str(name): column.cat.set_categories(sorted(column.cat.remove_unused_categories().cat.categories))
        for name, column in frame.items()
        if column.dtype == "category"
    }
    of_choices = set(CHOICES) <= set(frame)
    order = [key for key in (CHOICES if of_choices else ORDER) if key in frame]
    frame = frame.assign(**coded).sort_values(order, kind="stable", ignore_index=True)
    varied = [str(name) for name in frame if frame[name].dtype in (np.float32, np.int16)]  # hardly any value twice
    plain = [*varied, "image"] if of_choices else varied
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pandas(frame, preserve_index=False),
        buffer,
        compression="zstd",
        compression_level=19,  # slow to write, fast to read
        use_dictionary=[str(name) for name in frame if name not in plain],
        use_byte_stream_split=varied,
    )
    return buffer.getvalue()


def file_of(data: bytes, cell: str = "") -> File:
    """Return what the manifest says of a file of scores."""
    rows = pq.read_metadata(io.BytesIO(data)).num_rows if data[:4] == PARQUET else 0
    return File(cell=cell, rows=rows, sha256=digest(data))


def without_photographs(run: Store, name: str) -> bytes:
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
    return npz(arrays)


def free_maps(results: Results) -> Iterator[tuple[str, bytes]]:
    """Yield kept maps in few cells: of photographs that anyone may show alone, and of each model's first seed."""
    for model in results.models if results.free and results.gallery_ids else ():
        for point in results.pictured(model):
            path = results.gallery_path(model, point.seed, point.level)
            if not point.reached or not path.is_file():
                continue
            opened = results.gallery(model, point.seed, point.level)
            if rows := [at for at, image in enumerate(opened.ids) if image in results.free]:
                yield f"{GALLERY}/{path.name}", npz(_packed(opened, rows))


def _packed(opened: Gallery, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Return the arrays of some images, their maps in few cells and steps."""
    ids = [opened.ids[at] for at in rows]
    maps: Mapping[str, NDArray[Any]] = {name: of for name, of in opened.arrays.items() if name.count("|") >= 2}
    small = {name: [SmallMap.of(values[at], CELLS) for at in rows] for name, values in maps.items()}
    coded = {name: [(one.root, float(np.maximum(one.peak, 0.0))) for one in of] for name, of in small.items()}
    return {
        "ids": np.array(ids),
        "images": np.stack([opened.photographs[image] for image in ids]),
        "masks": opened.masks[rows],
        NEGATIVE: np.array(sorted(name for name in opened.negative if name.partition("|")[0] in ids), dtype=np.str_),
        **{name: values[rows] for name, values in opened.arrays.items() if name not in maps},
        **packed_maps.pack(coded),
    }


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file of arrays, the same bytes each time."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
