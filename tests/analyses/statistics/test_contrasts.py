"""Methods against controls on the same maps: plain means of pairs, counted, and called apart only where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyses.reading.arrays import MapScores
from analyses.reading.manifest import INPUT, Layer, Metric
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import CORRELATION, SHARE
from analyses.statistics.contrasts import Compared, compare
from analyses.statistics.intervals import bootstrap_interval

METRICS = (Metric(name="share", label="", lower=0.0, upper=1.0), Metric(name="width", label="", lower=0.0))
LAYERS = (
    Layer(label="input", depth=0, role=INPUT),
    Layer(label="first", depth=1),
    Layer(label="second", depth=2),
)


@pytest.fixture
def maps() -> MapScores:
    """Two metrics, three layers, two seeds, nine images; of the last image the method has no map."""
    rng = np.random.default_rng(0)
    values = {name: rng.uniform(0.2, 0.8, (2, 3, 2, 9)) for name in ("own", "even", "noise")}
    present = {name: np.ones((3, 2, 9), dtype=bool) for name in values}
    present["own"][..., 8] = False
    values["own"][..., 8] = np.nan
    values["own"][0, 1, 0, :3] = np.nan  # the other seed has these
    values["even"][1, 2, :, 4] = np.nan
    return MapScores(LAYERS, METRICS, values, {}, present, "pets")


def test_means_and_counts_are_those_of_pairs(maps: MapScores) -> None:
    found = compare(maps, "own", ["even", "noise"])
    own = maps.values["own"]
    for i, cube in enumerate((own, own - maps.values["even"], own - maps.values["noise"])):
        plain = np.nanmean(cube, axis=(-1, -2))
        np.testing.assert_allclose(found.layers[0, i], plain)
        np.testing.assert_allclose(found.mean["input"][0, i], plain[:, 0])
        np.testing.assert_allclose(found.mean["layer"][0, i], plain[:, 1:].mean(axis=1))
    wanted = np.full((3, 2, 3), 8)
    wanted[1, 1, 2] = 7
    np.testing.assert_array_equal(found.counts, wanted)


def test_intervals_are_those_of_the_pairs(maps: MapScores) -> None:
    whole = {name: values[:1, ..., :8] for name, values in maps.values.items()}
    whole["own"] = whole["own"] * 0 + np.random.default_rng(1).uniform(0.3, 0.6, (1, 3, 2, 8))
    whole["own"][np.isnan(whole["own"])] = 0.4
    present = {name: np.ones((3, 2, 8), dtype=bool) for name in whole}
    found = compare(replace(maps, metrics=METRICS[:1], values=whole, present=present), "own", ["noise"])
    for i, (cube, bounds) in enumerate(((whole["own"][0], SHARE), (whole["own"][0] - whole["noise"][0], CORRELATION))):
        for scope, numbers in (("input", cube[0]), ("layer", cube[1:].mean(axis=0))):
            wanted = bootstrap_interval(numbers, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, bounds)
            np.testing.assert_allclose(found.mean[scope][:, i, 0], wanted)
        wanted = bootstrap_interval(cube[2], np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, bounds)
        np.testing.assert_allclose(found.layers[:, i, 0, 2], wanted)


def test_no_interval_leaves_what_a_metric_or_a_difference_can_be(maps: MapScores) -> None:
    two = np.array([0, 1, 0, 0, 0, 0, 1, 0, 0.0])
    maps.values["own"][0], maps.values["even"][0] = two, two[::-1]
    maps.values["own"][1] = 30 * two
    _, low, high = compare(maps, "own", ["even"]).layers
    assert low[0].min() == 0, "a share"
    assert low[1, 0].min() < 0, "a difference of shares"
    assert high[0, 1].max() > 1, "a width has no upper bound"


def test_apart_is_beyond_zero_on_the_side_asked_for_and_of_six_images_or_more() -> None:
    low, high = np.array([0.1, -0.2, -0.1, 0.1, 0.1]), np.array([0.3, -0.1, 0.2, 0.3, 0.3])
    counts = np.array([9, 9, 9, 6, 5])
    found = Compared(np.stack([(low + high) / 2, low, high]), {}, counts)
    assert found.apart(1).tolist() == [True, False, False, True, False]
    assert found.apart(-1).tolist() == [False, True, False, False, False]
