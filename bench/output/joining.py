"""Joins publications of parts of a study: their scores, which decide the claims, and their tables and figures."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analyses import Results
from analyses.paper.claims import coarse
from analyses.reading import captions
from analyses.reading.files import GALLERY, LOG, SECTIONS
from analyses.reading.manifest import Gap, Manifest, Published
from analyses.report import told
from bench.output import definition, extracts, pieces
from bench.output.definition import union
from bench.output.pieces import Piece
from bench.output.store import CAPTIONS, DRAWN, MANIFEST, Drawn, Store, digest
from bench.planning.sections import Seeds, of_seeds
from segcam.errors import InputError

CELL = ("model", "seed", "level")
"""The columns that say which checkpoint a row is of."""
MORE = "; "
"""Between what parts have in one place of the manifest that may differ."""


KEPT_MAPS = re.compile(r"(?P<model>.+)-s(?P<seed>\d+)-l\d+")
"""Names of files of kept maps, without a suffix."""


def join(parts: Sequence[Store], manifests: Sequence[Manifest], to: Store) -> list[str]:
    """Write the publication of all parts, all of it or nothing; and say what of it is not of all of them.

    It is the same whichever of them are joined first. What is drawn from published scores is left to `run report`.

    Raises:
        InputError: two parts hold a checkpoint with other numbers, or share some trainings of a network and not others;
            or one was published by an earlier version.
    """
    tells = [_told(part) for part in parts]
    published = [manifest.published for manifest in manifests if manifest.published]
    redrawn = _in_all([one.analyses for one in published])
    from_tables = _from_tables(published, tells)
    skipped = _skipped(parts, manifests)
    scores, notes = _scores(parts, manifests)
    cells = union(one.cells for one in manifests)
    listed = {name: extracts.file_of(data) for name, data in scores.items()}
    whole = definition.whole(manifests, {name: cells[name] for name in sorted(cells)}, listed, skipped)
    whole = whole.model_copy(update=_of_all(manifests, whole.profile, redrawn, from_tables))
    found = [
        piece
        for part, manifest, tell in zip(parts, manifests, tells, strict=True)
        for piece in pieces.of(part, manifest, tell.without(redrawn).tables_alone(from_tables))
    ]
    kept = pieces.kept(found)
    told_of_all, drawn = pieces.joined(kept, whole)
    drawn |= {CAPTIONS: told_of_all.captions(_note(whole)), SECTIONS: told_of_all.written()}
    hashes = {name: digest(data) for name, data in sorted(drawn.items())}
    to.replace({**scores, **drawn, DRAWN: Drawn(files=hashes).written(), MANIFEST: whole.written()}, [])
    items = [item for section in told_of_all.sections for item in section.items]
    if beside := list(dict.fromkeys(item.base for item in items if item.name != item.base)):
        notes.append(f"kept of each part, with its networks in the name: {', '.join(beside)}")
    if untold := _untold(parts, tells):
        notes.append(f"left out, since no report tells of it: {', '.join(untold)}")
    anew = f"run report draws anew: {', '.join(redrawn)}"
    anew += f"; from their joined tables: {', '.join(from_tables)}" if from_tables else ""
    return [*notes, *_of_fewer(found, kept, whole), anew]


def conflict(one: Path, other: Path) -> InputError:
    """Return the error of two files that hold one cell with other contents."""
    return InputError(
        f"{one} and {other} differ, though they are of one cell: one machine's numbers are not the other's; take a "
        "model or seed out of one of them, and make that one again"
    )


def _in_all(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the names that are in each of several lists, as the first one orders them."""
    return tuple(name for name in names[0] if all(name in one for one in names))


def _from_tables(published: Sequence[Published], tells: Sequence[told.Told]) -> tuple[str, ...]:
    """Return the analyses that are drawn from their tables: in each part that tells of them at all."""
    of_parts = [{section.name for section in tell.sections} for tell in tells]
    return tuple(
        name
        for name in sorted({name for one in published for name in one.from_tables})
        if all(name in one.from_tables for one, names in zip(published, of_parts, strict=True) if name in names)
    )


def _told(part: Store) -> told.Told:
    if (found := told.read(part.out)) is None:
        raise InputError(f"{part.path(SECTIONS)} is missing: an earlier version published it; publish it again")
    return found


def _scores(parts: Sequence[Store], manifests: Sequence[Manifest]) -> tuple[dict[str, bytes], list[str]]:
    """Return the files of scores of all parts, by name in their order, and what is left out of them."""
    paths: dict[str, list[Path]] = {}
    for part, manifest in zip(parts, manifests, strict=True):
        for name in manifest.files or ():
            paths.setdefault(name, []).append(part.path(name))
    profile = definition.profile([one.profile for one in manifests])
    tables = {extracts.table_file(name): name for name in (*extracts.SMALL, *extracts.JUDGED, coarse.TABLE)}
    shown = {name for name in paths if name.startswith(f"{GALLERY}/")}
    contents, notes = {}, []
    for name in sorted(paths.keys() - shown | _of_first_seeds(shown)):
        if name not in tables and name != LOG:
            contents[name] = _same_bytes(paths[name])
            continue
        rows = _rows(paths[name])
        section = tables.get(name, "").removesuffix("_curves")
        meant: Seeds = profile.get(section, {}).get("training_seeds", "all")
        if meant != "all":
            places = rows.groupby("model", observed=True)["seed"].rank("dense").astype(int) - 1
            kept = places.isin([place for place in places.unique() if of_seeds(meant, place)])
            notes += [] if kept.all() else [f"left out of {name}: seeds beyond those that it is made with"]
            rows = rows[kept]
        contents[name] = extracts.parquet(rows)
    return contents, notes


