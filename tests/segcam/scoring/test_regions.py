"""Shares of maps on regions, and distances from an outline, against slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segcam import InputError
from segcam.scoring.distances import EDGES, distance_rings, half_distances, outline_distances
from segcam.scoring.grids import Placement, upsample
from segcam.scoring.reference import Scenery
from segcam.scoring.regions import region_shares
from tests.reference import regions as slow

SIZE, GRID = (18, 26), (4, 7)
RANDOM = torch.Generator().manual_seed(3)
MAPS = torch.rand(3, 2, *GRID, generator=RANDOM, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (3, *SIZE), generator=RANDOM)  # the last one counts nowhere
REGIONS = torch.stack([c == CLASSES for c in range(3)], 1)
REGIONS[1, 2] = False


def scenery(valid: Tensor | None = None) -> Scenery:
    """Objects of several shapes, one of them with a border that counts on neither side."""
    inside = torch.zeros(3, *SIZE, dtype=torch.bool)
    inside[0, 4:11, 5:14], inside[1, 9:, 20:], inside[2, 2:5, 2:5], inside[2, 12:15, 15:22] = (True,) * 4
    border = F.max_pool2d(inside[:, None].double(), 3, 1, 1)[:, 0].bool() & ~inside
    border[1:] = False
    return Scenery(torch.rand(3, *SIZE, dtype=torch.float64), inside, ~inside & ~border, ("a", "b", "c"), valid=valid)


@pytest.mark.parametrize("placement", [None, Placement((1.0, 2.0), (4.5, 3.5))])
def test_shares_are_those_of_the_upsampled_map(placement: Placement | None) -> None:
    found = region_shares(MAPS, scenery().on(GRID, placement), REGIONS)
    large = upsample(MAPS, SIZE, placement).numpy()
    for b, m in np.ndindex(3, 2):
        np.testing.assert_allclose(found.energy[b, m], slow.shares(large[b, m], REGIONS[b].numpy()), atol=1e-12)
    pixels = REGIONS.flatten(2).sum(2)
    torch.testing.assert_close(found.area, (pixels / pixels.sum(1, keepdim=True)).double())
    assert found.energy.isnan().sum() == 2  # the empty region, and no other
    torch.testing.assert_close(found.energy.nansum(2), torch.ones(3, 2, dtype=torch.float64))


def test_a_uniform_map_has_the_areas_and_a_density_of_one_wherever_its_cells_lie() -> None:
    far = Placement((4.0, 6.0), (3.0, 2.0))  # reaches a part of the image alone
    for placement in (None, far):
        found = region_shares(torch.ones(3, 1, *GRID), scenery().on(GRID, placement), REGIONS)
        assert found.density[~found.density.isnan()].tolist() == pytest.approx([1.0] * 8)


def test_blank_undefined_and_unlabelled_maps_have_no_share() -> None:
    maps = torch.zeros(3, 1, *SIZE, dtype=torch.float64)
    maps[1], maps[2] = math.nan, (CLASSES[2] == 3).double()  # all of it where no region is
    assert region_shares(maps, scenery().on(SIZE), REGIONS).energy.isnan().all()


def test_shares_and_distances_do_not_see_the_padding() -> None:
    valid = torch.zeros(3, *SIZE, dtype=torch.bool)
    valid[:, 6:, 3:23] = True
    whole, cut = scenery(valid), (slice(None), slice(6, None), slice(3, 23))
    small = Scenery(whole.luminance[cut], whole.foreground[cut], whole.background[cut], whole.ids)
    maps = torch.rand(3, 2, *SIZE, generator=RANDOM, dtype=torch.float64)
    picture = maps[:, :, 6:, 3:23]
    small_view, view = small.on((12, 20)), whole.on(SIZE)
    torch.testing.assert_close(outline_distances(whole)[cut], outline_distances(small), equal_nan=True)
    assert outline_distances(whole)[~valid].isnan().all()
    for edges in ((-2.0, 0.0, 3.0), EDGES):
        wanted = region_shares(picture, small_view, distance_rings(small, edges))
        found = region_shares(maps, view, distance_rings(whole, edges))
        torch.testing.assert_close(found.energy, wanted.energy, equal_nan=True)
        torch.testing.assert_close(found.area, wanted.area)
    torch.testing.assert_close(half_distances(maps, view), half_distances(picture, small_view), equal_nan=True)


def test_distances_are_those_to_the_nearest_pixel_of_the_other_side() -> None:
    view = scenery()
    for inside, found in zip(view.foreground, outline_distances(view), strict=True):
        np.testing.assert_allclose(found, slow.distances(inside.numpy()), atol=1e-12)


@pytest.mark.parametrize("placement", [None, Placement((1.0, 2.0), (4.5, 3.5))])
def test_half_distances_are_weighted_medians(placement: Placement | None) -> None:
    view = scenery()
    found = half_distances(MAPS, view.on(GRID, placement))
    large, away = upsample(MAPS, SIZE, placement).numpy(), outline_distances(view).numpy()
    for b, m in np.ndindex(3, 2):
        assert float(found[b, m]) == slow.half(large[b, m], away[b], view.background[b].numpy())


def test_rings_end_where_powers_of_two_are() -> None:
    far = [2.0**n for n in range(1, 7)]
    assert list(EDGES) == [*(-edge for edge in reversed(far[:-1])), 0.0, *far]


def test_half_distances_of_maps_that_are_known() -> None:
    inside = torch.zeros(1, 3, 11, dtype=torch.bool)
    inside[0, :, 0] = True
    view = Scenery(torch.zeros(1, 3, 11), inside, ~inside, ("a",)).on((3, 11))
    maps = torch.zeros(1, 5, 3, 11)
    maps[0, 0] = 1  # ten columns outside: half of them within the fifth
    maps[0, 1, :, 7] = 2
    maps[0, 2, :, 0] = 1  # nothing outside
    maps[0, 4, :, 1:3] = 1  # as much in the first column as in the second
    assert half_distances(maps, view)[0].tolist() == pytest.approx([4.5, 6.5, math.nan, math.nan, 0.5], nan_ok=True)


def test_images_without_an_outline_have_no_rings() -> None:
    none = torch.zeros(2, 4, 6, dtype=torch.bool)
    none[1] = True
    view = Scenery(torch.zeros(2, 4, 6), none, ~none, ("a", "b"))
    assert outline_distances(view).isnan().all()
    assert not distance_rings(view).any()
    assert half_distances(torch.ones(2, 1, 4, 6), view.on((4, 6))).isnan().all()
    assert region_shares(torch.ones(2, 1, 4, 6), view.on((4, 6)), distance_rings(view)).energy.isnan().all()


def test_rings_are_apart_and_hold_all_pixels_that_count() -> None:
    view = scenery()
    rings = distance_rings(view, (-3.0, 0.0, 2.5))
    assert torch.equal(rings.sum(1) > 0, view.sides)
    assert rings.sum(1).max() == 1
    assert rings.shape[1] == 4
    away = outline_distances(view)
    assert torch.equal(rings[:, 0] | rings[:, 1], view.foreground)
    assert torch.equal(rings[:, 3], (away > 2.5) & view.sides)


@pytest.mark.parametrize(
    ("edges", "shown"), [((), r"\(\)"), ((0, 4, 2), "4, 2"), ((0, 0), "0, 0"), ("far", "'far'"), ((0, math.inf), "inf")]
)
def test_edges_that_do_not_rise_are_refused(edges: object, shown: str) -> None:
    with pytest.raises(InputError, match=f"edges are .*{shown}.*rising distances"):
        distance_rings(scenery(), edges)  # type: ignore[arg-type]


def test_regions_of_other_images_are_refused() -> None:
    for regions in (REGIONS[:2], REGIONS[..., 1:], REGIONS[:, 0]):
        with pytest.raises(InputError, match=r"regions are .* \(3, regions, 18, 26\) are needed"):
            region_shares(MAPS, scenery().on(GRID), regions)


def test_rounding_leaves_no_share_above_one() -> None:
    left = torch.zeros(1, 37, 53, dtype=torch.bool)
    left[..., :40] = True
    view = Scenery(torch.zeros(1, 37, 53), left, ~left, ("a",)).on((5, 7))
    maps = torch.rand(1, 300, 5, 7, generator=torch.Generator().manual_seed(0))
    maps[..., 4:] = 0  # all of it at the left
    energy = region_shares(maps, view, torch.stack([left, ~left], 1)).energy
    assert float(energy.max()) == 1.0
