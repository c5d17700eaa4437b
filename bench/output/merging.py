"""Joins runs of machines that share no disk, where they are of one definition and differ in models or seeds alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow.parquet as pq

from analyses.reading.files import LOG
from analyses.reading.manifest import Checkpoint, Gap, Manifest, Planned
from bench.output.store import MANIFEST, Store, digest
from bench.planning.differences import differences
from bench.planning.records import MeasureRecord
from segcam.errors import InputError

MERGED = ("models", "networks", "recipes")
"""Sections of a profile that are one table a model."""
OF_SEED = re.compile(r"(?P<kind>[^-]+)-(?P<model>.+)-s(?P<seed>\d+)[-.]")
"""Names of records: what was done, of which model and seed."""
SAME = ("dataset", "border", "scored_images", "gallery", "own_passes", "targets", "methods", "metrics", "studies")
"""Sections of a manifest in which runs of one definition agree."""
Value = TypeVar("Value")


def merge(runs: Sequence[Store], to: Store) -> list[str]:
    """Write a run that holds the cells of several; a report draws it as any other.

    Args:
        runs: two or more finished runs.
        to: an empty folder.

    Returns:
        What differs and changes nothing but digits, a line each: versions, hardware, registrations.

    Raises:
        InputError: a run is not finished, is published, or of another definition; or two hold a cell with other
            contents. Nothing is written then.
    """
    if len(runs) < 2:
        raise InputError("merge needs two or more folders of runs")
    manifests = [_finished(run) for run in runs]
    for (run, one), (other, two) in pairwise(zip(runs, manifests, strict=True)):
        _same(run, one, other, two)
    if to.has(MANIFEST) or to.names("cells"):
        raise InputError(f"{to.out} holds a run: choose an empty folder with --out")
    profile = _profile([one.profile for one in manifests])
    beyond = _beyond(runs, profile)
    contents = {name: data for name, data in _files(runs).items() if name not in beyond}
    merged = _manifest(runs, manifests, profile, beyond)
    files = dict(merged.files or {})
    for name, path in contents.items():
        to.write(name, path.read_bytes())
    if log := _log(runs):
        files[LOG] = to.write_table(LOG, log, keys=("model", "training_data"))
        merged = merged.model_copy(update={"files": files})
    to.write(MANIFEST, merged.written())  # last, so that half a merged run is none
    studied = sum(name.startswith("cells/") for name in beyond)
    left = f"left out: {studied} cells of studies that are made with the first seed alone"
    return [*_notes(runs, manifests), *([left] if studied else ())]


def _finished(run: Store) -> Manifest:
    """Return the manifest of a run that is finished.

    Raises:
        InputError: it is not, or there is no such run.
    """
    if not run.has(MANIFEST):
        raise InputError(f"{run.out} holds no run: name folders of runs")
    manifest = run.manifest()
    if manifest.kind or manifest.published:
        what = "is published, without its cells" if manifest.published else f"holds a run of the stage {manifest.kind}"
        raise InputError(f"{run.out} {what}: name the folder of a run itself")
    done = Counter(Path(name).name.startswith("train-") for name in manifest.cells)
    planned = manifest.planned
    if done[True] < planned.train or planned.score is None or done[False] < planned.score:
        raise InputError(
            f"{run.out} is not finished ({done[True]} of {planned.train} trainings, {done[False]} of "
            f"{'?' if planned.score is None else planned.score} cells): run all there first"
        )
    for name, file in (manifest.files or {}).items():
        if not run.intact(name, file):
            raise InputError(f"{run.path(name)} is missing or was changed: run all there again")
    return manifest


def _same(run: Store, one: Manifest, other: Store, two: Manifest) -> None:
    """See that two runs are of one definition.

    Raises:
        InputError: they are not; names the first keys, and both values.
    """
    found = differences(_common(one), _common(two))
    for section in ("models", "layers"):
        first, second = getattr(one, section), getattr(two, section)
        both = sorted(first.keys() & second.keys())
        found += [(f"{section}.{name}", "one", "another") for name in both if first[name] != second[name]]
    if found:
        shown = ", ".join(f"{key} ({first} there, {second} here)" for key, first, second in found[:5])
        raise InputError(
            f"{run.out} and {other.out} are not of one definition: {shown}; runs that are merged differ in models, "
            "networks and seeds alone"
        )


def _common(manifest: Manifest) -> dict[str, Any]:
    """Return all in which runs of one definition agree."""
    document = manifest.model_dump(mode="json", include={*SAME, "views"})
    profile = _without(manifest.profile, *MERGED, "figures", "summary", "name")
    train = _without(profile.get("train", {}), "seeds")
    definition = _without(manifest.definition, "models", "train", "networks")
    return {**document, "profile": {**profile, "train": train}, "definition": definition}


def _without(table: Mapping[str, Value], *keys: str) -> dict[str, Value]:
    return {key: value for key, value in table.items() if key not in keys}


def _beyond(runs: Sequence[Store], profile: Mapping[str, Any]) -> set[str]:
    """Return the files of studies that a run makes with a model's first seed alone, of other seeds."""
    seeds: dict[str, set[int]] = {}
    found: list[tuple[str, int, set[str]]] = []
    for run in runs:
        for name in run.names("cells"):
            place = OF_SEED.match(Path(name).name)
            if place is None or not name.endswith(".json"):
                continue
            seeds.setdefault(place["model"], set()).add(int(place["seed"]))
            section = profile.get(place["kind"], {}).get("training_seeds", "")
            own = profile["score"].get("own_pass_seeds", "") if place["kind"] == "own_passes" else ""
            if "first" in (section, own):
                made = run.read(MeasureRecord, name).files
                found.append((place["model"], int(place["seed"]), {name, *made}))
    return {name for model, seed, names in found if seed != min(seeds[model]) for name in names}


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
                raise InputError(
                    f"{before} and {path} differ, though they are of one cell: one machine's numbers are not the "
                    "other's; take a model or seed out of one of the runs, and run all there again"
                )
    return found


