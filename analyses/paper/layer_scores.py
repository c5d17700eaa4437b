"""Scores of whole layers over all scored images: what Figures 1 to 3 say beyond the one image that they show."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analyses.plots.map_tiles import number
from analyses.reading.catalogue import FEWEST
from analyses.reading.choices import paper_target
from analyses.reading.manifest import Checkpoint, Layer
from analyses.reading.results import Results
from analyses.statistics.bootstrap import RESAMPLES, SEED
from analyses.statistics.decisions import side
from analyses.statistics.intervals import bootstrap_interval

SAME = 0.005
"""Differences below it round to nothing in the two decimals that are printed."""


class OverImages(NamedTuple):
    """A score over images: its median and quartiles, its mean, and its values by image."""

    median: float
    low: float
    high: float
    mean: float
    values: pd.Series


def layer_scores(results: Results, point: Checkpoint, layers: Sequence[Layer], metric: str) -> dict[str, OverImages]:
    """Return a checkpoint's scores over images by layer, of the main method and the paper's target.

    Layers of which fewer than `FEWEST` maps have a value are left out; so are all where the metric was not measured.
    """
    if not results.parts("scores") or metric not in results.manifest.metrics:
        return {}
    where: dict[str, Collection[Any]] = {
        "model": [point.model],
        "level": [point.level],
        "seed": [point.seed],
        "target": [paper_target(results)],
        "method": [results.main_method],
        "layer": [layer.name for layer in layers],
    }
    frame = results.scores(where, ["layer", "image"], [metric])
    if metric not in frame:
        return {}
    frame = frame[frame[metric].notna()]
    scores = {}
    for name, rows in frame.groupby(frame["layer"].astype(str)):
        values = pd.Series(rows[metric].to_numpy(dtype=np.float64), pd.Index(rows["image"].astype(str)))
        if len(values) >= FEWEST:
            median, low, high = (float(one) for one in np.quantile(values, [0.5, 0.25, 0.75]))
            scores[str(name)] = OverImages(median, low, high, float(values.mean()), values)
    return scores


class Change(NamedTuple):
    """Two means of a score over the images that have both, and the interval of their difference.

    Attributes:
        start: the first mean.
        end: the second.
        images: how many have both.
        sign: of the difference, +1 or -1 where its 95 % interval leaves out zero; else 0.
    """

    start: float
    end: float
    images: int
    sign: int

    def __str__(self) -> str:
        """Say how the score goes.

        >>> print(Change(0.12, 0.31, 20, 1)), print(Change(0.301, 0.302, 20, 1)), print(Change(0.12, 0.31, 20, 0))
        rises from 0.12 to 0.31 (mean of 20 images)
        stays at 0.30 (mean of 20 images)
        does not surely change (0.12, then 0.31; mean of 20 images)
        (None, None, None)
        """
        start, end = number(self.start), number(self.end)
        if math.fabs(self.end - self.start) < SAME:
            return f"stays at {start} (mean of {self.images} images)"
        if not self.sign:
            return f"does not surely change ({start}, then {end}; mean of {self.images} images)"
        return f"{'rises' if self.sign > 0 else 'falls'} from {start} to {end} (mean of {self.images} images)"


SURE = (
    "In the title the mean of a score over images rises, falls, or is higher where the 95 % interval of its "
    "difference, over resamples of the images, leaves out zero."
)


def change(before: OverImages | None, after: OverImages | None) -> Change | None:
    """Return how the mean of a score goes from one layer or level to another; None with fewer than `FEWEST` images."""
    if before is None or after is None:
        return None
    both = pd.concat([before.values, after.values], axis=1, join="inner")
    if len(both) < FEWEST:
        return None
    start, end = map(float, both.mean())
    differences = (both.iloc[:, 1] - both.iloc[:, 0]).to_numpy()
    interval = bootstrap_interval(differences[None], np.random.default_rng(SEED), RESAMPLES)
    return Change(start, end, len(both), side(interval).item())
