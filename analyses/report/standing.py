"""The scores of a checkpoint's maps, and where each stands among those of all images."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyses.reading.cubes import Where, by_method
from analyses.reading.image_facts import facts_of
from analyses.reading.manifest import Checkpoint
from analyses.reading.results import Results
from analyses.reading.scan import Scan

Standing = tuple[list[float], list[float], list[int]]
"""Of a map: its scores, the percentile of each among all images, and how many images that are."""


@dataclass(frozen=True)
class Scored:
    """What a page shows of one checkpoint's scores: of one target and method all, of others those of some images.

    Attributes:
        metrics: the names of what was measured.
        layers: of the values.
        images: all that were scored.
        values: of the target and method, (metrics, layers, images); NaN where undefined or not there, and none where
            they have no maps.
        standings: by target, method, layer and image.
        areas: by target and image, the share of the image that is of the class.
        facts: what is known of each image beside its maps, by fact and image, see `analyses.reading.image_facts`.
    """

    metrics: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    values: NDArray[np.float32] | None = None
    standings: Mapping[tuple[str, str, str, str], Standing] = field(default_factory=dict)
    areas: Mapping[tuple[str, str], float] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results, point: Checkpoint, pair: tuple[str, str], shown: Collection[str]) -> Scored:
        """Return the scores of a checkpoint; without any where the run has none.

        Args:
            results: the run.
            point: the checkpoint.
            pair: the target and the method of which all is wanted.
            shown: the images whose maps are shown.
        """
        if not results.parts("scores"):
            return cls()
        where: Where = {"model": [point.model], "seed": [point.seed], "level": [point.level]}
        rows = Scan(results.required("scores"), where)
        metrics = tuple(metric.name for metric in results.metrics if rows.has(metric.name))
        layers, images = rows.values("layer"), rows.values("image")
        axes = {"seed": [point.seed], "image": images}
        values, standings, areas = None, dict[tuple[str, str, str, str], Standing](), dict[tuple[str, str], float]()
        for target in rows.values("target"):
            methods = rows.values("method") if shown else [pair[1]] if target == pair[0] else []
            of_target = {**where, "target": [target]}
            for method, maps in by_method(results, of_target, methods, layers, metrics, optional=["area"], axes=axes):
                of_method = np.stack([maps.values[name][:, 0] for name in metrics])
                if (target, method) == pair:
                    values = of_method
                for image in sorted(set(shown) & set(images)):
                    at = images.index(image)
                    for layer, among in zip(layers, np.moveaxis(of_method, 1, 0), strict=True):
                        standings[target, method, layer, image] = (among[:, at].tolist(), *percentiles(among, at))
                if "area" in maps.values:
                    of_images = np.fmax.reduce(maps.values["area"][:, 0], axis=0).tolist()
                    known = {(target, image): area for image, area in zip(images, of_images, strict=True)}
                    areas |= {key: area for key, area in known.items() if not math.isnan(area)}
        return cls(metrics, tuple(layers), tuple(images), values, standings, areas, facts_of(results, point))

    def of_map(self, target: str, method: str, layer: str, image: str) -> Standing:
        """Return a map's scores, the percentile of each among all images, and how many images that are.

        A percentile is the share of images below, in per cent, half of the equal ones, the map itself among them,
        counting as below. NaN where the score is undefined, or of one image alone.
        """
        nothing = [float("nan")] * len(self.metrics)
        return self.standings.get((target, method, layer, image), (nothing, nothing, [0] * len(self.metrics)))

    @property
    def iou(self) -> Mapping[str, float]:
        """IoU of each image's own prediction; NaN where neither it nor the mask shows the class."""
        return self.facts.get("iou", {})

    def area(self, target: str, image: str) -> float:
        """Return the share of an image that is of the class; NaN where it is not known."""
        return self.areas.get((target, image), float("nan"))


def percentiles(values: NDArray[np.floating[Any]], at: int) -> tuple[list[float], list[int]]:
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


def rounded(values: Sequence[float]) -> list[float]:
    """Return values in four digits that count: more are not shown."""
    return [float(f"{value:.4g}") for value in values]
