"""Compares what two ways take: both run in every round, and the ratio is the median over rounds.

A machine that is busy for a while slows both, so that ratios hold where seconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch

from bench.timing.agreement import Agreement

Work = Callable[[], Any]
Cost = Callable[[], float]
"""Runs something, and returns what it took: seconds or bytes."""


class Timed:
    """The seconds of one call, the device's queue included.

    Attributes:
        result: what the last call returned.
    """

    result: Any = None

    def __init__(self, work: Work, device: torch.device) -> None:
        self._work = work
        self._synchronise: Work = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    def __call__(self) -> float:
        """Run it once."""
        self._synchronise()
        started = time.perf_counter()
        self.result = self._work()
        self._synchronise()
        return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of a comparison, ready to run.

    Attributes:
        ours: what segcam takes.
        theirs: what it is held against.
        agreement: how far the results of the last round agree; None where they are not compared.
    """

    ours: Cost
    theirs: Cost
    agreement: Callable[[], Agreement] | None = None


class Repeat(Protocol):
    """Calls `setup` and then `target`, `rounds` times; `benchmark.pedantic` of pytest-benchmark is one."""

    def __call__(self, target: Callable[[], None], *, setup: Callable[[], None], rounds: int) -> object:
        """Run all rounds."""


def repeat(target: Callable[[], None], *, setup: Callable[[], None], rounds: int) -> None:
    """Call `setup` and then `target`, `rounds` times."""
    for _ in range(rounds):
        setup()
        target()


class Ratio(NamedTuple):
    """Median and quartiles of the rounds' ratios."""

    median: float
    low: float
    high: float
    rounds: int


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return ours over theirs, round by round.

    >>> ratio([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    Ratio(median=1.0, low=0.75, high=1.25, rounds=3)
    """
    low, median, high = np.quantile(np.divide(ours, theirs), (0.25, 0.5, 0.75)).tolist()
    return Ratio(median, low, high, len(ours))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One ratio.

    Attributes:
        case: what is computed, as in benchmarks' ids.
        label: the same in words.
        ours: the side of segcam.
        theirs: what it is held against.
        scope: what is measured on both sides.
        prepare: returns both sides, ready to run.
        rounds: how many; with more than two, both sides run once before, which is not counted.
        quantity: time, in seconds, or memory, in bytes.
        bar: the largest ratio that is wanted; None where there is none.
        same: whether both give the same result.
        note: what is to be known.
        unable: why it cannot be measured here; '' where it can.
    """

    case: str
    label: str
    ours: str
    theirs: str
    scope: str
    prepare: Callable[[], Sides]
    rounds: int = 1
    quantity: Literal["time", "memory"] = "time"
    bar: float | None = None
    same: bool = True
    note: str = ""
    unable: str = ""

    def __str__(self) -> str:
        """Return the benchmark's id."""
        return f"{self.case}:{self.ours}:{self.theirs}"

    def unmeasured(self) -> dict[str, Any]:
        """Return the row of `timing.json` without numbers."""
        names = ("case", "label", "ours", "theirs", "scope", "quantity", "bar", "same")
        row = {name: getattr(self, name) for name in names}
        empty: dict[str, Any] = {"ours_values": [], "theirs_values": [], "ratio": None, "met": None, "agreement": None}
        return {**row, **empty, "note": self.unable or self.note}

    def measure(self, sides: Sides, repeat: Repeat = repeat) -> dict[str, Any]:
        """Run both sides in turns.

        Args:
            sides: what `prepare` returned.
            repeat: runs the rounds.

        Returns:
            The row of `timing.json`.
        """
        if self.rounds > 2:
            sides.theirs()
            sides.ours()
        ours: list[float] = []
        theirs: list[float] = []
        repeat(lambda: ours.append(sides.ours()), setup=lambda: theirs.append(sides.theirs()), rounds=self.rounds)
        measured = ratio(ours, theirs)
        agreement = sides.agreement() if sides.agreement else None
        return {
            **self.unmeasured(),
            "ours_values": ours,
            "theirs_values": theirs,
            "ratio": measured._asdict(),
            "met": None if self.bar is None else measured.median <= self.bar,
            "agreement": agreement and {**asdict(agreement), "equal": agreement.equal},
        }