def _alike(one: Path, other: Path) -> bool:
    """Return whether two files of one name say the same; the time that a cell took is no part of that."""
    if digest(one.read_bytes()) == digest(other.read_bytes()):
        return True
    if one.suffix != ".json" or one.name.startswith("train-"):
        return False
    first, second = (MeasureRecord.read(path) for path in (one, other))
    return first.model_copy(update={"seconds": second.seconds}) == second


def _log(runs: Sequence[Store]) -> dict[str, Any]:
    """Return the columns of the log of all trainings; none where nothing was trained."""
    tables = [pq.read_table(run.path(LOG)).to_pandas() for run in runs if run.has(LOG)]
    if not tables:
        return {}
    text = ["model", "training_data"]
    rows = pd.concat([table.astype(dict.fromkeys(text, str)) for table in tables])
    rows = rows.drop_duplicates(["model", "seed", "step"])
    return {str(name): rows[name].to_numpy() for name in rows}


def _manifest(
    runs: Sequence[Store], manifests: Sequence[Manifest], profile: dict[str, Any], beyond: Collection[str]
) -> Manifest:
    first = manifests[0]
    models = _union(one.models for one in manifests)
    place = {name: i for i, name in enumerate(models)}
    entries = {(one.model, one.seed, one.level): one for manifest in manifests for one in manifest.checkpoints}
    checkpoints: list[Checkpoint] = sorted(entries.values(), key=lambda one: (place[one.model], one.seed, one.level))
    cells = _without(_union(one.cells for one in manifests), *beyond)
    files = _without(_union(one.files or {} for one in manifests), *beyond)
    scored = sum(not Path(name).name.startswith("train-") for name in cells)
    registrations = {one.registration for one in manifests}
    attention = first.attention.model_copy(update={"blocks": _union(one.attention.blocks for one in manifests)})
    sections = {
        "profile": profile,
        "models": models,
        "layers": _union(one.layers for one in manifests),
        "definition": {
            **first.definition,
            **{key: _union(one.definition.get(key, {}) for one in manifests) for key in ("models", "train")},
        },
        "attention": attention,
        "checkpoints": tuple(checkpoints),
        "skipped": _skipped(runs, manifests, cells),
        "cells": cells,
        "planned": Planned(train=len(cells) - scored, score=scored),
        "registration": registrations.pop() if len(registrations) == 1 else "",
        "files": files,
    }
    return first.model_copy(update=sections)


def _profile(profiles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the profile whose run the merged one is."""
    first = dict(profiles[0])
    merged = {key: _union(one.get(key, {}) for one in profiles) for key in MERGED if key in first}
    seeds = sorted({seed for one in profiles for seed in one.get("train", {}).get("seeds", ())})
    train = {**first.get("train", {}), "seeds": seeds} if "train" in first else {}
    return first | merged | ({"train": train} if train else {})


def _skipped(runs: Sequence[Store], manifests: Sequence[Manifest], cells: Iterable[str]) -> tuple[Gap, ...]:
    """Return every map that there is not, and in how many cells; a cell of several runs counts once."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for manifest in manifests:  # what no cell tells of, in their order
        counts.update({(gap.model, gap.layer, gap.method, gap.reason): 0 for gap in manifest.skipped})
    for name in cells:
        run = next(run for run in runs if run.has(name))
        if not Path(name).name.startswith("train-"):
            record = run.read(MeasureRecord, name)
            counts.update((record.model, gap.layer, gap.method, gap.reason) for gap in record.skipped)
    return tuple(
        Gap(model=model, layer=layer, method=method, reason=reason, cells=number)
        for (model, layer, method, reason), number in counts.items()
    )


def _union(tables: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {key: value for table in tables for key, value in table.items()}


def _notes(runs: Sequence[Store], manifests: Sequence[Manifest]) -> list[str]:
    """Return what differs between runs of one definition, and who reads the merged one should know."""
    notes = []
    for (run, one), (other, two) in pairwise(zip(runs, manifests, strict=True)):
        for what in ("versions", "hardware"):
            found = differences(getattr(one, what), getattr(two, what))
            if found:
                shown = ", ".join(f"{key} {first} and {second}" for key, first, second in found[:5])
                notes.append(f"{what} of {run.out} and {other.out} differ: {shown}")
        if one.registration != two.registration:
            notes.append(f"{run.out} and {other.out} were begun under other registrations: verdicts are exploratory")
    return notes
