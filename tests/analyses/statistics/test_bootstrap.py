from __future__ import annotations

import numpy as np
import pytest

from analyses.statistics.bootstrap import NOISE, bootstrap_mean, bootstrap_means, mean_iou, percentiles


def plain_twin(matrix: np.ndarray, generator: np.random.Generator, resamples: int, confidence: float) -> list[float]:
    """The crossed bootstrap as one would say it: draw seeds, draw images, average what is there."""
    seeds, images = matrix.shape
    seed_draws = generator.integers(seeds, size=(resamples, seeds))
    image_draws = generator.integers(images, size=(resamples, images))
    means = []
    for r in range(resamples):
        drawn = [matrix[s, i] for s in seed_draws[r] for i in image_draws[r]]
        drawn = [x for x in drawn if not np.isnan(x)]
        if drawn:
            means.append(sum(drawn) / len(drawn))
    there = [x for x in matrix.ravel() if not np.isnan(x)]
    tail = (1 - confidence) / 2
    return [sum(there) / len(there), *np.quantile(means, [tail, 1 - tail])]


@pytest.mark.parametrize(
    ("shape", "missing"),
    [((3, 7), 0.0), ((1, 5), 0.0), ((4, 6), 0.4), ((2, 1), 0.0), ((8, 6), 0.0), ((8, 6), 0.4)],
)
@pytest.mark.parametrize("resamples", [50, 600])
def test_it_agrees_with_the_plain_loop(shape, missing, resamples):
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=shape)
    matrix[rng.random(shape) < missing] = np.nan
    found = bootstrap_mean(matrix, np.random.default_rng(3), resamples, 0.9)
    np.testing.assert_allclose(found, plain_twin(matrix, np.random.default_rng(3), resamples, 0.9), rtol=1e-12)


def test_quantities_in_leading_axes_share_the_resamples():
    matrix = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    found = bootstrap_mean(matrix, np.random.default_rng(1), 100)
    assert found.estimate.shape == found.low.shape == found.high.shape == (2, 3)
    alone = bootstrap_mean(matrix[1, 2], np.random.default_rng(1), 100)
    np.testing.assert_allclose([x[1, 2] for x in found], alone, rtol=1e-12)


def test_the_resamples_are_those_of_the_interval():
    matrix = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    matrix[1, 1, :, 2:] = np.nan
    estimate, resampled = bootstrap_means(matrix, np.random.default_rng(1), 100)
    assert resampled.shape == (100, 2, 3)
    found = bootstrap_mean(matrix, np.random.default_rng(1), 100, 0.9)
    np.testing.assert_array_equal([estimate, *percentiles(resampled, 0.9)], list(found))
    nothing = bootstrap_means(np.empty((3, 0)), np.random.default_rng(1), 5)
    assert np.isnan(nothing[0]).all()
    assert nothing[1].shape == (5,)


def test_nothing_defined_gives_nan_and_no_warning():
    matrix = np.full((2, 2, 3), np.nan)
    matrix[1] = 1.5
    found = bootstrap_mean(matrix, np.random.default_rng(0), 20)
    assert np.isnan([x[0] for x in found]).all()
    assert [x[1] for x in found] == [1.5, 1.5, 1.5]
    assert np.isnan(bootstrap_mean(np.empty((3, 0)), np.random.default_rng(0)).estimate).all()


def test_the_input_is_unchanged_and_the_generator_decides():
    matrix = np.random.default_rng(0).normal(size=(3, 9))
    matrix[0, 0] = np.nan
    before = matrix.copy()
    one = bootstrap_mean(matrix, np.random.default_rng(5), 64)
    np.testing.assert_array_equal(one, bootstrap_mean(matrix, np.random.default_rng(5), 64))
    assert one.low != bootstrap_mean(matrix, np.random.default_rng(6), 64).low
    np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize(
    ("matrix", "resamples", "confidence"), [([1.0], 10, 0.9), ([[1.0]], 0, 0.9), ([[1.0]], 10, 1.0)]
)
def test_what_cannot_be_done_is_refused(matrix, resamples, confidence):
    with pytest.raises(ValueError, match=r"wanted (are the axes|is one between 0 and 1)"):
        bootstrap_mean(matrix, np.random.default_rng(0), resamples, confidence)


def test_the_interval_covers_the_truth_where_seeds_and_images_both_vary():
    rng = np.random.default_rng(2024)
    crossed = images_only = 0
    runs = 200
    for _ in range(runs):
        matrix = 0.4 + rng.normal(0, 0.3, (8, 1)) + rng.normal(0, 1.0, (1, 30)) + rng.normal(0, 0.5, (8, 30))
        _, low, high = bootstrap_mean(matrix, rng, 300)
        crossed += bool(low <= 0.4 <= high)
        _, low, high = bootstrap_mean(matrix.mean(axis=0, keepdims=True), rng, 300)
        images_only += bool(low <= 0.4 <= high)
    assert 0.89 <= crossed / runs <= 0.98
    assert images_only < crossed


def test_other_resamples_move_the_ends_by_no_more_than_is_stated():
    values = np.random.default_rng(0).normal(size=(3, 60)) + np.random.default_rng(1).normal(size=(3, 1))
    ends = np.array([bootstrap_mean(values, np.random.default_rng(state))[1:] for state in range(30)])
    half = (ends[:, 1] - ends[:, 0]).mean() / 2
    assert ends.std(axis=0, ddof=1).max() <= NOISE * half


def test_a_class_that_is_not_in_the_truth_has_no_iou():
    assert mean_iou([[3, 1, 1], [1, 1, 0], [0, 0, 0]]) == pytest.approx((3 / 6 + 1 / 3) / 2)
