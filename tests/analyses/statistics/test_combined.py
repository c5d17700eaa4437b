from __future__ import annotations

import math

import numpy as np
import pytest

from analyses.statistics.combined import Combined, combine, means, needed, noise
from analyses.statistics.intervals import bootstrap_interval

RESAMPLES = 400


def parts(rng, number, seeds, images, of_part=0.0, truth=0.0, of_seed=0.05, blank=0.0):
    """Numbers of parts that share seeds and images; and what each part is in truth."""
    own = truth + rng.normal(0, of_part, (number, 1, 1))
    values = own + rng.normal(0, of_seed, (1, seeds, 1)) + rng.normal(0, of_seed, (number, seeds, 1))
    values = values + rng.normal(0, 0.1, (1, 1, images)) + rng.normal(0, 0.2, (number, seeds, images))
    return np.where(rng.random(values.shape) < blank, np.nan, values), own[:, 0, 0]


def test_one_part_has_the_interval_of_its_mean():
    values, _ = parts(np.random.default_rng(0), 1, 3, 40)
    found = combine(means([values[0]], 5, RESAMPLES))
    wanted = bootstrap_interval(values[0], np.random.default_rng(5), RESAMPLES)
    np.testing.assert_allclose(found[:3], [float(end) for end in wanted])
    assert found.parts.low[0] <= found.low < found.estimate


def test_the_mean_is_over_parts_each_with_the_same_weight():
    values = np.stack([np.full((2, 6), 1.0), np.full((2, 6), 3.0)])
    values[0, :, 2:] = np.nan
    found = combine(means(list(values), 0, 50))
    assert found[:3] == pytest.approx((2.0, 2.0, 2.0))


@pytest.mark.parametrize("settings", [{}, {"blank": 0.4}, {"of_part": 0.1}, {"of_part": 0.1, "blank": 0.3}])
def test_intervals_cover_what_they_are_of(settings):
    """The mean over these parts, or where they are a sample over all like them; and all parts at once."""
    rng, covered, at_once, runs = np.random.default_rng(3), 0, 0, 150
    random = "of_part" in settings
    for _ in range(runs):
        values, own = parts(rng, 6, 3, 40, truth=0.3, **settings)
        found = combine(means(list(values), int(rng.integers(2**31)), RESAMPLES), random=random)
        truth = 0.3 if random else own.mean()
        covered += found.low <= truth <= found.high
        at_once += ((found.parts.low <= own) & (own <= found.parts.high)).all()
    assert 0.89 <= covered / runs <= 1
    assert 0.89 <= at_once / runs <= 1


@pytest.mark.parametrize("random", [False, True])
def test_parts_without_any_value_have_no_mean(random):
    nothing, some = np.full((2, 5), np.nan), np.random.default_rng(0).normal(size=(2, 5))
    for values in ([nothing], [nothing, nothing], [nothing, some]):
        found = combine(means(values, 0, 20), random=random)
        assert np.isnan(found[:3]).all()
        assert needed(found) is None


def test_parts_that_are_a_sample_make_the_mean_less_sure():
    values, _ = parts(np.random.default_rng(4), 8, 3, 40, of_part=0.3)
    fixed, random = (combine(means(list(values), 0, RESAMPLES), random=of) for of in (False, True))
    assert random.high - random.low > 1.5 * (fixed.high - fixed.low)
    assert random.estimate == fixed.estimate


def test_one_part_is_no_sample_of_parts():
    values, _ = parts(np.random.default_rng(4), 1, 3, 40)
    fixed, random = (combine(means(list(values), 0, 50), random=of) for of in (False, True))
    assert random[:3] == fixed[:3]
    assert random.table.shape == fixed.table.shape == (3, 40)


def test_the_noise_is_half_the_distance_of_the_ranks_on_either_side():
    """Of 1000 resamples the quartile's rank, 249.75, is off by sqrt(1000 / 4 * 3 / 4) = 13.7."""
    ranks = np.arange(1000.0)
    assert noise(ranks, 0.5) == (263 - 236) / 2
    ranks[700:] *= 3
    assert noise(ranks, 0.5) == 3 * (763 - 736) / 2, "the larger of both ends"
    assert math.isnan(noise(np.array([1.0, math.nan])))


def test_the_noise_of_the_bounds_is_their_spread_over_generators():
    values, _ = parts(np.random.default_rng(0), 1, 3, 40)
    found = [combine(means([values[0]], state, RESAMPLES)) for state in range(40)]
    spread = max(np.std([one.low for one in found]), np.std([one.high for one in found]))
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.6)
    few, many = (noise(np.random.default_rng(0).normal(size=size)) for size in (4000, 64_000))
    assert few == pytest.approx(4 * many, rel=0.5)


def test_the_seeds_that_would_decide():
    rng = np.random.default_rng(0)
    table = rng.normal(0, 1, (5, 1)) + rng.normal(0, 0.01, (5, 40))
    found = Combined(3.0, math.nan, math.nan, None, table, 0.0)
    seeds = needed(found)
    deviation = table.mean(axis=1).std(ddof=1)
    assert seeds is not None
    assert 2 < seeds < 40
    assert needed(found._replace(estimate=9.0)) < seeds
    assert needed(found._replace(estimate=1.0 + 0.01 * deviation)) is None
    assert needed(found._replace(estimate=0.0)) > seeds, "to call it negligible takes more"
    assert needed(found._replace(table=table[:1])) is None


def test_two_resamples_have_a_noise_and_one_has_none() -> None:
    assert noise(np.array([1.0, 1.0])) == 0
    assert noise(np.array([0.0] * 9 + [5.0])) == 2.5, "the rank beyond the quantile is the last"
    assert math.isnan(noise(np.array([1.0])))
    assert math.isnan(noise(np.array([1.0, math.nan])))
