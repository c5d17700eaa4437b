"""How far: rings about an outline, of maps and of scores that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Batch, InputError, Probe, Sample, Target, grad_cam
from segcam.checks.distance import by_distance
from segcam.scoring.distances import distance_rings, half_distances
from segcam.scoring.reference import Scenery
from tests.small_networks import unchanged

ROWS, COLUMNS = 9, 24
EDGES = (-2.0, 0.0, 4.0, 8.0)


class Reads(nn.Module):
    """Class 1's logit at every pixel is the mean of the image's columns from `first` to before `end`, and a bias."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        self.features = nn.ReLU()
        columns = torch.zeros(COLUMNS)
        columns[first:end] = 1.0
        self.register_buffer("columns", columns)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        read = (features * self.columns).sum((2, 3), keepdim=True) / (ROWS * self.columns.sum())
        logit = read + 1.0 + 0 * features
        return torch.cat([torch.zeros_like(logit), logit], 1)


def batch() -> Batch:
    """The object is the four columns at the left, so that a column's place is its distance from the outline."""
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[:, :4] = 1
    empty, whole = np.zeros_like(mask), np.ones_like(mask)
    grey = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
    return Batch.of([Sample(name, grey, one) for name, one in (("a", mask), ("none", empty), ("all", whole))])


IMAGES = torch.full((3, 1, ROWS, COLUMNS), 2.0)
IMAGES[..., 20:] = 0.0  # so that the mean colour is another one than what is read
TARGET = Target(1, "image")
RINGS = [range(2), range(2, 4), range(4, 8), range(8, 12), range(12, 24)]
"""The columns of each ring."""


@pytest.mark.parametrize(("first", "end"), [(0, 4), (8, 12), (12, 20)])
def test_the_ring_that_decides_is_found_by_effect(first: int, end: int) -> None:
    net = Reads(first, end)
    with unchanged(net):
        found = by_distance(Probe(net, "features"), batch(), TARGET, edges=EDGES, images=IMAGES)
    colour = 2.0 * 20 / COLUMNS
    for ring, columns in enumerate(RINGS):
        read = [2.0 if x < 20 else 0.0 for x in range(COLUMNS)]
        for x in columns:
            read[x] = colour
        score = 1 + float(np.mean(read[first:end]))
        assert float(found.change[0, ring]) == pytest.approx((score - 3) / 3, abs=1e-6)
    assert found.change[1:].isnan().all()  # images without an outline
    assert found.scores.tolist() == pytest.approx([3.0] * 3)


def test_a_map_of_known_place_has_its_ring_and_controls_theirs() -> None:
    """Grad-CAM of a layer with one channel is the features, wherever the score looks: columns 0 to 19, evenly."""
    methods = ["grad_cam", "uniform", "mask_oracle", "random", "gaussian"]
    found = by_distance(Probe(Reads(8, 12), "features"), batch(), TARGET, methods, edges=EDGES, images=IMAGES)
    energy, area = found.energy["features"][0], found.area["features"][0]
    np.testing.assert_allclose(area, [len(ring) / COLUMNS for ring in RINGS], atol=1e-6)
    np.testing.assert_allclose(energy[0], [len(set(ring) & set(range(20))) / 20 for ring in RINGS], atol=1e-6)
    np.testing.assert_allclose(energy[1], area, atol=1e-6)
    np.testing.assert_allclose(energy[2], [0.5, 0.5, 0, 0, 0], atol=1e-6)
    assert (energy[3] - area).abs().max() < 0.15
    density = found.density("features")[0]
    np.testing.assert_allclose(density[1], np.ones(5), atol=1e-5)
    assert density[4, 3] > density[4, 0]  # a Gaussian in the middle
    np.testing.assert_allclose(found.cumulative("features")[0, :, -1], np.ones(5), atol=1e-5)
    np.testing.assert_allclose(found.cumulative("features")[0, 0], energy[0].cumsum(0), atol=1e-6)
    half = found.half["features"][0]
    assert half[:2].tolist() == [7.5, 9.5]  # 8 of 16 columns with energy outside, and 10 of 20
    assert math.isnan(float(half[2]))  # nothing of the mask lies outside
    assert found.half_chance.tolist() == pytest.approx([9.5, math.nan, math.nan], nan_ok=True)
    assert found.energy["features"][1:].isnan().all()
    assert found.half["features"][1:].isnan().all()
    assert found.cumulative("features")[1:].isnan().all()
    assert found.ring_pixels.tolist() == [[ROWS * len(ring) for ring in RINGS], [0] * 5, [0] * 5]


