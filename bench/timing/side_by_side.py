"""Times several ways to one result against each other, round by round.

Sides take turns within a round, so that a machine that is busy for a while slows all of them; what is told is the
median of the rounds' ratios, with its quartiles. Nothing here needs pytest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import torch

Work = Callable[[], object]

ROUNDS = 5
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long one side took against another: median and quartiles of the ratios of the rounds that both ran."""

    median: float
    low: float
    high: float
    rounds: int


def seconds(work: Work, device: torch.device = DEVICE) -> float:
    """Time one call, the device's queue included."""
    _synchronise(device)
    started = time.perf_counter()
    work()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(
    sides: Mapping[str, Work],
    rounds: Mapping[str, int],
    device: torch.device = DEVICE,
    advance: Callable[[str], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Time all sides in turns.

    Args:
        sides: what is timed, by name.
        rounds: how many rounds each takes part in, always the first ones: slow sides may do with fewer. A side of more
            than two runs once before, which is not counted; the others are slow enough for that not to matter.
        device: where the work runs.
        advance: called with a side's name after each of its calls.

    Returns:
        The seconds of each side's rounds.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for name, work in sides.items():
        if rounds[name] > 2:
            work()
            advance(name)
    for turn in range(max(rounds[name] for name in sides)):
        for name, work in sides.items():
            if turn < rounds[name]:
                found[name].append(seconds(work, device))
                advance(name)
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return ours over theirs, by the rounds that both ran.

    Raises:
        ValueError: there is no such round.

    >>> ratio([1.0, 2.0, 3.0], [2.0, 2.0, 2.0, 9.0])
    Ratio(median=1.0, low=0.75, high=1.25, rounds=3)
    """
    found = [a / b for a, b in zip(ours, theirs, strict=False)]
    if not found:
        raise ValueError("no round was run by both sides")
    low, _, high = quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    return Ratio(median(found), low, high, len(found))


def compare(benchmark: Any, theirs: Work, ours: Work, rounds: int = ROUNDS, *, warm: bool = True) -> float:
    """Run both in turn, give ours to the benchmark, and return the median ratio of neighbouring runs.

    Args:
        benchmark: pytest-benchmark's fixture; ratio, quartiles and device go into its `extra_info`.
        theirs: what ours is measured against.
        ours: what is timed.
        rounds: how many; one where benchmarks are disabled.
        warm: whether both run once before, which is not counted.
    """
    other: list[float] = []
    own: list[float] = []
    if warm:
        theirs(), ours()

    def before() -> None:
        other.append(seconds(theirs))

    def timed() -> None:
        own.append(seconds(ours))

    benchmark.pedantic(timed, setup=before, rounds=rounds if benchmark.enabled else 1)
    found = ratio(own, other)
    benchmark.extra_info |= {
        "ratio": found.median,
        "quartiles": [found.low, found.high],
        "ratios": [a / b for a, b in zip(own, other, strict=True)],
        "device": DEVICE.type,
    }
    return found.median
