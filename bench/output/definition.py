"""Parts of a study: whether they are of one definition, and the manifest of all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from analyses.reading.manifest import Cell, Checkpoint, File, Gap, Manifest, OwnPasses, Planned
from bench.output.store import MANIFEST, Store
from bench.planning.differences import differences
from bench.planning.sections import most_seeds
from segcam.errors import InputError

MERGED = ("models", "networks", "recipes")
"""Sections of a profile that are one table a model."""
OF_MODELS = ("models", "train", "networks")
"""Sections of a definition that are one table a model."""
SAME = ("dataset", "border", "scored_images", "gallery", "own_passes", "targets", "methods", "metrics", "studies")
"""Sections of a manifest in which parts of one definition agree."""
OWN_SEEDS = "own_pass_seeds"
"""The key of a profile's section score by which methods with passes of their own are made of few seeds."""
Value = TypeVar("Value")


def finished(part: Store) -> Manifest:
    """Return the manifest of a run or publication that is finished.

    Raises:
        InputError: it is not, or there is no such run.
    """
    if not part.has(MANIFEST):
        raise InputError(f"{part.out} holds no run: name folders of runs")
    manifest = part.manifest()
    if manifest.kind:
        raise InputError(f"{part.out} holds a run of the stage {manifest.kind}: name the folder of a run itself")
    done = Counter(of_training(name) for name in manifest.cells)
    planned = manifest.planned
    if done[True] < planned.train or planned.score is None or done[False] < planned.score:
        raise InputError(
            f"{part.out} is not finished ({done[True]} of {planned.train} trainings, {done[False]} of "
            f"{'?' if planned.score is None else planned.score} cells): run all there first"
        )
    cure = "fetch or publish it again" if manifest.published else "run all there again"
    for name, file in (manifest.files or {}).items():
        if not part.intact(name, file):
            raise InputError(f"{part.path(name)} is missing or was changed: {cure}")
    return manifest


def same(parts: Sequence[Store], manifests: Sequence[Manifest]) -> None:
    """See that parts are of one definition.

    Raises:
        InputError: two are not; names the first keys, and both values.
    """
    for (part, one), (other, two) in pairwise(zip(parts, manifests, strict=True)):
        found = differences(_common(one), _common(two))
        for section in ("models", "layers"):
            first, second = getattr(one, section), getattr(two, section)
            both = sorted(first.keys() & second.keys())
            found += [(f"{section}.{name}", "one", "another") for name in both if first[name] != second[name]]
        for section in OF_MODELS:
            first, second = one.definition.get(section, {}), two.definition.get(section, {})
            both = sorted(first.keys() & second.keys())
            found += [found for name in both for found in differences({name: first[name]}, {name: second[name]})]
        if found:
            shown = ", ".join(f"{key} ({first} there, {second} here)" for key, first, second in found[:5])
            raise InputError(
                f"{part.out} and {other.out} are not of one definition: {shown}; runs that are merged differ in "
                "models, networks and seeds alone"
            )


def _common(manifest: Manifest) -> dict[str, Any]:
    """Return all in which parts of one definition agree; how many seeds have own passes is no part of that."""
    document = manifest.model_dump(mode="json", include={*SAME, "views"})
    for one in (document, *document["views"]):
        one["own_passes"].pop("seeds", None)
    profile = without(manifest.profile, *MERGED, "figures", "summary", "name")
    sections = {"train": "seeds", "score": OWN_SEEDS}
    profile |= {section: without(profile.get(section, {}), key) for section, key in sections.items()}
    return {**document, "profile": profile, "definition": without(manifest.definition, *OF_MODELS)}


