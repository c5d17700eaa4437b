"""What the crossed bootstrap takes at the size of the whole data set; printed, not asserted: machines differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyses.statistics.bootstrap import bootstrap_mean

BAR = 60.0
"""Seconds on two cores that the design allows."""
SHAPE, RESAMPLES = (72, 3, 3669), 10_000
SMALL = (4, 3, 50)


def test_crossed_bootstrap(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 resamples of 3 seeds x 3,669 images x 72 cells, a twentieth of the maps undefined."""
    shape, resamples = (SHAPE, RESAMPLES) if benchmark.enabled else (SMALL, 100)
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=shape)
    matrix[rng.random(shape) < 0.05] = np.nan
    interval = benchmark.pedantic(bootstrap_mean, (matrix, np.random.default_rng(1), resamples), rounds=1)
    assert (interval.low < interval.estimate).all()
    assert (interval.estimate < interval.high).all()
    if benchmark.enabled:
        with capsys.disabled():
            taken = benchmark.stats.stats.min
            print(f"\n{resamples:,} resamples of {' x '.join(map(str, shape))}: {taken:.1f} s (bar {BAR:g} s)")
