"""The scores of a checkpoint's maps, and where each stands among those of all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses.reading.arrays import Floats, distinct, fill, overlaps
from analyses.reading.manifest import Checkpoint
from analyses.reading.results import Results

_KEYS = ("target", "method", "layer", "image")


@dataclass(frozen=True)
class Scored:
    """The scores of one checkpoint on the same axes, whatever was measured of fewer images.

    Attributes:
        metrics: the names of what was measured.
        axes: the names of targets, methods, layers and images.
        values: (metrics, targets, methods, layers, images); NaN where undefined or not there.
        areas: (targets, images), the share of the image that is of the class.
        iou: of each image's own prediction, by image; NaN where neither it nor the mask shows the class.
    """

    metrics: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    values: Floats
    areas: Floats
    iou: dict[str, float]

    @classmethod
    def of(cls, results: Results, point: Checkpoint) -> Scored:
        """Return the scores of a checkpoint; without any where the run has none."""
        if not results.parts("scores"):
            empty: tuple[tuple[str, ...], ...] = ((), (), (), ())
            return cls((), empty, np.zeros((0, 0, 0, 0, 0)), np.zeros((0, 0)), {})
        where: dict[str, Any] = {"model": [point.model], "seed": [point.seed], "level": [point.level]}
        frame = results.scores(where)
        metrics = tuple(metric.name for metric in results.metrics if metric.name in frame)
        axes = {key: distinct(frame[key]) for key in _KEYS}
        columns = [*metrics, *(["area"] if "area" in frame else [])]
        values, _ = fill(frame, axes, columns)
        areas = np.full((len(axes["target"]), len(axes["image"])), np.nan)
        if "area" in columns and frame.size:
            with np.errstate(all="ignore"):
                areas = np.fmax.reduce(np.fmax.reduce(values[-1], axis=1), axis=1)
        names = tuple(tuple(axes[key]) for key in _KEYS)
        return cls(metrics, names, values[: len(metrics)], areas, _iou(results, point))

    def of_map(self, target: str, method: str, layer: str, image: str) -> tuple[list[float], list[float], list[int]]:
        """Return a map's scores, the percentile of each among all images, and how many images that are.

        A percentile is the share of images below, in per cent, half of the equal ones, the map itself among them,
        counting as below. NaN where the score is undefined, or of one image alone.
        """
        nothing = [float("nan")] * len(self.metrics)
        try:
            at = tuple(names.index(name) for names, name in zip(self.axes, (target, method, layer, image), strict=True))
        except ValueError:
            return nothing, nothing, [0] * len(self.metrics)
        among = self.values[:, at[0], at[1], at[2], :]
        return (among[:, at[3]].tolist(), *percentiles(among, at[3]))

    def area(self, target: str, image: str) -> float:
        """Return the share of an image that is of the class; NaN where it is not known."""
        targets, images = self.axes[0], self.axes[3]
        known = target in targets and image in images
        return float(self.areas[targets.index(target), images.index(image)]) if known else float("nan")


def percentiles(values: Floats, at: int) -> tuple[list[float], list[int]]:
    """Return the percentile of one column in each row, and how many values that row has.

    Args:
        values: (rows, columns), NaN where there is none.
        at: the column.

    >>> percentiles(np.array([[1.0, 2.0, 2.0, np.nan], [5.0, np.nan, np.nan, np.nan]]), 1)
    ([66.66666666666667, nan], [3, 1])
    """
    one = values[:, at, None]
    count = np.isfinite(values).sum(axis=1)
    below = (values < one).sum(axis=1) + (values == one).sum(axis=1) / 2
    shares = np.where(np.isfinite(one[:, 0]) & (count > 1), 100 * below / np.maximum(count, 1), np.nan)
    return shares.tolist(), count.tolist()


def _iou(results: Results, point: Checkpoint) -> dict[str, float]:
    """Return how well the checkpoint's own prediction agrees with each image's mask; none where it is not known."""
    if not results.targets or not results.parts("predictions"):
        return {}
    frame = results.predictions()
    frame = frame[(frame["model"] == point.model) & (frame["seed"] == point.seed) & (frame["level"] == point.level)]
    both, predicted, true = overlaps(frame, results.foreground(results.targets[0]), len(results.classes))
    union: pd.Series = predicted + true - both
    shares: NDArray[np.float64] = (both / union.where(union > 0)).to_numpy(dtype=np.float64)
    return dict(zip(frame["image"].astype(str), shares.tolist(), strict=True))


def rounded(values: Sequence[float]) -> list[float]:
    """Return values in four digits that count: more are not shown."""
    return [float(f"{value:.4g}") for value in values]