def _of_first_seeds(names: Collection[str]) -> set[str]:
    """Return the files of kept maps of each model's lowest seed."""
    seeds: dict[str, int] = {}
    places = {name: found for name in names if (found := KEPT_MAPS.fullmatch(Path(name).stem))}
    for found in places.values():
        seeds[found["model"]] = min(int(found["seed"]), seeds.get(found["model"], int(found["seed"])))
    return {name for name, found in places.items() if int(found["seed"]) == seeds[found["model"]]}


def _same_bytes(paths: Sequence[Path]) -> bytes:
    """Return what files hold that must be alike."""
    first, *others = (path.read_bytes() for path in paths)
    for path, data in zip(paths[1:], others, strict=True):
        if data != first:
            raise conflict(paths[0], path)
    return first


def _rows(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of a table of all parts; what several hold of a checkpoint must be alike, and counts once."""
    found: dict[Any, tuple[Path, pa.Table]] = {}
    for path in paths:
        frame = extracts.joined([pq.read_table(path)])
        for cell, rows in frame.groupby([key for key in CELL if key in frame], observed=True):
            before = found.setdefault(cell, (path, pa.Table.from_pandas(rows, preserve_index=False)))
            if before[0] != path and extracts.parquet(before[1].to_pandas()) != extracts.parquet(rows):
                raise conflict(before[0], path)
    return extracts.joined([rows for _, rows in found.values()])


def _skipped(parts: Sequence[Store], manifests: Sequence[Manifest]) -> tuple[Gap, ...]:
    """Return every map that there is not, and in how many cells; a training of several parts counts once."""
    counts: dict[str, Counter[tuple[str, str, str]]] = {}
    seeds: dict[str, set[int]] = {}
    for part, manifest in zip(parts, manifests, strict=True):
        for model in manifest.models:
            own, before = {one.seed for one in manifest.checkpoints if one.model == model}, seeds.get(model, set())
            if own & before and not (own <= before or before <= own):
                shared = ", ".join(map(str, sorted(own & before)))
                raise InputError(
                    f"{part.out} and another part both hold seed {shared} of {model}, and each another seed: name "
                    "publications that share all trainings of a network, or none"
                )
            if own <= before and model in seeds:
                continue
            of_model = Counter[tuple[str, str, str]]() if before <= own else counts[model]
            for gap in manifest.skipped:
                of_model[gap.layer, gap.method, gap.reason] += gap.cells if gap.model == model else 0
            counts[model], seeds[model] = +of_model, own | before
    return tuple(
        Gap(model=model, layer=layer, method=method, reason=reason, cells=cells)
        for model, of_model in counts.items()
        for (layer, method, reason), cells in sorted(of_model.items())
    )


def _of_all(
    manifests: Sequence[Manifest], profile: Mapping[str, Any], redrawn: tuple[str, ...], from_tables: tuple[str, ...]
) -> dict[str, Any]:
    """Return the sections of the manifest in which parts may differ though they are of one definition."""
    published = [manifest.published for manifest in manifests if manifest.published]
    photographs = all(one.photographs for one in published)
    targets = {one.main_target for one in published}
    chosen = next((name for name in manifests[0].targets if name in targets), None)
    return {
        "profile": {**profile, "figures": {**profile.get("figures", {}), "photographs": photographs}},
        "versions": _beside([manifest.versions for manifest in manifests]),
        "hardware": _beside([manifest.hardware for manifest in manifests]),
        "published": Published(
            photographs=photographs, analyses=redrawn, from_tables=from_tables, main_target=chosen, joined=True
        ),
    }


def _beside(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return tables as one: values that differ stand beside each other, as text."""
    out: dict[str, Any] = {}
    for key in sorted({key for table in tables for key in table}):
        values = [table[key] for table in tables if key in table]
        words = {word for value in values for word in str(value).split(MORE)}
        out[key] = values[0] if all(value == values[0] for value in values) else MORE.join(sorted(words))
    return out


def _note(whole: Manifest) -> str:
    """Return what is true of all tables and figures, which the manifest alone tells."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(whole.written())
        return captions.note(Results(folder))


def _untold(parts: Sequence[Store], tells: Sequence[told.Told]) -> list[str]:
    """Return the tables and figures that were drawn by no report, as timings."""
    drawn = {Path(name) for part in parts for name in part.drawn() if name.startswith(("tables/", "figures/"))}
    known = {item.name for tell in tells for section in tell.sections for item in section.items}
    return sorted({path.stem for path in drawn} - known)


def _of_fewer(found: Sequence[Piece], kept: Sequence[Piece], whole: Manifest) -> list[str]:
    """Say which tables and figures are of some trainings of a network alone."""
    best = {piece.key: piece for piece in kept}
    left = {piece.key: best[piece.key] for piece in found if piece.part.seeds != best[piece.key].part.seeds}
    counts = Counter(pieces.in_words(piece, whole) for piece in left.values())
    return [f"{number} tables and figures are of {words} alone, as published" for words, number in counts.items()]
