"""Rank correlations over images and seeds, against slow loops and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyses.statistics.bootstrap import CONFIDENCE, SEED, crossed_draws, percentiles
from analyses.statistics.bounds import CORRELATION
from analyses.statistics.correlation import FEWEST, correlations
from analyses.statistics.intervals import widened
from analyses.statistics.jackknife import GROUPS
from tests.reference.statistics import crossed_spearman


def drawn(seeds: int, images: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=images)
    one, other = (share * common + (1 - share) * rng.normal(size=(seeds, images)) for _ in range(2))
    return one.round(1), other.round(1)  # with ties


def test_the_estimate_is_scipys_averaged_over_seeds() -> None:
    one, other = drawn(3, 40, 0.5)
    one[0, 4], other[1, 7] = np.nan, np.nan
    ((found,),) = correlations(one[None], other[None], resamples=50)
    expected = [stats.spearmanr(x, y, nan_policy="omit").statistic for x, y in zip(one, other, strict=True)]
    assert found.rho == pytest.approx(np.mean(expected), abs=1e-12)
    assert found.n == 40
    assert -1 <= found.low < found.rho < found.high <= 1


@pytest.mark.parametrize("seeds", [1, 3])
def test_resamples_are_those_of_the_slow_loops(seeds: int) -> None:
    one, other = drawn(seeds, 30, 0.6, seed=seeds)
    one[0, 3] = np.nan
    of_seeds, of_images = crossed_draws(np.random.default_rng(SEED), seeds, 30, 40)
    slow = [
        crossed_spearman(one, other, np.repeat(range(seeds), u.astype(int)), np.repeat(range(30), v))
        for u, v in zip(of_seeds, of_images, strict=True)
    ]
    ends = percentiles(np.array(slow)[:, None])
    ((found,),) = correlations(one[None], other[None], resamples=40)
    if seeds == 1:  # many seeds may widen it
        middle = found.rho
        factor = (found.high - middle) / (ends[1][0] - middle)
        assert (found.low - middle) / (ends[0][0] - middle) == pytest.approx(factor, rel=1e-9)
        assert 1 - 1e-9 <= factor < 1.6
    assert found.low <= ends[0][0] + 1e-9
    assert found.high >= ends[1][0] - 1e-9


def test_the_interval_is_widened_by_what_seeds_and_groups_of_images_say() -> None:
    """As that of a mean, of pseudo-values by hand: every fiftieth image is a group that is left out."""
    one, other = drawn(3, 60, 0.6, seed=9)
    other[0] = 0.3 * other[0] + 0.7 * np.random.default_rng(2).normal(size=60)  # a seed that differs
    of_seeds, of_images = crossed_draws(np.random.default_rng(SEED), 3, 60, 40)
    slow = [
        crossed_spearman(one, other, np.repeat(range(3), u.astype(int)), np.repeat(range(60), v))
        for u, v in zip(of_seeds, of_images, strict=True)
    ]
    table = np.empty((3, GROUPS))
    for s in range(3):
        whole = stats.spearmanr(one[s], other[s]).statistic
        for g in range(GROUPS):
            left = np.arange(60) % GROUPS != g
            without = stats.spearmanr(one[s, left], other[s, left]).statistic
            table[s, g] = GROUPS * whole - (GROUPS - 1) * without
    ((found,),) = correlations(one[None], other[None], resamples=40)
    ends = widened(table, found.rho, np.array(slow), CONFIDENCE, CORRELATION)
    assert [found.low, found.high] == pytest.approx([float(end) for end in ends], abs=1e-9)
    plain = percentiles(np.array(slow)[:, None])
    assert found.high - found.low > 1.2 * float(plain[1][0] - plain[0][0])
    assert -0.99 < found.low < found.high < 0.99


def test_images_count_that_have_both_values() -> None:
    one, other = drawn(2, 30, 0.6)
    one[:, :2], other[:, 5:8], other[0, 9] = np.nan, np.nan, np.nan
    ((found,),) = correlations(one[None], other[None], resamples=20)
    assert found.n == 25


def test_several_at_once_are_each_alone_whatever_is_missing() -> None:
    one, other = drawn(2, 25, 0.7)
    others = np.stack([other, -other, other**3])
    others[1, 0, :5] = np.nan
    few = one.copy()
    few[1, 7:9] = np.nan
    both = correlations(np.stack([one, few]), others, resamples=60)
    for mine, row in zip((one, few), both, strict=True):
        for k, found in enumerate(row):
            assert found == pytest.approx(correlations(mine[None], others[k : k + 1], resamples=60)[0][0])
    together = both[0]
    assert together[0] == pytest.approx(together[2])  # a rank correlation does not see a monotone change
    assert together[1].rho < 0 < together[0].rho


def test_nothing_is_said_of_few_images_or_of_constants() -> None:
    one, other = drawn(2, 25, 0.7)
    few = other.copy()
    few[:, FEWEST - 1 :] = np.nan
    for found in correlations(one[None], np.stack([few, np.zeros_like(other)]), resamples=20)[0]:
        assert np.isnan([found.rho, found.low, found.high]).all()
        assert found.n == 0
    rounding = 1 - 1e-6 * np.random.default_rng(0).random(other.shape)
    assert np.isnan(correlations(one[None], rounding[None], resamples=20)[0][0].rho)
    assert not np.isnan(correlations(one[None], 100 * rounding[None] ** 100, resamples=20)[0][0].rho)


def test_the_interval_covers_the_correlation_of_independent_images() -> None:
    covered = 0
    for seed in range(60):
        one, other = drawn(3, 60, 0.0, seed)
        ((found,),) = correlations(one[None], other[None], resamples=200)
        covered += found.low <= 0 <= found.high
    assert covered >= 52  # 95 % of 60 are 57, and 52 or fewer are seen once in 60
