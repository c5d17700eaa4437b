"""Joins parts of a study that were made without a shared disk: of one definition, with models or seeds of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from analyses.reading.files import LOG, LOG_TEXT, with_answers
from analyses.reading.manifest import Gap, Manifest
from bench.output import definition, joining
from bench.output.definition import of_training, union, without
from bench.output.store import MANIFEST, Store, digest
from bench.planning.records import MeasureRecord
from bench.planning.sections import Seeds, of_seeds
from segcam.errors import InputError

OF_SEED = re.compile(r"(?P<kind>[^-]+)-(?P<model>.+)-s(?P<seed>\d+)[-.]")
"""Names of records: what was done, of which model and seed."""


def merge(parts: Sequence[Store], to: Store) -> list[str]:
    """Write a run that holds the cells of several, or a publication that holds what several do.

    Args:
        parts: two or more finished runs, or publications of finished runs.
        to: an empty folder.

    Returns:
        What differs and changes nothing but digits, a line each: versions, hardware, registrations; and what is not of
        all parts.

    Raises:
        InputError: a part is not finished, or of another definition; some are published and some not; or two hold a
            cell with other contents. Nothing is written then.
    """
    if len(parts) < 2:
        raise InputError("merge needs two or more folders of runs")
    manifests = [definition.finished(part) for part in parts]
    published = {bool(manifest.published): part for part, manifest in zip(parts, manifests, strict=True)}
    if len(published) > 1:
        raise InputError(
            f"{published[True].out} is published, without its cells, and {published[False].out} is a run: name runs "
            "alone, or publish that one, too, and name publications alone"
        )
    definition.same(parts, manifests)
    if to.has(MANIFEST) or to.names("cells"):
        raise InputError(f"{to.out} holds a run: choose an empty folder with --out")
    told = joining.join(parts, manifests, to) if True in published else _join(parts, manifests, to)
    return [*definition.notes(parts, manifests), *told]


def _join(runs: Sequence[Store], manifests: Sequence[Manifest], to: Store) -> list[str]:
    """Write the run of all cells, and say what is left out."""
    profile = definition.profile([one.profile for one in manifests])
    beyond = _beyond(runs, profile)
    contents = {name: data for name, data in _files(runs).items() if name not in beyond}
    cells = without(union(one.cells for one in manifests), *beyond)
    files = without(union(one.files or {} for one in manifests), *beyond)
    merged = definition.whole(manifests, cells, files, _skipped(runs, manifests, cells))
    for name, path in contents.items():
        to.write(name, path.read_bytes())
    if log := _log(runs):
        files[LOG] = to.write_table(LOG, log, keys=LOG_TEXT)
        merged = merged.model_copy(update={"files": files})
    to.write(MANIFEST, merged.written())  # last, so that half a merged run is none
    studied = sum(name.startswith("cells/") for name in beyond)
    return [f"left out: {studied} cells of studies that are made with fewer seeds"] if studied else []


def _beyond(runs: Sequence[Store], profile: Mapping[str, Any]) -> set[str]:
    """Return the files of studies that a run makes with some of a model's seeds alone, of other seeds."""
    seeds: dict[str, set[int]] = {}
    found: list[tuple[str, int, Seeds, set[str]]] = []
    for run in runs:
        for name in run.names("cells"):
            place = OF_SEED.match(Path(name).name)
            if place is None or not name.endswith(".json"):
                continue
            seeds.setdefault(place["model"], set()).add(int(place["seed"]))
            section = profile.get(place["kind"], {}).get("training_seeds", "all")
            meant: Seeds = profile["score"].get("own_pass_seeds", "all") if place["kind"] == "own_passes" else section
            if meant != "all":
                made = run.read(MeasureRecord, name).files
                found.append((place["model"], int(place["seed"]), meant, {name, *made}))
    places = {(model, seed): place for model, of_model in seeds.items() for place, seed in enumerate(sorted(of_model))}
    return {name for model, seed, meant, names in found if not of_seeds(meant, places[model, seed]) for name in names}


def _files(runs: Sequence[Store]) -> dict[str, Path]:
    """Return the files of all runs that make a run, by name.

    Raises:
        InputError: two runs hold one with other contents, as of a network that both trained.
    """
    found: dict[str, Path] = {}
    for run in runs:
        drawn = run.drawn()
        for name in run.below("cells", "checkpoints", "films", "scores"):
            path = run.path(name)
            if name == LOG or name in drawn or (name.startswith("cells/") and path.suffix != ".json"):
                continue
            before = found.setdefault(name, path)
            if before != path and not _alike(before, path):
                raise joining.conflict(before, path)
    return found


def _alike(one: Path, other: Path) -> bool:
    """Return whether two files of one name say the same; the time that a cell took is no part of that."""
    if digest(one.read_bytes()) == digest(other.read_bytes()):
        return True
    if one.suffix != ".json" or one.name.startswith("train-"):
        return False
    first, second = (MeasureRecord.read(path) for path in (one, other))
    return first.model_copy(update={"seconds": second.seconds}) == second


def _skipped(runs: Sequence[Store], manifests: Sequence[Manifest], cells: Iterable[str]) -> tuple[Gap, ...]:
    """Return every map that there is not, and in how many cells; a cell of several runs counts once."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for manifest in manifests:  # what no cell tells of, in their order
        counts.update({(gap.model, gap.layer, gap.method, gap.reason): 0 for gap in manifest.skipped})
    for name in cells:
        run = next(run for run in runs if run.has(name))
        if not of_training(name):
            record = run.read(MeasureRecord, name)
            counts.update((record.model, gap.layer, gap.method, gap.reason) for gap in record.skipped)
    return tuple(
        Gap(model=model, layer=layer, method=method, reason=reason, cells=number)
        for (model, layer, method, reason), number in counts.items()
    )


def _log(runs: Sequence[Store]) -> dict[str, Any]:
    """Return the columns of the log of all trainings; none where nothing was trained."""
    tables = [with_answers(pq.read_table(run.path(LOG)).to_pandas()) for run in runs if run.has(LOG)]
    if not tables:
        return {}
    rows = pd.concat([table.astype(dict.fromkeys(LOG_TEXT, str)) for table in tables])
    rows = rows.drop_duplicates(["model", "seed", "initial_answer", "step"])
    return {str(name): rows[name].to_numpy() for name in rows}
