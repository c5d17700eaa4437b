from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analyses.statistics.bootstrap import bootstrap_mean, bootstrap_means
from analyses.statistics.bounds import SHARE
from analyses.statistics.intervals import bootstrap_interval, half_width, mean_squares, widening
from tests.reference.statistics import crossed_variance


def drawn(rng, seeds, images, of_seed, of_image=1.0, rest=0.5, mean=0.4):
    return (
        mean
        + rng.normal(0, of_seed, (seeds, 1))
        + rng.normal(0, of_image, (1, images))
        + rng.normal(0, rest, (seeds, images))
    )


def test_mean_squares_agree_with_the_loop():
    matrix = drawn(np.random.default_rng(0), 3, 20, 0.7)
    found = mean_squares(matrix)
    components = ((found.seed - found.rest) / 20, (found.image - found.rest) / 3, found.rest)
    np.testing.assert_allclose(components, crossed_variance(matrix.tolist()), rtol=1e-12)


def test_the_mean_squares_of_two_seeds_and_two_images_by_hand():
    """Row means 2 and 5, column means 1.5 and 5.5, mean 3.5; what is left is 1 and -1."""
    assert mean_squares([[1.0, 3.0], [2.0, 8.0]]) == (9, 16, 4, 2, 2)


def test_a_seed_without_any_value_is_no_seed():
    matrix = drawn(np.random.default_rng(0), 3, 20, 0.7)
    without = np.concatenate([matrix, np.full((1, 20), np.nan)])
    found, wanted = (bootstrap_interval(m, np.random.default_rng(0), 100) for m in (without, matrix))
    np.testing.assert_array_equal(found, wanted)


def test_nothing_is_due_where_no_resample_has_a_value():
    resampled = np.array([[1.0, np.nan, 2.0], [3.0, np.nan, 2.0]])
    assert widening(np.array([0.5, 0.5, 0.5]), resampled).tolist() == pytest.approx([1, math.nan, 1], nan_ok=True)


def test_images_that_a_seed_lacks_are_left_out_of_the_mean_squares():
    matrix = drawn(np.random.default_rng(0), 3, 20, 0.7)
    holed = np.concatenate([matrix, [[np.nan], [5.0], [5.0]]], axis=1)
    np.testing.assert_allclose(mean_squares(holed), mean_squares(matrix), rtol=1e-12)
    without = np.concatenate([matrix, np.full((1, 20), np.nan)])
    np.testing.assert_allclose(mean_squares(without), mean_squares(matrix), rtol=1e-12)


def test_with_one_seed_the_half_width_is_that_of_students_t():
    x = np.random.default_rng(1).normal(size=12)
    low, high = stats.t.interval(0.95, 11, loc=x.mean(), scale=stats.sem(x))
    assert half_width([x]) == pytest.approx((high - low) / 2)
    assert math.isnan(half_width([[1.0]]))
    assert half_width(np.ones((3, 4))) == 0


def test_where_seeds_are_all_that_differs_the_half_width_has_two_degrees_of_freedom():
    seeds = np.array([0.1, 0.4, 0.9])
    matrix = np.repeat(seeds[:, None], 500, axis=1)
    expected = stats.t.ppf(0.975, 2) * stats.sem(seeds)
    assert half_width(matrix) == pytest.approx(expected)


def by_hand(table):
    """Half the width from sums that scipy and a pencil give: two-way mean squares, none below that of the rest."""
    seeds, images = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = ((table - rows[:, None] - columns + table.mean()) ** 2).sum() / ((seeds - 1) * (images - 1))
    of_seeds, of_images = max(images * np.var(rows, ddof=1), rest), max(seeds * np.var(columns, ddof=1), rest)
    total = of_seeds + of_images - rest
    squared = of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1) + rest**2 / ((seeds - 1) * (images - 1))
    freedom = max(total**2 / squared, min(seeds, images) - 1)
    return stats.t.ppf(0.975, freedom) * math.sqrt(total / (seeds * images))


def test_the_half_width_of_small_tables_in_numbers():
    """Mean squares 24, 26 and 6: variance 44 / 6, 44^2 / 932 = 2.0773 degrees of freedom, t = 4.1529."""
    assert half_width([[0.0, 2.0, 4.0], [2.0, 4.0, 12.0]]) == pytest.approx(11.24608, abs=1e-4)
    # Nothing but a rest of 26 / 3: 0.6 degrees of freedom are taken for 1, so t = 12.7062.
    assert half_width([[1.0, 2.0, 3.0, 6.0], [6.0, 3.0, 2.0, 1.0]]) == pytest.approx(
        12.7062 * math.sqrt(26 / 3 / 8), rel=1e-5
    )


