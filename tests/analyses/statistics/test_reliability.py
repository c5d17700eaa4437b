"""Reliability over trainings and images: against pingouin, closed forms and planted components."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pingouin as pg
import pytest

from analyses.statistics import variance
from analyses.statistics.reliability import MethodStudy, components, icc, kendall_w, method_study, trainings_needed


def crossed(rng, seed, image, rest, seeds=3, images=40):
    return (
        seed * rng.standard_normal((seeds, 1))
        + image * rng.standard_normal((1, images))
        + rest * rng.standard_normal((seeds, images))
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The inplace keyword")
def test_the_icc_is_pingouins_of_absolute_agreement() -> None:
    table = crossed(np.random.default_rng(0), 0.4, 1.0, 0.7)
    long = pd.DataFrame(table.T).melt(ignore_index=False, var_name="seed").reset_index(names="image")
    found = pg.intraclass_corr(long, targets="image", raters="seed", ratings="value")
    assert icc(table) == pytest.approx(float(found["ICC"].iloc[1]), abs=1e-12)  # Shrout and Fleiss's ICC(2,1)
    assert icc(np.stack([table, 3 * table + 1])) == pytest.approx(np.tile(icc(table), 2))


def test_an_icc_needs_seeds_that_differ_and_leaves_images_out_that_lack_one() -> None:
    table = crossed(np.random.default_rng(1), 0.2, 1.0, 0.5)
    lacking = np.concatenate([table, [[math.nan], [5.0], [9.0]]], axis=1)
    assert icc(lacking) == pytest.approx(icc(table))
    assert np.isnan(icc(table[:1]))
    assert np.isnan(icc(np.ones((3, 5))))
    assert icc(np.tile(table[:1], (3, 1))) == pytest.approx(1)


def test_components_are_those_of_two_crossed_factors_and_the_icc_is_their_share() -> None:
    rng = np.random.default_rng(4)
    tables = np.stack([crossed(rng, 0.6, 1.0, 0.7), crossed(rng, 0, 1.0, 0.7), crossed(rng, 0.6, 0, 2.0)])
    found = components(tables)
    for i, table in enumerate(tables):
        wanted = variance.components(table)
        assert (found.seed[i], found.image[i], found.rest[i]) == pytest.approx((wanted[0,], wanted[1,], wanted[0, 1]))
    both = (found.seed > 0) & (found.image > 0)
    assert both.any()
    assert not both.all()
    of_two = components(tables[0, :2])
    assert tuple(of_two) == pytest.approx(
        tuple(variance.components(tables[0, :2])[key] for key in ((0,), (1,), (0, 1)))
    )
    for lacking in (tables[0, :1], tables[0, :, :1], np.full((3, 4), math.nan), np.full((2, 3, 4), math.nan)):
        assert np.isnan(components(lacking)).all()
        assert np.isnan(icc(lacking)).all()
    share = found.image / (found.seed + found.image + found.rest)
    np.testing.assert_allclose(icc(tables)[both], share[both])


def test_as_many_trainings_as_are_needed_reach_a_dependability_of_four_fifths() -> None:
    parts = components(crossed(np.random.default_rng(2), 0.5, 1.0, 1.0))
    needed = trainings_needed(parts)
    share = [parts.image / (parts.image + (parts.seed + parts.rest) / n) for n in (needed - 1, needed)]
    assert share[0] < 0.8 <= share[1]
    assert trainings_needed(components(np.repeat([[0.0], [1.0]], 4, axis=1))) == math.inf
    assert np.isnan(trainings_needed(components(np.ones((1, 4)))))


def test_kendalls_w_is_one_of_one_order_and_corrected_for_ties() -> None:
    assert kendall_w([[1, 2, 3], [4, 5, 9], [0, 0.1, 7]]) == pytest.approx(1)
    # by hand: ranks (1, 2, 3) and (3, 2, 1) sum to (4, 4, 4)
    assert kendall_w([[1, 2, 3], [3, 2, 1]]) == pytest.approx(0)
    # a tie: 12 S / (m^2 (n^3 - n) - m sum of (t^3 - t))
    ranks = np.array([[1, 2.5, 2.5], [1, 2, 3]])
    spread = ((ranks.sum(0) - 4) ** 2).sum()
    assert kendall_w(ranks) == pytest.approx(12 * spread / (4 * (27 - 3) - 2 * (8 - 2)))
    assert math.isnan(kendall_w([[1, 2, 3]]))
    assert math.isnan(kendall_w([[1, 2], [2, 1]]))
    assert math.isnan(kendall_w([[1, 1, 1], [2, 2, 2]]))


def test_planted_components_of_methods_come_out() -> None:
    rng = np.random.default_rng(3)
    methods, seeds, images = 400, 8, 20
    values = (
        2.0 * rng.standard_normal((methods, 1, 1))
        + 1.0 * rng.standard_normal((methods, seeds, 1))
        + 1.5 * rng.standard_normal((methods, 1, images))
        + 0.5 * rng.standard_normal((methods, seeds, images))
        + 9.0 * rng.standard_normal((1, seeds, images))  # common to all methods: no part of their order
    )
    found = method_study(values)
    assert found == pytest.approx((4.0, 1.0, 2.25, 0.25), rel=0.2)
    images_needed, trainings = found.images_needed(3), found.trainings_needed(100)
    assert found.dependability(3, images_needed) >= 0.8 > found.dependability(3, images_needed - 1)
    assert found.dependability(trainings, 100) >= 0.8 > found.dependability(max(trainings - 1, 1e-9), 100)
    unknown = method_study(values[:1])
    assert np.isnan([unknown.dependability(3, 100), unknown.images_needed(3), unknown.trainings_needed(100)]).all()


def test_components_of_methods_are_those_of_three_crossed_factors() -> None:
    rng = np.random.default_rng(5)
    shape = (5, 4, 6)
    sizes = ((5, 1, 1), (5, 4, 1), (5, 1, 6), shape, (1, 4, 6))
    values = sum(
        scale * rng.standard_normal(size) for scale, size in zip((3.0, 2.0, 2.0, 0.5, 4.0), sizes, strict=True)
    )
    # the mean squares of the design, written out
    of_method, with_seed, with_image = values.mean((1, 2)), values.mean(2), values.mean(1)
    left = values - with_seed[:, :, None] - with_image[:, None] - values.mean(0) + of_method[:, None, None]
    left += values.mean((0, 2))[:, None] + values.mean((0, 1)) - values.mean()
    rest = (left**2).sum() / (4 * 3 * 5)
    by_seed = 6 * ((with_seed - of_method[:, None] - with_seed.mean(0) + values.mean()) ** 2).sum() / (4 * 3)
    by_image = 4 * ((with_image - of_method[:, None] - with_image.mean(0) + values.mean()) ** 2).sum() / (4 * 5)
    method = 4 * 6 * of_method.var(ddof=1)
    wanted = ((method - by_seed - by_image + rest) / 24, (by_seed - rest) / 6, (by_image - rest) / 4, rest)
    assert min(wanted) > 0
    assert method_study(values) == pytest.approx(wanted)
    of_one = components(values[:, 0])  # methods in the place of seeds
    assert method_study(values[:, :1]) == pytest.approx((float(of_one.seed), 0, 0, float(of_one.rest)))


def test_where_trainings_upset_an_order_no_number_of_images_settles_it() -> None:
    study = MethodStudy(method=1.0, by_seed=4.0, by_image=1.0, rest=1.0)
    assert study.images_needed(2) == math.inf
    assert study.images_needed(20) == 21  # (1 + 1 / 20) / (1 / 4 - 4 / 20) images
