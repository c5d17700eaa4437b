"""Ten gradient methods with metrics over one sweep of Grad-CAM, see `bench.timing.methods`; the bar is 1.6."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.timing.cases import ready, scenes, small
from bench.timing.methods import ALL, BAR, CASE, IMAGES, ROUNDS, SEVEN, sweeps
from bench.timing.side_by_side import DEVICE, compare


@pytest.mark.parametrize("metrics", [SEVEN, ALL], ids=lambda names: f"{len(names)}-metrics")
def test_ten_methods(benchmark: Any, capsys: pytest.CaptureFixture[str], metrics: tuple[str, ...]) -> None:
    """All layers, all images of a batch; the bar is printed, not asserted."""
    case = CASE if benchmark.enabled else replace(small(CASE), images=4)
    images = scenes(case.size, IMAGES if benchmark.enabled else case.images)
    works = sweeps(ready(case, DEVICE), images)
    more = "" if metrics == SEVEN else ", all metrics"
    given: dict[str, Any] = {}

    def ten() -> None:
        given["ten"] = works[f"ten methods{more}"]()

    def one() -> None:
        given["one"] = works[f"Grad-CAM{more}"]()

    ratio = compare(benchmark, one, ten, ROUNDS)
    many, few = (given[name][0] for name in ("ten", "one"))
    assert len(many["image"]) == 10 * len(few["image"])
    assert set(metrics) <= many.keys()
    own = many["method"] == "grad_cam"
    assert many["energy_inside"][own] == pytest.approx(few["energy_inside"], rel=1e-4, nan_ok=True)
    with capsys.disabled():
        print(f"\nten methods, {len(metrics)} metrics: {ratio:.2f} x Grad-CAM with the same (bar {BAR} for seven)")
