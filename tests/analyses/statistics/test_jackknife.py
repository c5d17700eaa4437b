"""Tables whose means vary as a statistic does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from analyses.comparisons.metric_agreement import OVERALL, correlations
from analyses.statistics.bootstrap import mean_iou
from analyses.statistics.intervals import half_width
from analyses.statistics.jackknife import means_left_out, miou_table, pseudo_values


@pytest.mark.parametrize("shape", [(3, 7), (1, 7), (4, 1), (2, 3, 5), (2, 5), (5, 2), (2, 2)])
def test_those_of_a_mean_are_its_numbers(shape):
    values = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(pseudo_values(means_left_out(values)), values, atol=1e-12)


def test_means_are_of_what_is_left():
    values = np.random.default_rng(1).normal(size=(3, 6))
    values[0, 1] = values[2] = np.nan
    found = means_left_out(values, 3)
    assert found.shape == (4, 4)
    assert found[0, 0] == pytest.approx(np.nanmean(values))
    assert found[1, 0] == pytest.approx(values[1].mean())
    assert found[0, 2] == pytest.approx(np.nanmean(values[:, [0, 2, 3, 5]]))  # images 1 and 4 are the second group
    assert found[2, 1] == pytest.approx(np.nanmean(values[0, [1, 2, 4, 5]]))
    assert math.isnan(means_left_out(values[:1], 3)[1, 0])


def test_a_mean_iou_has_those_of_its_definition():
    """Without each seed and each image in turn, by loops."""
    counts = np.random.default_rng(0).integers(0, 9, (3, 5, 2, 2)).astype(float)

    def statistic(seeds, images):
        return np.mean([mean_iou(counts[s][images].sum(axis=0)) for s in seeds])

    everything = [[0, 1, 2], [0, 1, 2, 3, 4]]
    seeds, images = ([axis, *([i for i in axis if i != left] for left in axis)] for axis in everything)
    left_out = [[statistic(s, i) for i in images] for s in seeds]
    np.testing.assert_allclose(miou_table(counts), pseudo_values(left_out), atol=1e-12)


def test_an_image_that_was_not_tested_changes_nothing():
    counts = np.random.default_rng(0).integers(1, 9, (2, 4, 2, 2)).astype(float)
    counts[:, 2] = 0
    table = miou_table(counts)
    np.testing.assert_allclose(table[:, 2], mean_iou(counts.sum(axis=1)))


def test_the_half_width_covers_a_rank_correlation_of_means():
    """With three seeds that differ as much as images do; plain percentiles of resamples cover a third of the time."""
    rng, covered, runs = np.random.default_rng(0), 0, 60
    cells = np.arange(24)
    for _ in range(runs):
        truth = rng.normal(size=(2, 24))
        truth[1] = 0.6 * truth[0] + 0.8 * truth[1]
        values = truth[..., None, None] + rng.normal(0, 0.4, (2, 24, 3, 1)) + rng.normal(0, 1, (2, 24, 3, 30))
        left_out = np.moveaxis(means_left_out(values), (-2, -1), (0, 1))
        without = correlations(left_out.reshape(-1, 2, 24), cells, OVERALL)[:, 0, 1].reshape(left_out.shape[:2])
        estimate = spearmanr(*values.mean(axis=(2, 3))).statistic
        assert without[0, 0] == pytest.approx(estimate)
        covered += abs(estimate - spearmanr(*truth).statistic) <= half_width(pseudo_values(without))
    assert covered / runs >= 0.85
