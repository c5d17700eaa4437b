"""Groups of maps: what is planted is found, what is one cloud is none, and the parts are what the formulas say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_samples
from torch import nn

from segcam import Batch, Probe, Target
from segcam.datasets import DatasetOptions
from segcam.datasets.scenes_cues import open_cues
from segcam.datasets.scenes_tagged import TaggedSplit, open_tagged
from segcam.errors import InputError
from segcam.groups import FEW, LARGEST, SMALLEST, STABLE, WITHOUT, Groups, dip, group_maps, group_points, map_points
from segcam.maps import all_maps
from segcam.samples import Images
from tests.reference.groups import dip as slow_dip
from tests.reference.groups import hellinger, jaccard, shrunk
from tests.segcam import tagged_network

CORNER = np.s_[:3, :3]
FEW_CLOUDS = {"draws": 6, "halves": 4}
"""Where it is not asked how sure groups are: each cloud costs as much as the points."""


def objects(n: int, shape: tuple[int, int] = (12, 16), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps that lie on an object, which is somewhere, and the objects' masks."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, *shape))
    for mask in masks:
        y, x = rng.integers(3, shape[0] - 4), rng.integers(3, shape[1] - 4)
        mask[y : y + 4, x : x + 4] = 1
    return masks * (0.5 + rng.random(masks.shape)) + 0.05 * rng.random(masks.shape), masks


def planted(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of these maps every fourth lies on a corner as well."""
    maps, masks = objects(n, seed=seed)
    tagged = np.arange(n) % 4 == 0
    maps[tagged, *CORNER] += 1.0
    return maps, masks, tagged


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_maps_that_look_at_a_corner_are_the_odd_group(seed: int) -> None:
    maps, masks, tagged = planted(seed=seed)
    groups = group_maps(maps, given=masks)
    assert groups.count == 2
    assert groups.odd.tolist() == [False, True]
    assert groups.p == pytest.approx(1 / 40)
    assert adjusted_rand_score(tagged, groups.labels) > 0.9


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_without_it_no_group_is_odd(seed: int) -> None:
    """Objects lie somewhere: that is no group, though maps of neighbouring places are alike."""
    maps, masks = objects(120, seed=seed)
    assert not group_maps(maps, given=masks).odd.any()


def test_one_cloud_is_one_cloud() -> None:
    rng = np.random.default_rng(5)
    odd = [group_points(rng.normal(size=(80, 12)) * rng.random(12), seed=i).odd.any() for i in range(5)]
    assert not any(odd)


