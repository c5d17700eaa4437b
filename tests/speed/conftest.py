"""Comparisons as benchmarks: the numbers go to pytest-benchmark, and a line to the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.timing.compare import Comparison, Sides

Measure = Callable[[Comparison], tuple[dict[str, Any], Sides]]


@pytest.fixture
def measure(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> Measure:
    """Return what makes a comparison: its row and both sides, which hold their results.

    Ratios and bars are printed, not asserted: machines are noisy.
    """

    def run(comparison: Comparison) -> tuple[dict[str, Any], Sides]:
        if comparison.unable:
            pytest.skip(comparison.unable)
        sides = comparison.prepare()
        row = comparison.measure(sides, benchmark.pedantic)
        benchmark.extra_info |= row
        bar = "" if row["bar"] is None else f" (bar {row['bar']:g})"
        error = f"; maps differ by {row['agreement']['worst']:.1e} at worst" if row["agreement"] else ""
        with capsys.disabled():
            print(f"\n{row['label']}: {row['ours']} takes {row['ratio']['median']:.3g} x {row['theirs']}{bar}{error}")
        return row, sides

    return run
