"""What a timing says: one side against another, with its rounds and how far the results agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

from bench.timing.side_by_side import Ratio

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
        (mine.double().cpu().numpy().ravel(), other.double().cpu().numpy().ravel())
        for own, others in zip(ours, theirs, strict=True)
        for mine, other in zip(own, others, strict=True)
    ]
    seen = [(mine, other) for mine, other in pairs if mine.max() > 0 and other.max() > 0]
    apart = np.array([np.abs(mine - other).max() / other.max() for mine, other in seen] or [np.nan])
    pearson = np.array([_correlation(mine, other) for mine, other in seen] or [np.nan])
    ranks = np.array([_correlation(rankdata(mine), rankdata(other)) for mine, other in seen] or [np.nan])
    return Agreement(
        maps=len(pairs),
        blank=float(np.mean([(mine.max() > 0) != (other.max() > 0) for mine, other in pairs])),
        median=float(np.median(apart)),
        worst=float(apart.max()),
        close=float((apart <= CLOSE).mean()),
        pearson=float(np.median(pearson)),
        pearson_worst=float(pearson.min()),
        rank=float(np.median(ranks)),
        rank_worst=float(ranks.min()),
        rounding=rounding,
        in_float64=in_float64,
    )


def _correlation(a: Any, b: Any) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else 1.0  # two constants


@dataclass(frozen=True, slots=True)
class Row:
    """One ratio.

    Attributes:
        case: what was computed, as in benchmarks' ids.
        label: the same in words.
        ours: the side of segcam.
        theirs: what it is held against.
        scope: what is measured on both sides.
        quantity: time, in seconds, or memory, in bytes.
        ours_values: what ours took, a number a round; empty where it was not measured.
        theirs_values: what the other took, of the same rounds.
        ratio: ours over theirs; None where it was not measured.
        bar: the largest ratio that is wanted; None where there is none.
        same: whether both give the same result.
        agreement: how far they do; None for what is not compared.
        note: why it was not measured, or what is to be known.
    """

    case: str
    label: str
    ours: str
    theirs: str
    scope: str
    quantity: Literal["time", "memory"] = "time"
    ours_values: Sequence[float] = ()
    theirs_values: Sequence[float] = ()
    ratio: Ratio | None = None
    bar: float | None = None
    same: bool = True
    agreement: Agreement | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none, or nothing was measured."""
        return None if self.bar is None or self.ratio is None else self.ratio.median <= self.bar

    def plain(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        found = {**asdict(self), "met": self.met}
        if self.agreement is not None:
            found["agreement"]["equal"] = self.agreement.equal
        return found
