"""How often the rule of verdicts is wrong and right, on data drawn from published components."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyses.paper.claims.operating import characteristics, intervals, simulated
from analyses.statistics.variance import components


def test_what_is_drawn_has_the_components_asked_for():
    asked = {(0,): 0.3, (1,): 0.5, (0, 1): 0.2}
    rng = np.random.default_rng(0)
    for seeds in ("normal", "skewed"):
        found = [components(simulated(rng, asked, (6, 20), seeds)) for _ in range(1500)]
        for factors, variance in asked.items():
            assert np.mean([one[factors] for one in found]) == pytest.approx(variance, rel=0.15)


def test_seeds_alone_are_skewed():
    of_seeds, of_images = (
        simulated(np.random.default_rng(0), variances, sizes, "skewed").ravel()
        for variances, sizes in (({(0,): 1.0}, (4000, 1)), ({(1,): 1.0}, (1, 4000)))
    )
    assert stats.skew(of_seeds) > 3
    assert abs(stats.skew(of_images)) < 0.2
    assert abs(of_seeds.mean()) < 0.1
    in_parts = simulated(np.random.default_rng(0), {(0, 1): 1.0}, (20, 200, 3), "skewed")
    assert stats.skew(in_parts.ravel()) > 3, "a seed's effect on a part is a seed's"


def test_shares_are_of_intervals_moved_to_the_truth():
    ends = np.array([[-0.5, 0.5], [-3.0, -1.5], [0.1, 0.9], [-1.5, 1.5]])
    found = characteristics(ends)
    assert found.coverage == 0.5
    assert (found.supported, found.opposite, found.negligible) == (0, 0.25, 0.5)
    assert found.at_smallest == 0.25, "one is above 1 where the truth is 1, one below -1 where it is -1"
    assert (found.power, found.power_opposite) == (0.5, 0.75)


@pytest.mark.parametrize("parts", [(), (4,)])
def test_tables_of_one_claim_and_of_a_sample_of_parts_are_covered(parts):
    table = np.random.default_rng(0).normal(size=(*parts, 3, 30)) + np.random.default_rng(1).normal(size=(3, 1))
    ends = intervals(table, 4, "normal", data_sets=60, resamples=200)
    assert ends.shape == (60, 2)
    assert 0.85 <= np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) <= 1
    again = intervals(table, 4, "normal", data_sets=60, resamples=200)
    np.testing.assert_array_equal(ends, again)


@pytest.mark.parametrize(("number", "plain", "johnson", "hall"), [(3, 0.84, 0.84, 0.86), (7, 0.83, 0.83, 0.88)])
def test_corrections_for_skewness_do_not_help_few_trainings(number, plain, johnson, hall):
    """Johnson, JASA 73, 1978, and Hall, JRSS B 54, 1992, on lognormal means: why the rule has none of them."""
    values = np.exp(np.random.default_rng(0).normal(size=(40_000, number)))
    truth, mean, deviation = np.exp(0.5), values.mean(axis=1), values.std(axis=1, ddof=1)
    third = ((values - mean[:, None]) ** 3).mean(axis=1)
    t, root = stats.t.ppf(0.975, number - 1), np.sqrt(number)
    width = t * deviation / root
    moved = mean + third / (6 * deviation**2 * number)
    skewness = third / deviation**3

    def turned(quantile):
        inner = 1 + skewness * (quantile / root - skewness / (6 * number))
        return mean - deviation * 3 / skewness * (np.cbrt(inner) - 1)

    assert np.mean(np.abs(mean - truth) <= width) == pytest.approx(plain, abs=0.01)
    assert np.mean(np.abs(moved - truth) <= width) == pytest.approx(johnson, abs=0.01)
    assert np.mean((turned(t) <= truth) & (truth <= turned(-t))) == pytest.approx(hall, abs=0.01)
