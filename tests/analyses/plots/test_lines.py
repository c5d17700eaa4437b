from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analyses.plots import lines


@pytest.mark.parametrize("values", [[], [0.5], [0.1, 0.1, 0.1], [1.0, 0.0, 0.99, 0.5]])
def test_names_are_spread_apart_in_order(values):
    places = lines.spread(values, 0.1, 0.0, 1.0)
    assert len(places) == len(values)
    ordered = sorted(places)
    assert all(b - a >= 0.1 - 1e-12 for a, b in pairwise(ordered))
    assert all(-1e-12 <= place <= 1 + 1e-12 for place in places)
    assert list(np.argsort(places, kind="stable")) == list(np.argsort(values, kind="stable"))