def test_sums_go_over_rings_that_are_empty() -> None:
    found = by_distance(Probe(Reads(8, 12), "features"), batch(), TARGET, images=IMAGES)
    energy, sums = found.energy["features"][0, 0], found.cumulative("features")[0, 0]
    assert energy.isnan().tolist() == [x == 0 for x in found.area["features"][0].tolist()]
    assert energy.isnan().any()
    torch.testing.assert_close(sums, energy.nan_to_num(0).cumsum(0))
    assert float(sums[-1]) == pytest.approx(1)


def test_the_outline_is_that_of_the_masks_own_class() -> None:
    """The network calls the object 1; the masks call it 3, and something else 1."""
    of = batch()
    masks = of.masks.clone()
    masks[of.masks == 1], masks[of.masks == 0] = 3, 1
    renamed = replace(of, masks=masks)
    probe = Probe(Reads(8, 12), "features")
    wanted = by_distance(probe, of, TARGET, edges=EDGES, images=IMAGES)
    for asked in (
        by_distance(probe, renamed, replace(TARGET, true_class=3), edges=EDGES, images=IMAGES),
        by_distance(probe, renamed, replace(TARGET, true_class=2), class_id=3, edges=EDGES, images=IMAGES),
    ):
        torch.testing.assert_close(asked.energy["features"], wanted.energy["features"], equal_nan=True)
        torch.testing.assert_close(asked.change, wanted.change, equal_nan=True)


def test_no_pixel_has_no_score_and_one_has() -> None:
    probe = Probe(Reads(8, 12), "features")
    none = by_distance(probe, batch(), Target(0, "predicted"), class_id=1, edges=EDGES, images=IMAGES)
    assert none.scores.isnan().all()  # class 1 is predicted everywhere
    assert none.change.isnan().all()
    assert none.energy["features"].isnan().all()
    one = by_distance(probe, batch(), Target(1), edges=EDGES, images=IMAGES)
    assert one.scores.tolist() == pytest.approx([3.0] * 3)
    assert one.change[0].isfinite().all()


def test_cells_lie_where_the_placement_says() -> None:
    """A strided layer: stretched over the image, its cells lie elsewhere than where they look."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    images = torch.rand(3, 1, ROWS, COLUMNS)
    densities = []
    for placement in ("stretched", "receptive_field"):
        probe = Probe(net, "1", placement=placement)  # type: ignore[arg-type]
        found = by_distance(probe, batch(), TARGET, edges=EDGES, images=images)
        capture = probe(images, TARGET)
        scenery = Scenery.of(batch())
        maps = capture.upsampled(grad_cam)
        rings = distance_rings(scenery, EDGES)
        place = capture.placements["1"]
        seen = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
        if place is not None and not place.spans((3, 6), (ROWS, COLUMNS)):
            seen = place.covered((3, 6), (ROWS, COLUMNS))
        parts = [float((maps[0] * (rings[0, r] & seen)).sum()) for r in range(5)]
        np.testing.assert_allclose(found.energy["1"][0, 0], np.array(parts) / sum(parts), atol=2e-3)
        view = scenery.on((3, 6), place)
        wanted = half_distances(capture.maps(grad_cam)[:, None], view)
        torch.testing.assert_close(found.half["1"], wanted, equal_nan=True)
        densities.append(found.energy["1"][0, 0])
    assert not torch.allclose(*densities)


def test_what_does_not_fit_is_refused() -> None:
    probe = Probe(Reads(0, 4), "features")
    with pytest.raises(InputError, match="rising distances"):
        by_distance(probe, batch(), TARGET, edges=(3, 1), images=IMAGES)
    with pytest.raises(InputError, match="they are to be alike"):
        by_distance(probe, batch(), TARGET, images=IMAGES[:2])
    with pytest.raises(InputError, match="unknown method 'cam_grad'"):
        by_distance(probe, batch(), TARGET, "cam_grad", images=IMAGES)
    found = by_distance(probe, batch(), TARGET, images=IMAGES)
    with pytest.raises(InputError, match="no layer 'head'"):
        found.density("head")