@pytest.mark.parametrize("of_seed", [0.0, 0.2, 2.0])
def test_the_widened_interval_is_that_of_its_formula(of_seed):
    matrix = drawn(np.random.default_rng(7), 4, 25, of_seed)
    _, resampled = bootstrap_means(matrix, np.random.default_rng(3), 400)
    low, high = np.percentile(resampled, [2.5, 97.5])
    factor = max(1.0, by_hand(matrix) / (1.959964 * np.std(resampled)))
    found = bootstrap_interval(matrix, np.random.default_rng(3), 400)
    assert found.estimate == pytest.approx(matrix.mean())
    assert found.low == pytest.approx(matrix.mean() + factor * (low - matrix.mean()), rel=1e-6)
    assert found.high == pytest.approx(matrix.mean() + factor * (high - matrix.mean()), rel=1e-6)


def test_an_interval_is_never_made_narrower():
    """Of nothing but a rest the crossed bootstrap draws three times the variance: its own interval stays."""
    matrix = np.random.default_rng(1).normal(size=(20, 40))
    _, resampled = bootstrap_means(matrix, np.random.default_rng(3), 400)
    assert by_hand(matrix) < 0.8 * 1.959964 * np.std(resampled)
    found = bootstrap_interval(matrix, np.random.default_rng(3), 400)
    np.testing.assert_allclose([found.low, found.high], np.percentile(resampled, [2.5, 97.5]), rtol=1e-9)


def test_no_interval_leaves_what_the_quantity_can_be():
    shares = np.random.default_rng(0).beta(0.3, 0.3, (3, 6)) ** np.array([[0.1], [1.0], [9.0]])
    wide = bootstrap_interval(shares, np.random.default_rng(0), 200)
    assert wide.low < 0
    assert wide.high > 1
    cut = bootstrap_interval(shares, np.random.default_rng(0), 200, bounds=SHARE)
    assert (cut.low, cut.high) == (0, 1)
    assert cut.estimate == wide.estimate


def test_the_interval_is_the_bootstraps_where_seeds_do_not_differ():
    matrix = drawn(np.random.default_rng(2), 3, 400, 0.0)
    plain = bootstrap_mean(matrix, np.random.default_rng(5), 500)
    found = bootstrap_interval(matrix, np.random.default_rng(5), 500)
    assert found.estimate == plain.estimate
    np.testing.assert_allclose(found, plain, atol=0.02 * (plain.high - plain.low))
    wide = bootstrap_interval(drawn(np.random.default_rng(2), 3, 400, 1.0), np.random.default_rng(5), 500)
    assert wide.high - wide.low > 5 * (found.high - found.low)


def test_the_interval_of_constants_is_a_point_and_that_of_one_image_undefined():
    constant = bootstrap_interval(np.full((2, 5), 0.25), np.random.default_rng(0), 20)
    np.testing.assert_array_equal(constant, [0.25] * 3)
    one = bootstrap_interval([[0.3]], np.random.default_rng(0), 20)
    assert one.estimate == 0.3
    assert np.isnan([one.low, one.high]).all()
    assert np.isnan(bootstrap_interval(np.full((2, 3), np.nan), np.random.default_rng(0), 20)).all()


@pytest.mark.parametrize(("matrix", "confidence"), [([1.0], 0.9), ([[1.0, 2.0]], 1.0)])
def test_what_cannot_be_done_is_refused(matrix, confidence):
    with pytest.raises(ValueError, match=r"wanted (is|are)"):
        bootstrap_interval(matrix, np.random.default_rng(0), 10, confidence)


COVERED = [(1, 0.0), (3, 0.0), (3, 0.3), (3, 1.0), (5, 0.3)]


@pytest.mark.parametrize(("seeds", "of_seed"), COVERED)
def test_the_interval_covers_the_truth_at_its_nominal_rate(seeds, of_seed):
    """95 % asked for; with three seeds that differ as much as images do the plain percentile interval has 78 %."""
    rng, runs, covered, plain = np.random.default_rng(2024), 400, 0, 0
    for _ in range(runs):
        matrix = drawn(rng, seeds, 40, of_seed)
        state = rng.integers(2**32)
        _, low, high = bootstrap_interval(matrix, np.random.default_rng(state), 200)
        covered += bool(low <= 0.4 <= high)
        _, low, high = bootstrap_mean(matrix, np.random.default_rng(state), 200)
        plain += bool(low <= 0.4 <= high)
    assert 0.90 <= covered / runs <= 0.98
    assert plain <= covered
    if (seeds, of_seed) == (3, 1.0):
        assert plain / runs < 0.85


def test_many_matrices_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(2, 4, 3, 12)) + rng.normal(size=(2, 4, 3, 1))
    cube[0, 0] = np.nan
    cube[0, 1, 1] = np.nan
    cube[0, 2, :, 3:] = np.nan
    cube[1, 0, 2, 4] = np.nan
    found = bootstrap_interval(cube, np.random.default_rng(5), 200)
    for i in np.ndindex(2, 4):
        np.testing.assert_allclose(half_width(cube)[i], half_width(cube[i]), rtol=1e-12)
        if i != (0, 1):  # without a whole seed fewer are drawn, when it is alone
            one = bootstrap_interval(cube[i], np.random.default_rng(5), 200)
            np.testing.assert_allclose([part[i] for part in found], one, rtol=1e-12)
    assert np.isnan(found.estimate[0, 0])
    assert found.low[0, 1] < found.estimate[0, 1] < found.high[0, 1]
