"""The entries of a run's manifest and gallery as small frozen records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BEST = 100
"""The level that stands for the checkpoint of the highest validation mean IoU."""

ATTENTION = ("before attention", "after attention")
"""The roles of layers on the attention branch of a transformer block."""

INPUT = "input"
"""The role of what stands for the input's pixels beside a network's layers."""


def level_name(level: int, reached: Sequence[float] = ()) -> str:
    """Return a level in words; the best one with the mean IoUs `reached` by its checkpoints, where they are given.

    >>> level_name(30), level_name(100), level_name(100, [0.934]), level_name(100, [0.934, 0.912])
    ('30 %', 'best', 'best, 93.4 %', 'best, 91.2 to 93.4 %')
    """
    if level != BEST:
        return f"{level} %"
    ends = [f"{100 * end(reached):.1f}" for end in (min, max)] if reached else []
    return ", ".join(["best", *([f"{' to '.join(dict.fromkeys(ends))} %"] if ends else [])])


@dataclass(frozen=True)
class Layer:
    """A probed layer of a model; `point` is where its output is taken (`conv`: the convolution's own output)."""

    name: str
    label: str
    stage: int
    depth: int
    role: str
    point: str

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Layer:
        """Read a layer from its entry in the manifest."""
        name = str(entry["layer"])
        return cls(
            name=name,
            label=str(entry.get("label") or name),
            stage=int(entry.get("stage") or 0),
            depth=int(entry["depth"]),
            role=str(entry.get("role") or ""),
            point=str(entry.get("point") or ""),
        )


@dataclass(frozen=True)
class Metric:
    """A score's name, wording, chance value (a number, `"area"`: the mask's share of the image, or none) and bounds."""

    name: str
    label: str
    unit: str
    direction: str | None
    chance: float | str | None
    lower: float = -math.inf
    upper: float = math.inf

    @classmethod
    def read(cls, name: str, entry: Mapping[str, Any]) -> Metric:
        """Read a metric from its entry in the manifest."""
        return cls(
            name=name,
            label=str(entry.get("label") or name),
            unit=str(entry.get("unit") or ""),
            direction=entry.get("direction"),
            chance=entry.get("chance"),
            lower=-math.inf if entry.get("lower") is None else float(entry["lower"]),
            upper=math.inf if entry.get("upper") is None else float(entry["upper"]),
        )

    def within(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values cut off at the metric's bounds: intervals widened for few seeds may reach beyond them."""
        cut: NDArray[np.float64] = np.clip(values, self.lower, self.upper)
        return cut


@dataclass(frozen=True)
class Checkpoint:
    """One level of one training run. The values of a level that was not reached are NaN, but for the best seen."""

    model: str
    seed: int
    level: int
    reached: bool
    step: int | None
    images_seen: int | None
    miou: float
    best_miou: float
    nearest_miou: float
    baseline_miou: float
    tolerance: float
    predicted_share: float
    iou: Mapping[str, float]

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Checkpoint:
        """Read a checkpoint from its entry in the manifest; what belongs to an unreached level is left out."""
        reached = bool(entry["reached"])
        kept = entry if reached else {}
        return cls(
            model=str(entry["model"]),
            seed=int(entry["seed"]),
            level=int(entry["level"]),
            reached=reached,
            step=_whole(kept.get("step")),
            images_seen=_whole(kept.get("images_seen")),
            miou=_number(kept.get("miou")),
            best_miou=_number(entry.get("best_miou")),
            nearest_miou=_number(entry.get("nearest_miou", entry.get("best_miou"))),
            baseline_miou=_number(entry.get("baseline_miou")),
            tolerance=_number(entry.get("tolerance")),
            predicted_share=_number(kept.get("predicted_share")),
            iou={str(name): _number(value) for name, value in (kept.get("iou") or {}).items()},
        )


@dataclass(frozen=True)
class Gallery:
    """The kept maps of one checkpoint; `images` is None where the profile forbids showing photographs."""

    ids: tuple[str, ...]
    images: NDArray[np.uint8] | None
    masks: NDArray[np.uint8]
    arrays: Mapping[str, NDArray[Any]]

    def index(self, image: str) -> int | None:
        """Return the row of `image`, or None where it is not in this gallery."""
        return self.ids.index(image) if image in self.ids else None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
