"""How far the maps of two tools agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

CLOSE = 1e-5
"""The largest difference of equal maps, as a share of the map's maximum."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far maps agree with others, over layers and images.

    A map's difference is the largest one of its cells, as a share of the other map's maximum; maps that are blank in
    both have none. Where rounding turns an activation's sign, or a sum over channels nearly cancels out, float32 leaves
    few digits to any tool: `rounding` says how far the other maps are from the same in float64.

    Attributes:
        maps: how many.
        blank: the share of maps that are blank in just one of both.
        median: the median difference.
        worst: the largest.
        close: the share of maps that differ by at most 1e-5.
        pearson: the median correlation of the cells.
        pearson_worst: the smallest.
        rank: the median rank correlation.
        rank_worst: the smallest.
        rounding: the largest difference of the other maps from the same in float64; None where it was not measured.
        in_float64: the largest difference of segcam's maps from torch-cam's, both in float64; None where it was not
            measured.
    """

    maps: int
    blank: float
    median: float
    worst: float
    close: float
    pearson: float
    pearson_worst: float
    rank: float
    rank_worst: float
    rounding: float | None = None
    in_float64: float | None = None

    @property
    def equal(self) -> bool:
        """Whether the maps are equal: within 1e-5, or within twice what rounding does to the others' own."""
        return self.blank == 0 and self.worst <= max(CLOSE, 2 * (self.rounding or 0)) and self.median <= CLOSE


def agreement(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], rounding: float | None = None, in_float64: float | None = None
) -> Agreement:
    """Compare maps, `(b, h, w)` a layer.

    Raises:
        ValueError: numbers or shapes of maps are not the same.
    """
    pairs = [
        (a.double().cpu().numpy().ravel(), b.double().cpu().numpy().ravel())
        for layer, other in zip(ours, theirs, strict=True)
        for a, b in zip(layer, other, strict=True)
    ]
    positive = [(a, b) for a, b in pairs if a.max() > 0 and b.max() > 0]
    errors = np.array([np.abs(a - b).max() / b.max() for a, b in positive] or [np.nan])
    pearson = np.array([_correlation(a, b) for a, b in positive] or [np.nan])
    ranks = np.array([_correlation(rankdata(a), rankdata(b)) for a, b in positive] or [np.nan])
    return Agreement(
        maps=len(pairs),
        blank=float(np.mean([(a.max() > 0) != (b.max() > 0) for a, b in pairs])),
        median=float(np.median(errors)),
        worst=float(errors.max()),
        close=float((errors <= CLOSE).mean()),
        pearson=float(np.median(pearson)),
        pearson_worst=float(pearson.min()),
        rank=float(np.median(ranks)),
        rank_worst=float(ranks.min()),
        rounding=rounding,
        in_float64=in_float64,
    )


def _correlation(a: Any, b: Any) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / norm) if norm > 0 else 1.0  # two constants
