"""Every interval of every published table holds its estimate, and lies within what its quantity can be."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.published.ranges import outside

RESULTS = Path(__file__).parents[2] / "results"
TABLES = sorted(RESULTS.glob("*/tables/*.csv"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_intervals_lie_within_what_their_quantities_can_be(path: Path) -> None:
    assert outside(path.parents[1], path.stem, pd.read_csv(path)) == []


def test_intervals_that_do_not_are_found() -> None:
    frame = pd.DataFrame({"area": [0.5, 0.5, 0.5, 1.0], "area_low": [0.4, -0.1, 0.6, 0.9], "area_high": [1, 1, 1, 1.1]})
    assert outside(RESULTS, "performance_profiles", frame) == [
        "area 0.5 [-0.1, 1.0]",
        "area 0.5 [0.6, 1.0]",
        "area 1.0 [0.9, 1.1]",
    ]
    assert outside(RESULTS, "another", frame) == ["another: say in POSSIBLE what its quantities can be"]
