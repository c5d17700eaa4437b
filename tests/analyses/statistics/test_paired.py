from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analyses.reading.arrays import nan_mean
from analyses.statistics.paired import holm, page, trend_weights
from tests.reference import statistics as slow

NAN = float("nan")


@pytest.mark.parametrize("seed", range(4))
def test_page_agrees_with_all_orders(seed):
    matrix = np.random.default_rng(seed).normal(size=(4, 3)) + 0.5 * np.arange(3)
    np.testing.assert_allclose(page(matrix)[:2], slow.page(matrix.tolist()), rtol=1e-9)


def test_page_of_many_images_is_the_mean_of_spearmans_correlations():
    matrix = np.random.default_rng(0).normal(size=(300, 5)) - 0.1 * np.arange(5)
    rho = [stats.spearmanr(range(5), row).statistic for row in matrix]
    found = page(matrix)
    assert found.effect == pytest.approx(np.mean(rho))
    assert found.effect < 0
    assert found.p == pytest.approx(2 * stats.page_trend_test(matrix[:, ::-1]).pvalue)
    assert page(matrix[:, ::-1]).effect == pytest.approx(-found.effect)
    holed = np.concatenate([matrix, [[NAN, 1, 2, 3, 4]]])
    assert page(holed) == found


def test_page_at_its_ends_and_of_too_little():
    assert page(np.tile([1.0, 2.0, 3.0, 4.0], (9, 1))).effect == 1
    assert page(np.tile([4.0, 3.0, 2.0, 1.0], (9, 1))).effect == -1
    assert np.isnan(page([[1.0, 2.0, 3.0]])[:2]).all()
    with pytest.raises(ValueError, match="three columns at least"):
        page([[1.0, 2.0], [2.0, 3.0]])


def test_page_keeps_its_level_where_nothing_differs():
    rng = np.random.default_rng(5)
    share = np.mean([page(rng.normal(size=(20, 4))).p < 0.05 for _ in range(400)])
    assert 0.02 <= share <= 0.08


def test_trend_weights_give_the_fitted_lines_change():
    y = np.random.default_rng(0).normal(size=5)
    slope = stats.linregress(range(5), y).slope
    assert trend_weights(5) @ y == pytest.approx(4 * slope)
    assert trend_weights(2).tolist() == [-1.0, 1.0]
    with pytest.raises(ValueError, match="two at least"):
        trend_weights(1)


def test_holm_is_within_families_and_leaves_out_what_is_undefined():
    p = [0.01, 0.04, NAN, 0.03, 0.02]
    found = holm(p, ["a", "a", "a", "b", "a"])
    np.testing.assert_allclose(found[[0, 1, 4]], slow.holm([0.01, 0.04, 0.02]))
    np.testing.assert_allclose(found[[0, 1, 4]], multipletests([0.01, 0.04, 0.02], method="holm")[1])
    assert found[3] == 0.03
    assert np.isnan(found[2])


def test_the_mean_takes_what_is_defined():
    matrix = np.array([[[1.0, NAN, NAN], [3.0, 4.0, NAN]]])
    np.testing.assert_array_equal(nan_mean(matrix, axis=-2), [[2.0, 4.0, NAN]])
