from __future__ import annotations

import numpy as np
import pandas as pd
import pingouin as pg
import pytest
import scikit_posthocs as sp
from scipy import stats

from analyses.statistics.ranks import critical_difference, rank
from tests.reference import statistics as slow


def drawn(images=30, methods=4, step=0.4, seed=0):
    return np.random.default_rng(seed).normal(size=(images, methods)) + step * np.arange(methods)


def test_ranks_agree_with_the_loop_and_the_libraries():
    matrix = drawn()
    found, (mean, chi2) = rank(matrix), slow.friedman(matrix.tolist())
    np.testing.assert_allclose(found.mean, mean)
    assert found.p == pytest.approx(stats.chi2.sf(chi2, 3))
    frame = pg.friedman(pd.DataFrame(matrix))
    assert found.agreement == pytest.approx(frame["W"].iloc[0])
    np.testing.assert_allclose(found.pairs, sp.posthoc_nemenyi_friedman(matrix))
    assert found.n == 30
    assert found.mean[-1] == min(found.mean)
    np.testing.assert_allclose(rank(matrix, higher_is_better=False).mean, 5 - found.mean)


def test_pairs_differ_where_their_ranks_are_further_apart_than_the_critical_difference():
    found = rank(drawn(images=25, methods=5, step=0.3))
    apart = np.abs(found.mean[:, None] - found.mean) > found.distance
    assert apart.any()
    assert not apart.all()
    np.testing.assert_array_equal(apart, found.pairs < 0.05)


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_the_published_table(methods, q):
    """Demšar 2006, table 5a."""
    assert critical_difference(methods, 14) == pytest.approx(q * np.sqrt(methods * (methods + 1) / 84), abs=1e-3)


def test_gaps_ties_and_too_little():
    matrix = drawn(10)
    holed = np.concatenate([matrix, [[np.nan, 1, 2, 3]]])
    np.testing.assert_array_equal(rank(holed).mean, rank(matrix).mean)
    tied = rank(np.ones((5, 3)))
    assert np.isnan(tied.p)
    assert tied.mean.tolist() == [2, 2, 2]
    assert np.isnan(tied.agreement)
    assert (tied.pairs == 1).all()
    assert tied.distance == critical_difference(3, 5)
    few = rank(np.ones((1, 3)))
    assert np.isnan(few.mean).all()
    assert np.isnan(few.pairs).all()
    assert np.isnan([few.p, few.agreement, few.distance]).all()
    assert few.n == 1
    with pytest.raises(ValueError, match="three methods"):
        rank(np.ones((5, 2)))