def whole(
    manifests: Sequence[Manifest],
    cells: Mapping[str, Cell],
    files: Mapping[str, File],
    skipped: tuple[Gap, ...],
) -> Manifest:
    """Return the manifest of all parts.

    Args:
        manifests: those of the parts.
        cells: that are in it.
        files: that it lists.
        skipped: the maps that there are not.
    """
    first = manifests[0]
    models = union(one.models for one in manifests)
    place = {name: i for i, name in enumerate(models)}
    entries = {(one.model, one.seed, one.level): one for manifest in manifests for one in manifest.checkpoints}
    checkpoints: list[Checkpoint] = sorted(entries.values(), key=lambda one: (place[one.model], one.seed, one.level))
    scored = sum(not of_training(name) for name in cells)
    registrations = {one.registration for one in manifests}
    attention = first.attention.model_copy(update={"blocks": union(one.attention.blocks for one in manifests)})
    of_models = {key: union(one.definition.get(key, {}) for one in manifests) for key in OF_MODELS}
    of_all = profile([one.profile for one in manifests])
    sections: dict[str, Any] = {
        "profile": of_all,
        "own_passes": _of_seeds(first.own_passes, of_all),
        "models": models,
        "layers": union(one.layers for one in manifests),
        "definition": {**first.definition, **{key: table for key, table in of_models.items() if table}},
        "attention": attention,
        "checkpoints": tuple(checkpoints),
        "skipped": skipped,
        "cells": dict(cells),
        "planned": Planned(train=len(cells) - scored, score=scored),
        "registration": registrations.pop() if len(registrations) == 1 else "",
        "files": dict(files),
    }
    if first.views:
        views = [view.model_copy(update={"own_passes": _of_seeds(view.own_passes, of_all)}) for view in first.views]
        sections["views"] = tuple(views)
    return first.model_copy(update=sections)


def _of_seeds(passes: OwnPasses, of_all: Mapping[str, Any]) -> OwnPasses:
    """Return a manifest's section of own passes with the seeds that a profile says; without methods it has none."""
    return passes.model_copy(update={"seeds": of_all["score"][OWN_SEEDS]}) if passes.seeds else passes


def profile(profiles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the profile whose run the whole is."""
    first = dict(profiles[0])
    merged = {key: union(one.get(key, {}) for one in profiles) for key in MERGED if key in first}
    if "recipes" in merged:
        of_parts = [one.get("recipes", {}) for one in profiles]
        merged["recipes"] = {
            name: recipe | _seeds([one.get(name, {}) for one in of_parts]) for name, recipe in merged["recipes"].items()
        }
    train = {**first.get("train", {}), **_seeds([one.get("train", {}) for one in profiles])}
    named = [one["score"][OWN_SEEDS] for one in profiles if OWN_SEEDS in one.get("score", {})]
    score = {"score": {**first["score"], OWN_SEEDS: most_seeds(named)}} if named else {}
    return first | merged | score | ({"train": train} if train else {})


def _seeds(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the seeds of all parts; nothing where none names any."""
    named = [table["seeds"] for table in tables if table.get("seeds")]
    return {"seeds": sorted({seed for seeds in named for seed in seeds})} if named else {}


def notes(parts: Sequence[Store], manifests: Sequence[Manifest]) -> list[str]:
    """Return what differs between parts of one definition, and who reads the whole should know."""
    lines = []
    for (part, one), (other, two) in pairwise(zip(parts, manifests, strict=True)):
        for what in ("versions", "hardware"):
            found = differences(getattr(one, what), getattr(two, what))
            if found:
                shown = ", ".join(f"{key} {first} and {second}" for key, first, second in found[:5])
                lines.append(f"{what} of {part.out} and {other.out} differ: {shown}")
        first, second = (each.profile.get("score", {}).get(OWN_SEEDS) for each in (one, two))
        if first != second:
            lines.append(f"seeds with own passes of {part.out} and {other.out} differ: {first} and {second}")
        if one.registration != two.registration:
            lines.append(f"{part.out} and {other.out} were begun under other registrations: verdicts are exploratory")
    return lines


def of_training(name: str) -> bool:
    """Return whether a cell is a training, by its name."""
    return Path(name).name.startswith("train-")


def union(tables: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    """Return what is in any table; the later one has it where several do."""
    return {key: value for table in tables for key, value in table.items()}


def without(table: Mapping[str, Value], *keys: str) -> dict[str, Value]:
    """Return a table without some keys."""
    return {key: value for key, value in table.items() if key not in keys}
