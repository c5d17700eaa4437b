"""Grad-CAM of all layers: segcam against torch-cam, captum and pytorch-grad-cam.

Same network (ReLU out of place, so that all tools are right), same batch, target, layers and output; the maps are held
against each other beside the time. What is in the timed region is part of each id. Without `--benchmark-enable` the
networks and images are small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bench.timing.cases import CASES, Case, ready, small
from bench.timing.measure import compared_maps, in_float64, keeping, unable
from bench.timing.peers import PAIRS, SIDES, Maps, Pair
from bench.timing.side_by_side import DEVICE, compare


@dataclass(frozen=True)
class Timing:
    """A pair of sides on a case."""

    case: Case
    pair: Pair

    @property
    def rounds(self) -> int:
        """How many rounds are timed."""
        return self.case.slow_rounds if SIDES[self.pair.theirs].slow else self.case.rounds

    def __str__(self) -> str:
        """Return the benchmark's id: case, what is timed, both sides."""
        scope = SIDES[self.pair.ours].scope.replace(", ", "+").replace(" ", "-")
        return f"{self.case.name}:{scope}:{self.pair.ours}:{self.pair.theirs}"


TIMINGS = [timing for case in CASES for pair in PAIRS if (timing := Timing(case, pair)).rounds]


@pytest.mark.parametrize("timing", TIMINGS, ids=str)
def test_maps_of_all_layers(benchmark: Any, timing: Timing, capsys: pytest.CaptureFixture[str]) -> None:
    """The bars are printed, not asserted: machines are noisy. That the maps are the same is asserted."""
    pair, case = timing.pair, timing.case if benchmark.enabled else small(timing.case)
    ours, theirs = SIDES[pair.ours], SIDES[pair.theirs]
    reason = unable(ours, DEVICE) or unable(theirs, DEVICE)
    if reason:
        pytest.skip(reason)
    prepared = ready(case, DEVICE)
    given: dict[str, Maps] = {}
    other, own = (keeping(side.name, prepared, given) for side in (theirs, ours))
    ratio = compare(benchmark, other, own, timing.rounds, warm=not theirs.slow)
    said = "" if pair.bar is None else f" (bar {pair.bar:g})"
    if pair.same:
        found = compared_maps(pair, given, in_float64(prepared))
        benchmark.extra_info |= {
            "map_error": [found.median, found.worst],
            "pearson": [found.pearson, found.pearson_worst],
        }
        said += f"; maps differ by {found.median:.1e}, at worst {found.worst:.1e} of their maximum"
        if ours.exact:
            assert found.equal
            assert found.in_float64 is None or found.in_float64 < 1e-9
        else:
            assert found.pearson > 0.9  # bf16 has less than three digits
    with capsys.disabled():
        print(f"\n{case.name}: {ours.name} takes {ratio:.2f} x {theirs.name}{said}")
