"""Profile -> cells, the units of work; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.config import RUN_WIDE, Profile
from bench.store import SCHEMA
from segcam.methods import METHODS
from segcam.models import complete

COSTLY = "costly-"
AT_ONCE = 2
"""Images in a cell of methods that may take half a minute for one: little is lost where a run is interrupted."""


@dataclass(frozen=True, slots=True)
class TrainCell:
    """One network trained with one seed.

    Attributes:
        model: name of the architecture.
        seed: training seed.
        id: hash of what defines the result.
        teacher: the training whose network is its teacher, if it has one.
    """

    model: str
    seed: int
    id: str
    teacher: TrainCell | None = None

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.model.replace(':', '-')}-s{self.seed}"

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished, and how it ended."""
        return f"cells/train-{self.name}-{self.id}.json"

    @property
    def state(self) -> str:
        """Return the file of the state from which training goes on."""
        return f"cells/train-{self.name}-{self.id}.safetensors"

    def checkpoint(self, level: int) -> str:
        """Return the file of a level's checkpoint."""
        return f"checkpoints/{self.name}-l{level}.safetensors"


@dataclass(frozen=True, slots=True)
class ScoreCell:
    """One checkpoint on one shard of the test images, on the gallery's images, or on a few of the costly methods'.

    Attributes:
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        part: 'gallery', the shard's number, or 'costly-' with a number.
        rows: indices of its test images.
        id: hash of what defines the result.
        attention: whether the attention of the network is measured as well.
        agreement: whether the maps of several targets are compared.
    """

    train: TrainCell
    level: int
    part: str
    rows: tuple[int, ...]
    id: str
    attention: bool = False
    agreement: bool = False

    @property
    def costly(self) -> bool:
        """Return whether it is of methods that take passes of their own."""
        return self.part.startswith(COSTLY)

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.train.name}-l{self.level}" + ("" if self.part == "gallery" else f"-{self.part}")

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished."""
        kind = "gallery" if self.part == "gallery" else "score"
        return f"cells/{kind}-{self.name}-{self.id}.json"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the files that it makes."""
        if self.part == "gallery":
            return (f"gallery/{self.name}.npz",)
        if self.costly:
            return (f"scores/{self.name}.parquet",)
        tables = ["scores", "predictions"]
        tables += [name for name, made in (("attention", self.attention), ("agreement", self.agreement)) if made]
        return tuple(f"{table}/{self.name}.parquet" for table in tables)


@dataclass(frozen=True, slots=True)
class ResolutionCell:
    """One checkpoint on the test images at one size.

    Attributes:
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        factor: the size as a multiple of the training size.
        size: side of the images, in pixels.
        id: hash of what defines the result.
    """

    train: TrainCell
    level: int
    factor: float
    size: int
    id: str

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.train.name}-l{self.level}-{self.size}px"

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished."""
        return f"cells/resolution-{self.name}-{self.id}.json"

    @property
    def output(self) -> str:
        """Return the table that it makes."""
        return f"resolution/{self.name}.parquet"


def identity(*parts: Any) -> str:
    """Hash JSON-ready values into 12 hexadecimal digits, with the version of the tables."""
    text = json.dumps([SCHEMA, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def definition(profile: Profile, digest: str) -> dict[str, Any]:
    """Return what defines a run's trainings: where two runs differ in it, they may not share a folder.

    Args:
        profile: the run's profile.
        digest: hash of the data set's images, see `bench.data.digest`.
    """
    chosen = profile.portable()
    explained = {"class_id": profile.score.class_id}  # what an untrained network answers, and what is counted
    trained = {name: profile.recipe(name).model_dump(mode="json", exclude=set(RUN_WIDE)) for name in chosen["models"]}
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
    """List the trainings: every model with every seed, teachers first."""
    whole = definition(profile, digest)
    common = [whole[key] for key in ("data", "digest", "score")]
    cells: dict[tuple[str, int], TrainCell] = {}
    for model, settings in sorted(whole["train"].items(), key=lambda item: bool(item[1]["teacher"])):
        for seed in profile.train.seeds:
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
        if level == max(levels) or profile.score.costly_levels == "all" or not part.startswith(COSTLY)
    ]


def _cut(rows: Sequence[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(rows[at : at + size]) for at in range(0, len(rows), size)]


def _shared(profile: Profile) -> dict[str, Any]:
    """Return what defines the rows of methods that share the passes."""
    left_out = {"batch_size", "shard", "costly_images", "costly_targets", "costly_levels"}
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
