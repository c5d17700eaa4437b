"""The metrics that Quantus has as well: ours over theirs, on the same maps."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.timing.cases import Case, scenes
from bench.timing.compare import Comparison, Sides, Timed
from bench.timing.peers import INSTALL, load
from segcam.metrics import METRICS, measure
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

SHARED = {
    "energy_inside": "RelevanceMassAccuracy",
    "pointing_game": "PointingGame",
    "gini": "Sparseness",
    "spread": "Complexity",
}
"""Quantus' names by ours; its complexity is the entropy itself, ours is over that of noise."""

MAPS = 10
"""Maps of each image."""

Values = dict[str, npt.NDArray[np.float64]]
"""The values of each metric, `(images * maps,)`."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Maps of noise at the images' resolution, and the masks they are held against.

    Attributes:
        maps: each has its pixels' ranks in random order: Quantus takes the first of tied maxima, ours all of them.
        scenery: the masks; the border, which Quantus does not know, is background.
    """

    maps: Float[Tensor, "b m h w"]
    scenery: Scenery

    @classmethod
    def of(cls, case: Case, device: torch.device) -> Noise:
        """Draw maps for a case's images."""
        images = scenes(case.size, case.images)
        scenery = Scenery.of(Batch.of([images[i] for i in range(case.images)], device), 1)
        ranks = np.tile(np.arange(1.0, case.size**2 + 1) / case.size**2, (case.images * MAPS, 1))
        noise = np.random.default_rng(0).permuted(ranks, axis=1).reshape(case.images, MAPS, case.size, case.size)
        foreground = scenery.foreground
        scenery = Scenery(scenery.luminance, foreground, ~foreground, scenery.ids)
        return cls(torch.from_numpy(noise).float().to(device), scenery)

    def ours(self) -> Values:
        """Measure with segcam."""
        scenery = self.scenery
        fresh = Scenery(scenery.luminance, scenery.foreground, scenery.background, scenery.ids)  # nothing is cached
        reference = fresh.on((self.maps.shape[2], self.maps.shape[3]))
        values = measure(self.maps, reference, [METRICS.get(name) for name in SHARED])
        return {name: column.double().cpu().numpy().ravel() for name, column in values.items()}

    def theirs(self) -> Values:
        """Measure with Quantus."""
        quantus: Any = load("quantus")
        maps = self.maps.double().cpu().numpy().reshape(-1, 1, *self.maps.shape[2:])
        masks = self.scenery.foreground.cpu().numpy().repeat(MAPS, 0)[:, None].astype(float)
        images, labels = np.zeros((len(maps), 3, *maps.shape[2:]), np.float32), np.ones(len(maps), int)
        values = {}
        for name, other in SHARED.items():
            metric = getattr(quantus, other)(disable_warnings=True, display_progressbar=False)
            column = metric(model=nn.Identity(), x_batch=images, y_batch=labels, a_batch=maps, s_batch=masks)
            values[name] = np.asarray(column, dtype=float).ravel()
        values["spread"] /= math.log(maps[0].size)
        return values


def comparison(case: Case, device: torch.device) -> Comparison:
    """Compare the metrics that both have."""

    def prepare() -> Sides:
        noise = Noise.of(case, device)
        load("quantus")  # which takes seconds
        return Sides(Timed(noise.ours, device), Timed(noise.theirs, device))

    return Comparison(
        case=f"{case.name}-metrics",
        label=f"Metrics: {case.images * MAPS} maps of {case.size} px",
        ours="segcam",
        theirs="Quantus",
        scope=f"{', '.join(SHARED)} of maps at the images' resolution",
        prepare=prepare,
        rounds=3,
        unable="" if importlib.util.find_spec("quantus") else f"not installed: {INSTALL}",
    )
