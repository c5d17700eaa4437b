"""Profile -> cells, the units of work; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analyses.reading.manifest import BEST
from bench.planning.cells import SCHEMA, MeasureCell, TrainCell
from bench.planning.data import Data
from bench.planning.measurement import Checkpoint, Measurement
from bench.planning.profile import BESIDE, Profile
from bench.planning.sections import Score
from segcam.methods import METHODS
from segcam.models import complete
from segcam.models.weights.pretrained import sha256_of

PACE = ("batch_size", "shard", "max_memory")
"""Keys of the section score that say how it is done, not what comes out."""
OWN = ("own_pass_images", "own_pass_targets", "own_pass_levels", "own_pass_seeds")
"""Keys of the section score about methods that take passes of their own."""


def identity(*values: Any) -> str:
    """Hash JSON-ready values into 12 hexadecimal digits, with the version of the tables."""
    text = json.dumps([SCHEMA, *values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def definition(profile: Profile, digest: str) -> dict[str, Any]:
    """Return what defines a run's trainings: where two runs differ in it, they may not share a folder.

    The bytes of pretrained weights are part of it.

    Args:
        profile: the run's profile.
        digest: hash of the data set's images, see `bench.planning.data.digest`.

    Raises:
        InputError: an unknown model or parameter, or pretrained weights that cannot be had.
    """
    values = profile.portable()
    explained = {"class_id": profile.score.class_id}  # what an untrained network answers, and what is counted
    trained = {name: profile.recipe(name).model_dump(mode="json", exclude=set(BESIDE)) for name in values["models"]}
    for recipe in trained.values():
        if recipe["initial_answer"] == "auto" and recipe["levels"] != [BEST]:
            recipe["initial_answer"] = "auto, by level"  # not what 'auto' did before: one answer for all levels
    for name, stated in profile.models.items():
        if "pretrained" in stated and (digits := sha256_of(name, parameters(profile, name))):
            trained[name]["pretrained_sha256"] = digits  # without such weights, ids are as they were without the key
    data = values["data"]
    for key, default in (("resize", "squash"), ("classes", [])):
        if data[key] == default:
            del data[key]  # so that ids are as they were without the key
    return {key: values[key] for key in ("data", "models")} | {"train": trained, "digest": digest, "score": explained}


def parameters(profile: Profile, model: str) -> dict[str, Any]:
    """Return all parameters of a model; where it is made for one size of image and none is named, for the run's.

    Raises:
        InputError: an unknown model or parameter.
    """
    stated = profile.models[model]
    values: dict[str, Any] = complete(model, stated)
    if "image_size" in values and "image_size" not in stated:
        values["image_size"] = profile.data.size
    if values.get("channels") == 3:
        del values["channels"]  # so that checkpoints and ids are as they were without the key
    return values


def training(profile: Profile, digest: str) -> list[TrainCell]:
    """List the trainings: every model with each of its seeds, teachers first."""
    defined = definition(profile, digest)
    common = [defined[key] for key in ("data", "digest", "score")]
    cells: dict[tuple[str, int], TrainCell] = {}
    for model, settings in sorted(defined["train"].items(), key=lambda item: bool(item[1]["teacher"])):
        for seed in profile.recipe(model).seeds:
            teacher = cells[settings["teacher"], seed] if settings["teacher"] else None
            recipe = {"parameters": defined["models"][model], "train": settings}
            hashed = identity(*common, model, recipe, seed, *([teacher.id] if teacher else []))
            cells[model, seed] = TrainCell(model, seed, hashed, teacher)
    return list(cells.values())


def measuring(
    profile: Profile,
    data: Data,
    trained: Mapping[TrainCell, Mapping[int, str]],
    measurements: Iterable[Measurement],
    prefix: str = "",
) -> list[MeasureCell]:
    """List the cells of measurements.

    Args:
        profile: the run's profile.
        data: the images.
        trained: for each training its reached levels, with the hash of each checkpoint's weights.
        measurements: what is measured of every checkpoint.
        prefix: what the cells' names begin with.
    """
    return [
        MeasureCell(
            *(measurement.name, train, level, cell.name, cell.rows),
            identity(train.id, level, weights, measurement.name, cell.settings, cell.name, cell.rows),
            prefix,
        )
        for measurement in measurements
        for train, levels in trained.items()
        for level, weights in sorted(levels.items())
        for cell in measurement.cells(
            *(profile, data),
            Checkpoint(train, level, level == max(levels), _place(profile, train)),
        )
    ]


def _place(profile: Profile, cell: TrainCell) -> int:
    """Return the place of a cell's seed among those of its network; one that was given has but one."""
    return 0 if cell.model in profile.networks else profile.recipe(cell.model).seeds.index(cell.seed)


def shared_methods(score: Score) -> list[str]:
    """Return the names of the methods that share their passes."""
    return [name for name in score.methods if not METHODS.get(name).own_passes]


def score_settings(score: Score, methods: Sequence[str]) -> dict[str, Any]:
    """Return what of the section score defines the maps and numbers of some methods, JSON-ready."""
    parameters = {name: values for name, values in score.parameters.items() if name in methods}
    settings = score.model_dump(mode="json", exclude={*PACE, *OWN, "classes"})  # here there is one class
    return settings | {"methods": list(methods), "parameters": parameters}
