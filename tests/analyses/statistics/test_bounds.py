"""What a quantity can be, and intervals within it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyses.reading.manifest import Metric
from analyses.statistics import bounds
from analyses.statistics.bounds import ANY, CORRELATION, SHARE, Bounds
from analyses.statistics.combined import Estimate, combine, means


def test_ends_are_cut_at_the_bounds_and_moved_out_to_the_estimate():
    low, high = SHARE.cut([0.9, 0.2, 0.5, math.nan], [-0.2, 0.3, math.nan, math.nan], [1.4, 0.4, 0.7, math.nan])
    np.testing.assert_array_equal(low, [0.0, 0.2, math.nan, math.nan])
    np.testing.assert_array_equal(high, [1.0, 0.4, 0.7, math.nan])
    assert ANY.cut(0.0, -3.0, 5.0) == (-3.0, 5.0)


@pytest.mark.parametrize(
    ("quantity", "weights", "wanted"),
    [
        (SHARE, [1, -1], (-1, 1)),
        (SHARE, [1, -1, -1, 1], (-2, 2)),
        (CORRELATION, [-0.5], (-0.5, 0.5)),
        (Bounds(upper=1.0), [1, -1], (-math.inf, math.inf)),
        (Bounds(upper=1.0), [-2], (-2, math.inf)),
        (Bounds(2.0, 3.0), [0.5, 0.5], (2, 3)),
    ],
)
def test_a_weighted_sum_lies_between_its_extremes(quantity, weights, wanted):
    found = quantity.weighted(weights)
    assert tuple(found) == wanted


def test_bounds_of_several_quantities_broadcast_to_their_estimates():
    metrics = [
        Metric(name="a", label="", direction=None, lower=0.0, upper=1.0),
        Metric(name="b", label="", direction=None, upper=1.0),
    ]
    own = bounds.of(metrics, 1)
    both = bounds.stacked([own, own.weighted([1, -1])])
    low, high = both.cut(np.zeros((2, 2, 3)), np.full((2, 2, 3), -5.0), np.full((2, 2, 3), 5.0))
    np.testing.assert_array_equal(low[:, :, 0], [[0, -5], [-1, -5]])
    np.testing.assert_array_equal(high[:, :, 2], [[1, 1], [1, 5]])


def test_the_mean_of_parts_and_each_part_keep_to_their_bounds():
    rng = np.random.default_rng(0)
    values = [np.clip(rng.normal(mean, 0.3, (3, 8)) + rng.normal(0, 0.5, (3, 1)), 0, 1) for mean in (0.1, 0.95)]
    estimates = means(values, 0, 300)
    free, bound = combine(estimates), combine([part._replace(bounds=SHARE) for part in estimates])
    assert min(free.parts.low) < 0
    assert max(free.parts.high) > 1
    assert min(bound.parts.low) == 0
    assert max(bound.parts.high) == 1
    narrow = combine([part._replace(bounds=Bounds(part.value - 0.01, part.value + 0.02)) for part in estimates])
    assert (narrow.low, narrow.high) == pytest.approx((free.estimate - 0.01, free.estimate + 0.02))
    assert isinstance(estimates[0], Estimate)
