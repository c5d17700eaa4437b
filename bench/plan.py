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
from segcam.models import complete


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
    """One checkpoint on one shard of the test images, or on the gallery's images.

    Attributes:
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        part: 'gallery', or the shard's number.
        rows: indices of its test images.
        id: hash of what defines the result.
        attention: whether the attention of the network is measured as well.
    """

    train: TrainCell
    level: int
    part: str
    rows: tuple[int, ...]
    id: str
    attention: bool = False

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
        tables = ("scores", "predictions", *(("attention",) if self.attention else ()))
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
) -> list[ScoreCell]:
    """List the scorings: every checkpoint on every shard of the test images, and on the gallery's images.

    Args:
        profile: the run's profile.
        trained: for each training its reached levels, with the hash of each checkpoint's weights.
        images: number of test images.
        gallery: indices of the gallery's test images.
        attentive: the models whose attention is measured.
    """
    settings = profile.score.model_dump(mode="json", exclude={"batch_size", "shard"})
    size = profile.score.shard
    shards = [(f"{n:03d}", tuple(range(at, min(at + size, images)))) for n, at in enumerate(range(0, images, size))]
    return [
        ScoreCell(
            cell,
            level,
            part,
            rows,
            identity(cell.id, level, weights, settings, part, rows),
            attention=cell.model in attentive,
        )
        for cell, levels in trained.items()
        for level, weights in sorted(levels.items())
        for part, rows in [*shards, ("gallery", tuple(gallery))]
    ]


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
    """Choose the images that figures show, before any network is seen, and state the rule.

    Args:
        areas: foreground share of each test image, 0..1.
        ids: their names.
        count: how many to choose.
    """
    count = min(count, len(ids))
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
