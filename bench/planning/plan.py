"""Profile -> cells, the units of work; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.planning.cells import COSTLY, SCHEMA, ResolutionCell, ScoreCell, StudyCell, TrainCell
from bench.planning.profile import BESIDE, Profile
from segcam.methods import METHODS
from segcam.models import complete

AT_ONCE = 2
"""Images in a cell of methods that may take half a minute for one: little is lost where a run is interrupted."""


def identity(*parts: Any) -> str:
    """Hash JSON-ready values into 12 hexadecimal digits, with the version of the tables."""
    text = json.dumps([SCHEMA, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def definition(profile: Profile, digest: str) -> dict[str, Any]:
    """Return what defines a run's trainings: where two runs differ in it, they may not share a folder.

    Args:
        profile: the run's profile.
        digest: hash of the data set's images, see `bench.planning.data.digest`.
    """
    chosen = profile.portable()
    explained = {"class_id": profile.score.class_id}  # what an untrained network answers, and what is counted
    trained = {name: profile.recipe(name).model_dump(mode="json", exclude=set(BESIDE)) for name in chosen["models"]}
    return {key: chosen[key] for key in ("data", "models")} | {"train": trained, "digest": digest, "score": explained}


def parameters(profile: Profile, model: str) -> dict[str, Any]:
    """Return all parameters of a model; where it is made for one size of image and none is named, for the run's.

    Raises:
        InputError: an unknown model or parameter.
    """
    stated = profile.models[model]
    chosen: dict[str, Any] = complete(model, stated)
    if "image_size" in chosen and "image_size" not in stated:
        chosen["image_size"] = profile.data.size
    return chosen


def training(profile: Profile, digest: str) -> list[TrainCell]:
    """List the trainings: every model with each of its seeds, teachers first."""
    whole = definition(profile, digest)
    common = [whole[key] for key in ("data", "digest", "score")]
    cells: dict[tuple[str, int], TrainCell] = {}
    for model, settings in sorted(whole["train"].items(), key=lambda item: bool(item[1]["teacher"])):
        for seed in profile.recipe(model).seeds:
            teacher = cells[settings["teacher"], seed] if settings["teacher"] else None
            own = {"parameters": whole["models"][model], "train": settings}
            hashed = identity(*common, model, own, seed, *([teacher.id] if teacher else []))
            cells[model, seed] = TrainCell(model, seed, hashed, teacher)
    return list(cells.values())


def scoring(
    profile: Profile,
    trained: Mapping[TrainCell, Mapping[int, str]],
    images: int,
    gallery: Sequence[int],
    attentive: Collection[str] = (),
    costly: Sequence[int] = (),
) -> list[ScoreCell]:
    """List the scorings: every checkpoint on every shard of the test images, the gallery's images and the costly ones.

    Args:
        profile: the run's profile.
        trained: for each training its reached levels, with the hash of each checkpoint's weights.
        images: number of test images.
        gallery: indices of the gallery's test images.
        attentive: the models whose attention is measured.
        costly: indices of the test images for methods that take passes of their own.
    """
    shared, apart = _shared(profile), _apart(profile)
    paired = len(profile.score.targets) > 1 and any(METHODS.get(m).kind == "gradient" for m in shared["methods"])
    parts = [(f"{n:03d}", rows, shared) for n, rows in enumerate(_cut(range(images), profile.score.shard))]
    parts += [("gallery", tuple(gallery), shared)]
    if apart["methods"]:
        parts += [(f"{COSTLY}{n:03d}", rows, apart) for n, rows in enumerate(_cut(costly, AT_ONCE))]
    return [
        ScoreCell(
            cell,
            level,
            part,
            rows,
            identity(cell.id, level, weights, settings, part, rows),
            attention=cell.model in attentive,
            agreement=paired,
        )
        for cell, levels in trained.items()
        for level, weights in sorted(levels.items())
        for part, rows, settings in parts
        if not part.startswith(COSTLY) or _asked(profile, cell, profile.score.costly_seeds)
        if not part.startswith(COSTLY) or level == max(levels) or profile.score.costly_levels == "all"
    ]


def _asked(profile: Profile, cell: TrainCell, seeds: str) -> bool:
    return seeds == "all" or cell.seed == profile.recipe(cell.model).seeds[0]


def _cut(rows: Sequence[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(rows[at : at + size]) for at in range(0, len(rows), size)]


def _shared(profile: Profile) -> dict[str, Any]:
    """Return what defines the rows of methods that share the passes."""
    left_out = {"batch_size", "shard", "costly_images", "costly_targets", "costly_levels", "costly_seeds"}
    settings = profile.score.model_dump(mode="json", exclude=left_out)
    return settings | _of_methods(settings, [name for name in settings["methods"] if not METHODS.get(name).costly])


def _apart(profile: Profile) -> dict[str, Any]:
    """Return what defines the rows of methods that take passes of their own, and of the controls beside them."""
    settings = profile.score.model_dump(
        mode="json", include={"class_id", "methods", "metrics", "points", "parameters", "counter"}
    )
    methods = [METHODS.get(name) for name in settings["methods"]]
    costly = [method for method in methods if method.costly]
    of_input = any(method.scope == "input" for method in costly)
    beside = [method for method in methods if method.control is not None and of_input]
    chosen = [method.name for method in (*costly, *beside)]
    return settings | {"targets": list(profile.score.costly())} | _of_methods(settings, chosen)


def _of_methods(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {"methods": list(names), "parameters": {n: v for n, v in settings["parameters"].items() if n in names}}


def resolutions(profile: Profile, trained: Mapping[TrainCell, Mapping[int, str]]) -> list[ResolutionCell]:
    """List the tests at other sizes: the highest level of every training at every size.

    Args:
        profile: the run's profile.
        trained: for each training its reached levels, with the hash of each checkpoint's weights.
    """
    cells = []
    sizes = profile.resolution.sizes(profile.data.size)
    for factor, size in zip(profile.resolution.factors, sizes, strict=True):  # so that a size's images are opened once
        for cell, levels in trained.items():
            if levels:
                level = max(levels)
                hashed = identity(cell.id, level, levels[level], "resolution", factor, size)
                cells.append(ResolutionCell(cell, level, factor, size, hashed))
    return cells


def studies(
    profile: Profile,
    trained: Mapping[TrainCell, Mapping[int, str]],
    name: str,
    tables: Sequence[str],
    rows: Sequence[int],
) -> list[StudyCell]:
    """List the cells of a study: every checkpoint that it looks at, with a few of its images each.

    Args:
        profile: the run's profile.
        trained: for each training its reached levels, with the hash of each checkpoint's weights.
        name: the study's, which is its section's.
        tables: the tables that it writes.
        rows: indices of its test images.
    """
    section = profile.model_dump(mode="json")[name]
    levels, size = section["levels"], section["at_once"]
    own = {key: value for key, value in section.items() if key not in ("levels", "training_seeds", "at_once", "images")}
    score = profile.score.model_dump(mode="json", include={"class_id", "targets", "methods", "points", "parameters"})
    return [
        StudyCell(
            *(name, tuple(tables), cell, level, number, part),
            identity(cell.id, level, weights, name, own, score, part),
        )
        for cell, reached in trained.items()
        for level, weights in sorted(reached.items())
        for number, part in enumerate(_cut(rows, size))
        if _asked(profile, cell, section["training_seeds"]) and (level == max(reached) or levels == "all")
    ]


def gallery(areas: npt.NDArray[np.float64], ids: Sequence[str], count: int) -> tuple[tuple[int, ...], str]:
    """Choose a few images, such as those that figures show, before any network is seen, and state the rule.

    Args:
        areas: foreground share of each test image, 0..1.
        ids: their names.
        count: how many to choose; none for 0, without a rule.
    """
    count = min(count, len(ids))
    if not count:
        return (), ""
    quantiles = (np.arange(count) + 0.5) / count
    left = sorted(range(len(ids)), key=lambda i: ids[i])
    chosen = []
    for wanted in np.quantile(areas, quantiles):
        nearest = min(left, key=lambda i: abs(float(areas[i]) - float(wanted)))
        left.remove(nearest)
        chosen.append(nearest)
    named = ", ".join(f"{100 * q:.0f}" for q in quantiles)
    many = (
        "images whose shares of foreground pixels are nearest to the percentiles"
        if count > 1
        else ("image whose share of foreground pixels is nearest to the percentile")
    )
    return tuple(chosen), f"the test {many} {named} of the test split, chosen before any network was trained"
