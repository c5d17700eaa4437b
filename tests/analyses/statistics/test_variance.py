from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analyses.reading.arrays import nan_mean
from analyses.statistics.intervals import half_width
from analyses.statistics.variance import linearised, sureness, variance_with

BY_HAND = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 12.0]])
"""Mean 4, seeds 2 and 6, images 1, 3 and 8: squares 24 (df 1), 52 (df 2) and 12 (df 2)."""


def test_the_variance_of_a_table_by_hand():
    found = sureness(BY_HAND)
    seed, image, rest = 24.0, 26.0, 6.0
    total = seed + image - rest
    assert found.variance == pytest.approx(total / 6)
    assert found.freedom == pytest.approx(total**2 / (seed**2 / 1 + image**2 / 2 + rest**2 / 2))
    assert found.half_width() == pytest.approx(stats.t.ppf(0.975, float(found.freedom)) * math.sqrt(total / 6))
    assert half_width(BY_HAND) == pytest.approx(float(found.half_width()))


def test_no_mean_square_counts_below_that_of_the_rest():
    """Rows with one mean: seeds do not differ, and the rest alone tells how sure their mean is."""
    table = np.array([[1.0, 2.0, 3.0, 6.0], [6.0, 3.0, 2.0, 1.0]])
    found = sureness(table)
    left = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    rest, image = (left**2).sum() / 3, 2 * ((table.mean(0) - 3) ** 2).sum() / 3
    assert image < rest
    assert found.variance == pytest.approx(rest / 8)
    assert half_width(table) == pytest.approx(float(found.half_width()))


def test_degrees_of_freedom_are_at_least_those_of_the_fewest():
    seeds = np.array([0.1, 0.4, 0.9])
    table = np.repeat(seeds[:, None], 400, axis=1)
    assert sureness(table).freedom == pytest.approx(2)
    assert sureness(table).half_width() == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(seeds))
    assert sureness(np.full((3, 5), 0.25)).half_width() == 0


def test_a_factor_with_one_value_is_none():
    values = np.random.default_rng(0).normal(size=12)
    one = sureness(values[None])
    assert one.half_width() == pytest.approx(stats.t.ppf(0.975, 11) * stats.sem(values))
    assert sureness(values[None, :, None]).half_width() == pytest.approx(float(one.half_width()))
    for nothing in ([[1.0]], np.empty((0, 4)), np.empty((2, 0, 3))):
        assert math.isnan(float(sureness(nothing).variance))


def crossed(rng, sizes, deviations):
    """A table of crossed factors: main effects and a rest."""
    table = rng.normal(0, deviations[-1], sizes)
    for axis, deviation in enumerate(deviations[:-1]):
        shape = [1] * len(sizes)
        shape[axis] = sizes[axis]
        table = table + rng.normal(0, deviation, shape)
    return table


def test_the_variance_of_three_crossed_factors_is_that_of_their_mean():
    rng, sizes, deviations = np.random.default_rng(1), (6, 4, 20), (0.3, 0.2, 0.5, 0.4)
    truth = 0.3**2 / 6 + 0.2**2 / 4 + 0.5**2 / 20 + 0.4**2 / 480
    tables = [crossed(rng, sizes, deviations) for _ in range(300)]
    assert np.mean([sureness(table).variance for table in tables]) == pytest.approx(truth, rel=0.1)
    assert np.var([table.mean() for table in tables]) == pytest.approx(truth, rel=0.2)
    more = np.mean([variance_with(table, 1, 12) for table in tables])
    assert more == pytest.approx(truth - 0.2**2 / 4 + 0.2**2 / 12, rel=0.1)
    assert math.isnan(variance_with(tables[0][:, :1], 1, 12)), "of one training nobody knows how trainings differ"


def test_a_table_with_gaps_has_the_mean_of_what_is_there_and_varies_as_that_does():
    rng, means, halves = np.random.default_rng(2), [], []
    for _ in range(400):
        table = 0.4 + rng.normal(0, 0.3, (4, 1)) + rng.normal(0, 0.5, (1, 30)) + rng.normal(0, 0.4, (4, 30))
        table[rng.random((4, 30)) < rng.random((1, 30))] = np.nan  # some images are blank more often
        means.append(float(np.nanmean(table)))
        full = linearised(table)
        assert np.nanmean(full) == pytest.approx(means[-1])
        halves.append(float(half_width(table)))
    covered = np.mean([abs(mean - 0.4) <= half for mean, half in zip(means, halves, strict=True)])
    assert 0.91 <= covered <= 0.985


def test_rows_without_any_value_are_no_part_of_the_mean():
    holed = np.concatenate([BY_HAND, np.full((1, 3), np.nan)])
    holed = np.concatenate([holed, np.full((3, 1), np.nan)], axis=1)
    assert half_width(holed) == pytest.approx(float(half_width(BY_HAND)))
    np.testing.assert_array_equal(linearised(holed)[:2, :3], BY_HAND)
    assert np.isnan(linearised(holed)[2]).all()
    one = np.array([[1.0, np.nan], [3.0, 2.0]])
    np.testing.assert_allclose(nan_mean(linearised(one).ravel()), 2.0)


def test_nothing_is_known_of_a_table_with_a_gap():
    found = sureness(np.array([[1.0, 2.0, math.nan], [2.0, 4.0, 5.0]]))
    assert math.isnan(found.variance)
    assert math.isnan(found.freedom)