def discs(n: int, seed: int) -> np.ndarray:
    """Maps of discs of all sizes in one place: one number, spread evenly, makes all of what differs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    away = np.hypot(y - 7.5, x - 7.5)[None]
    radius = (1.5 + 6 * rng.random(n))[:, None, None]
    noise = rng.random((2, n, 16, 16))
    return (0.5 + noise[0]) / (1 + np.exp((away - radius) / 0.7)) + 0.05 * noise[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_objects_of_all_sizes_are_a_continuum_and_no_groups(seed: int) -> None:
    groups = group_maps(discs(120, seed))
    assert groups.holds, "a curve is no cloud, and is cut in the same places again"
    assert not groups.odd.any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_bow_is_a_continuum_and_no_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    along = 3.5 * rng.random(150)
    groups = group_points(np.c_[np.cos(along), np.sin(along), 0.05 * rng.normal(size=(150, 6))])
    assert groups.holds
    assert not groups.odd.any()


def test_the_end_of_a_long_tail_is_small_and_found_again_and_yet_no_group_apart() -> None:
    rng = np.random.default_rng(4)
    groups = group_points(np.c_[3 * rng.exponential(size=150), 0.2 * rng.normal(size=(150, 3))], draws=20)
    assert groups.holds
    assert (groups.found_again >= STABLE).all()
    assert groups.sizes[-1] <= FEW * groups.sizes[0]
    assert (groups.valley > 0.3).all(), "points become fewer to one end"
    assert not groups.odd.any()


def test_of_three_alike_none_is_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    points = 9 * np.eye(3)[np.repeat([0, 1, 2], [21, 20, 19])] + rng.normal(size=(60, 3))
    groups = group_points(points)
    assert groups.sizes.tolist() == [21, 20, 19]
    assert groups.holds
    assert (groups.valley == 1 / 40).all()
    assert not groups.odd.any()


@pytest.mark.parametrize("kind", ["normal", "even", "two", "ties", "tail"])
def test_the_dip_is_the_least_distance_to_one_peak(kind: str) -> None:
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 12, 21):
        values = {
            "normal": rng.normal(size=n),
            "even": rng.random(n),
            "two": np.r_[rng.normal(size=n), rng.normal(6, size=n)],
            "ties": rng.integers(0, 6, n).astype(float),
            "tail": rng.exponential(size=n),
        }[kind]
        assert dip(values) == pytest.approx(slow_dip(values), abs=1e-8)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_a_dip_needs_numbers(values: list[float]) -> None:
    with pytest.raises(InputError, match="values"):
        dip(values)


def test_layers_of_grids_of_their_own_are_joined() -> None:
    maps, masks, tagged = planted()
    coarse = maps.reshape(-1, 6, 2, 8, 2).mean((2, 4))
    noise = np.random.default_rng(1).random((120, 5, 3))
    groups = group_maps([maps, coarse, noise], given=masks, **FEW_CLOUDS)
    assert adjusted_rand_score(tagged, groups.labels) > 0.9
    one = group_maps([coarse], given=masks, **FEW_CLOUDS)
    np.testing.assert_array_equal(one.labels, group_maps(coarse, given=masks, **FEW_CLOUDS).labels)


def test_of_many_some_are_grouped_and_the_others_go_to_the_nearest_mean() -> None:
    maps, masks, tagged = planted(LARGEST + 200)
    groups = group_maps(maps, given=masks, **FEW_CLOUDS)
    assert adjusted_rand_score(tagged, groups.labels) > 0.9
    assert groups.odd.tolist() == [False, True]
    assert groups.sizes.sum() == LARGEST + 200
    assert np.isfinite(groups.silhouettes).sum() == LARGEST
    assert groups.sizes.tolist() == np.bincount(groups.labels).tolist()


def test_axes_are_the_principal_ones() -> None:
    """Of fewer points than numbers and of more: what is left of the points along them is what SVD says."""
    for shape in ((40, 90), (90, 40)):
        points = np.random.default_rng(0).normal(size=shape) * np.linspace(3, 1, shape[1])
        given = np.random.default_rng(1).normal(size=(shape[0], 3))
        groups = group_points(points, given=given, **FEW_CLOUDS)
        known = given - given.mean(0)
        away = points - points.mean(0)
        away -= known @ np.linalg.lstsq(known, away, rcond=None)[0]
        left, scale, _ = np.linalg.svd(away, full_matrices=False)
        direct = group_points((left * scale)[:, :10], **FEW_CLOUDS)
        assert adjusted_rand_score(groups.labels, direct.labels) > 0.95
        assert groups.separation == pytest.approx(direct.separation, abs=1e-6)


def test_what_is_given_is_taken_out() -> None:
    """Two places of the object are two groups, but none once the masks are given."""
    rng = np.random.default_rng(0)
    masks = np.zeros((80, 8, 8))
    masks[:60, 1:4, 1:4] = masks[60:, 4:7, 4:7] = 1
    maps = masks + 0.1 * rng.random(masks.shape)
    assert group_maps(maps).odd.tolist() == [False, True]
    assert not group_maps(maps, given=masks).odd.any()


def test_halves_are_no_oddity() -> None:
    maps = 0.1 * np.random.default_rng(0).random((80, 8, 8))
    maps[:45, 1:4, 1:4] += 1
    maps[45:, 4:7, 4:7] += 1
    groups = group_maps(maps)
    assert groups.holds
    assert groups.sizes.tolist() == [45, 35]
    assert not groups.odd.any()


def test_the_same_numbers_give_the_same_groups_whatever_their_scale() -> None:
    maps, masks, _ = planted()
    one, two = group_maps(maps, given=masks, **FEW_CLOUDS), group_maps(maps * 7, given=masks, **FEW_CLOUDS)
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.order, two.order)
    assert (one.gap, one.stability) == pytest.approx((two.gap, two.stability))


def test_maps_that_are_blank_or_undefined_have_no_group() -> None:
    maps, masks, _ = planted()
    maps[3], maps[4], maps[5, 2, 2], maps[6, 0, 0] = 0, -1, np.nan, np.inf
    groups = group_maps(maps, given=masks, **FEW_CLOUDS)
    assert (groups.labels == WITHOUT).nonzero()[0].tolist() == [3, 4, 5, 6]
    assert np.isnan(groups.silhouettes[3:7]).all()
    assert sorted(groups.order) == [i for i in range(120) if not 3 <= i <= 6]
    assert groups.sizes.sum() == 116
    some = group_maps([maps, np.ones((120, 2, 2)) + np.eye(2)], given=masks, **FEW_CLOUDS)
    assert (some.labels >= 0).all(), "a map of one layer is enough"


def test_the_order_is_by_group_and_the_largest_group_comes_first() -> None:
    maps, masks, _ = planted()
    groups = group_maps(maps, given=masks, **FEW_CLOUDS)
    assert groups.labels[groups.order].tolist() == sorted(groups.labels)
    assert groups.sizes.tolist() == sorted(groups.sizes, reverse=True)
    assert groups.sizes.tolist() == np.bincount(groups.labels).tolist()
    for one in range(groups.count):
        assert groups.of_group[one] == pytest.approx(groups.silhouettes[groups.labels == one].mean())


def test_places_are_those_along_the_first_two_axes() -> None:
    maps, masks, tagged = planted()
    maps[7] = 0
    groups = group_maps(maps, given=masks, **FEW_CLOUDS)
    assert np.isnan(groups.places[7]).all()
    places = np.delete(groups.places, 7, 0)
    assert abs(np.corrcoef(places.T)[0, 1]) < 1e-6, "principal axes"
    assert places[:, 0].std() >= places[:, 1].std() > 0
    assert (places.max(0) >= -places.min(0)).all()
    odd = np.delete(tagged, 7)
    apart = places[odd, 0].mean() - places[~odd, 0].mean()
    assert abs(apart) > 3 * places[odd, 0].std(), "the cue is what differs most"
    flat = group_points(np.arange(30.0)[:, None], **FEW_CLOUDS)
    assert not flat.places[:, 1].any()


def test_silhouettes_are_rousseeuws() -> None:
    points = np.random.default_rng(0).normal(size=(60, 4)) + 4 * (np.arange(60) % 3 == 0)[:, None]
    groups = group_points(points, **FEW_CLOUDS)
    np.testing.assert_allclose(groups.silhouettes, silhouette_samples(points, groups.labels), atol=1e-9)
    assert groups.separation == pytest.approx(groups.silhouettes.mean())


def test_points_are_roots_of_shares() -> None:
    maps = np.random.default_rng(0).normal(size=(7, 10, 20))
    points, has = map_points(maps, cells=5)
    small = [shrunk(one, (2, 5)) for one in maps]
    assert has.all()
    assert points.shape == (7, 10)
    for i in range(7):
        for j in range(7):
            assert np.linalg.norm(points[i] - points[j]) == pytest.approx(hellinger(small[i], small[j]), abs=1e-6)


def test_groups_found_again_are_counted_by_what_they_share() -> None:
    """Two groups far apart: each half finds them all."""
    points = np.r_[np.zeros((20, 2)), np.full((30, 2), 9.0)] + np.random.default_rng(0).normal(size=(50, 2)) / 9
    groups = group_points(points, **FEW_CLOUDS)
    assert groups.found_again.tolist() == [1, 1]
    assert groups.stability == 1
    assert jaccard({1, 2, 3}, {2, 3, 4}) == 0.5


@pytest.mark.parametrize("n", [0, 1, 2, 4 * SMALLEST - 1])
def test_a_few_are_one_group_of_which_nothing_is_said(n: int) -> None:
    groups = group_maps(np.random.default_rng(0).random((n, 3, 3)))
    assert_one(groups, n)


def test_equal_maps_are_one_group() -> None:
    assert_one(group_maps(np.ones((50, 3, 3))), 50)


def assert_one(groups: Groups, n: int) -> None:
    assert groups.sizes.tolist() == [n] * (n > 0)
    assert not groups.odd.any()
    assert not groups.holds
    assert np.isnan([groups.p, groups.separation, groups.gap, groups.stability]).all()
    assert groups.order.tolist() == list(range(n))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"maps": np.ones((4, 4))}, r"maps of shape \(4, 4\): wanted is \(n, h, w\)"),
        ({"maps": [np.ones((4, 2, 2)), np.ones((5, 2, 2))]}, "maps of 4, 5 images: give each layer's of the same ones"),
        ({"maps": np.ones((4, 2, 2)), "given": np.ones((3, 2, 2))}, "given: 3 beside 4; give one of each"),
        ({"maps": np.array(["a"])}, "maps: no array of numbers"),
        ({"maps": np.ones((4, 2, 2)), "cells": 0}, "cells 0: wanted is 1 or more"),
        ({"maps": np.ones((4, 2, 2)), "most": 1}, "most 1: wanted is 2 or more"),
        ({"maps": np.ones((4, 2, 2)), "draws": 1}, "draws 1: wanted is 2 or more"),
        ({"maps": np.ones((4, 2, 2)), "halves": 0}, "halves 0: wanted is 1 or more"),
    ],
)
def test_what_is_wrong_is_named(given: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        group_maps(given.pop("maps"), **given)


@pytest.mark.parametrize("n", [3, 60])
def test_what_is_the_same_for_all_takes_nothing_out(n: int) -> None:
    maps = planted(n)[0]
    same = group_maps(maps, given=np.ones((n, 4, 4)), **FEW_CLOUDS)
    np.testing.assert_array_equal(same.labels, group_maps(maps, **FEW_CLOUDS).labels)


COUNT, SIZE = 400, tagged_network.SIZE


@pytest.fixture(scope="module")
def learned() -> nn.Module:
    """A small U-Net that learned from scenes of which some carry a tag."""
    return tagged_network.load()


def encoder_maps(model: nn.Module, images: Images) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Grad-CAM of a class's logit over that of others, of the layers before the decoder; masks; who has the class."""
    batch = Batch.of([images[i] for i in range(COUNT)])
    has = (batch.masks == 2).flatten(1).any(1)
    names = [name for name, module in model.named_modules() if name.startswith("encoders.") and name[-5:-1] == "conv"]
    target = Target(class_id=2, pixels="truth", score="contrast")
    (maps,) = all_maps(Probe(model, names), batch.inputs()[has], [target], ["grad_cam"], masks=batch.masks[has].long())
    return [one[:, 0].numpy() for one in maps.values()], (batch.masks[has] == 2).numpy(), has.numpy()


def test_a_planted_cue_that_a_network_learned_is_found(learned: nn.Module) -> None:
    opened = open_tagged(DatasetOptions(size=SIZE, counts=(1, 1, COUNT))).splits["test"]
    assert isinstance(opened, TaggedSplit)
    maps, masks, has = encoder_maps(learned, opened)
    tagged = np.array([opened.tagged(i) for i in range(COUNT)])[has]
    groups = group_maps(maps, given=masks)
    assert groups.odd.tolist() == [False, True]
    assert adjusted_rand_score(tagged, groups.labels) > 0.8


def test_without_the_cue_the_same_network_has_no_odd_group(learned: nn.Module) -> None:
    opened = open_cues("texture", DatasetOptions(size=SIZE, counts=(1, 1, COUNT))).splits["test"]
    maps, masks, _ = encoder_maps(learned, opened)
    assert not group_maps(maps, given=masks).odd.any()
