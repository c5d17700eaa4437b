"""What all metrics take over passes, and the shared ones over Quantus, see `bench.timing.metrics`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from bench.timing.cases import ready, scenes, small
from bench.timing.methods import ALL, CASE, IMAGES, TEN, sweep
from bench.timing.metrics import BAR, NOTHING, SHARED, Values, passes, sides
from bench.timing.side_by_side import DEVICE, compare, seconds


def test_all_metrics_of_ten_methods(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Over a forward and a backward pass for each three methods; the bar is printed, not asserted."""
    case = CASE if benchmark.enabled else small(CASE)
    prepared, images = ready(case, DEVICE), scenes(case.size, IMAGES if benchmark.enabled else case.images)
    run = passes(copy.deepcopy(prepared.swift).requires_grad_(False), images, 16, DEVICE)
    without = sweep(prepared, images, TEN, NOTHING)
    bare = sum(seconds(run) for _ in range(2)) / 2 * len(TEN) / 3
    ratio = compare(benchmark, without, sweep(prepared, images, TEN, ALL))
    extra = (ratio - 1) * seconds(without) / bare
    with capsys.disabled():
        print(f"\n{len(ALL)} metrics, ten methods: {extra:.2f} x a pass for each three methods (bar {BAR:g})")


def test_shared_metrics_against_quantus(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The values are the same; the time is printed."""
    pytest.importorskip("quantus", reason="pip install .[peers]")
    case = CASE if benchmark.enabled else small(CASE)
    given: dict[str, Values] = {}
    works = sides(case, DEVICE, given)
    ratio = compare(benchmark, works["theirs"], works["ours"], 3, warm=False)
    for name in SHARED:
        np.testing.assert_allclose(given["ours"][name], given["theirs"][name], atol=2e-3, err_msg=name)
    with capsys.disabled():
        print(f"\n{len(SHARED)} metrics of {len(given['ours']['gini'])} maps: {ratio:.4f} x Quantus")
