"""Profile -> cells, the units of work; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.config import Profile
from bench.store import SCHEMA


@dataclass(frozen=True, slots=True)
class TrainCell:
    """One network trained with one seed.

    Attributes:
        model: name of the architecture.
        seed: training seed.
        id: hash of what defines the result.
    """

    model: str
    seed: int
    id: str

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
    """

    train: TrainCell
    level: int
    part: str
    rows: tuple[int, ...]
    id: str

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
        return f"scores/{self.name}.parquet", f"predictions/{self.name}.parquet"


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
    for key in ("save_every", "seeds"):  # neither changes what one training gives
        chosen["train"].pop(key)
    explained = {"class_id": profile.score.class_id}  # what an untrained network answers, and what is counted
    return {key: chosen[key] for key in ("data", "models", "train")} | {"digest": digest, "score": explained}


def training(profile: Profile, digest: str) -> list[TrainCell]:
    """List the trainings: every model with every seed."""
    whole = definition(profile, digest)
    return [
        TrainCell(model, seed, identity(whole["data"], digest, model, parameters, whole["train"], whole["score"], seed))
        for model, parameters in profile.models.items()
        for seed in profile.train.seeds
    ]


def scoring(
    profile: Profile, trained: Mapping[TrainCell, Mapping[int, str]], images: int, gallery: Sequence[int]
) -> list[ScoreCell]:
    """List the scorings: every checkpoint on every shard of the test images, and on the gallery's images.

    Args:
        profile: the run's profile.
        trained: for each training its reached levels, with the hash of each checkpoint's weights.
        images: number of test images.
        gallery: indices of the gallery's test images.
    """
    settings = profile.score.model_dump(mode="json", exclude={"batch_size", "shard"})
    size = profile.score.shard
    shards = [(f"{n:03d}", tuple(range(at, min(at + size, images)))) for n, at in enumerate(range(0, images, size))]
    return [
        ScoreCell(cell, level, part, rows, identity(cell.id, level, weights, settings, part, rows))
        for cell, levels in trained.items()
        for level, weights in sorted(levels.items())
        for part, rows in [*shards, ("gallery", tuple(gallery))]
    ]


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
