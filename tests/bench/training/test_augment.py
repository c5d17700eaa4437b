"""Augmentation: deterministic, and image and mask move together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.training.augment import Augmentation
from segcam.channels import MEAN, RGB, STD
from segcam.samples import IGNORE

SIDE, COUNT = 32, 8
NONE = Augmentation(flip=0.0, rotation=0.0, scale=1.0, shift=0.0, colour=0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise() -> tuple[Tensor, Tensor]:
    images = torch.randint(256, (COUNT, 3, SIDE, SIDE), dtype=torch.uint8, generator=seeded(5))
    masks = torch.randint(3, (COUNT, SIDE, SIDE), dtype=torch.uint8, generator=seeded(6))
    return images, torch.where(masks == 2, IGNORE, masks).to(torch.uint8)


def only(**changed: float) -> Augmentation:
    return replace(NONE, **changed)


def shown(inputs: Tensor) -> Tensor:
    """Undo the normalisation: numbers of 0..255."""
    return (inputs * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)) * 255


def test_zeros_leave_everything_as_it_is() -> None:
    images, masks = noise()
    moved, labels = NONE(images, masks, seeded())
    assert torch.equal(labels, masks)
    torch.testing.assert_close(moved, RGB.normalised(images), rtol=0, atol=1e-4)


def test_the_generator_decides_alone() -> None:
    images, masks = noise()
    before, untouched = torch.get_rng_state(), images.clone()
    first, again, other = (Augmentation()(images, masks, seeded(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(first, other, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(images, untouched)
    moved, labels = first
    assert (moved.shape, moved.dtype) == (images.shape, torch.float32)
    assert (labels.shape, labels.dtype) == (masks.shape, torch.uint8)
    assert set(labels.unique().tolist()) <= {0, 1, IGNORE}
    assert torch.isfinite(moved).all()


def test_each_sample_is_moved_its_own_way() -> None:
    images, masks = (t[:1].repeat(COUNT, *[1] * (t.ndim - 1)) for t in noise())
    moved, labels = Augmentation()(images, masks, seeded())
    assert all(not torch.equal(labels[0], one) for one in labels[1:])
    assert all(not torch.equal(moved[0], one) for one in moved[1:])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "settings",
    [{"flip": 0.5}, {"rotation": 45.0}, {"scale": 1.5}, {"shift": 0.3}, {}],
    ids=["flip", "rotation", "scale", "shift", "all"],
)
def test_image_and_mask_stay_together(settings: dict[str, float], seed: int) -> None:
    """Red holds each pixel's column and the mask does too: they must agree to half a pixel wherever they come from."""
    column = torch.arange(SIDE, dtype=torch.uint8).expand(SIDE, SIDE)
    for mask, channel in ((column, 0), (column.T, 1)):
        images = torch.zeros(COUNT, 3, SIDE, SIDE, dtype=torch.uint8)
        images[:, channel] = mask * 8
        augment = only(**settings) if settings else Augmentation(0.5, 30, 1.5, 0.2, 0)
        moved, labels = augment(images, mask.expand(COUNT, -1, -1).contiguous(), seeded(seed))
        known = F.pad((labels != IGNORE).float(), (2, 2, 2, 2))[:, None]
        inside = -F.max_pool2d(-known, 5, 1)[:, 0] > 0  # off the image's edge, where 0 mixes in
        assert inside.float().mean() > 0.2
        apart = (shown(moved)[:, channel] / 8 - labels).abs()
        assert float(apart[inside].max()) <= 0.5 + 1e-3
        if channel == 0:
            assert not torch.equal(labels, mask.expand_as(labels))


def test_what_comes_from_outside_is_ignored_and_grey() -> None:
    white = torch.full((COUNT, 3, SIDE, SIDE), 255, dtype=torch.uint8)
    moved, labels = Augmentation(0.5, 45, 1.5, 0.4, 0)(white, torch.ones_like(white[:, 0]), seeded(1))
    assert set(labels.unique().tolist()) == {1, IGNORE}
    inside = moved[:, 0] / ((1 - MEAN[0]) / STD[0])  # the share of the bilinear sample that lies in the image
    assert (labels[inside < 1e-4] == IGNORE).all()
    assert (labels[inside > 1 - 1e-4] == 1).all()
    assert (moved[:, 0][inside < 1e-4].abs() < 1e-3).all(), "the mean colour, which is 0 to the network"
    assert 0.05 < float((labels == IGNORE).float().mean()) < 0.8


def test_ignored_pixels_stay_ignored() -> None:
    images, _ = noise()
    masks = torch.full((COUNT, SIDE, SIDE), IGNORE, dtype=torch.uint8)
    assert (Augmentation()(images, masks, seeded())[1] == IGNORE).all()


def test_flip() -> None:
    images, masks = noise()
    moved, labels = only(flip=1.0)(images, masks, seeded())
    assert torch.equal(labels, masks.flip(2))
    torch.testing.assert_close(moved, RGB.normalised(images.flip(3)), rtol=0, atol=1e-4)
    _, labels = only(flip=0.5)(images, masks, seeded(2))
    flipped = (labels == masks.flip(2)).flatten(1).all(1)
    assert torch.equal(flipped, (labels != masks).flatten(1).any(1))
    assert 0 < flipped.sum() < COUNT


def test_shift_moves_by_a_share_of_the_side_at_most() -> None:
    """A dot in the middle: where it can be found afterwards."""
    masks = torch.zeros(200, SIDE, SIDE, dtype=torch.uint8)
    masks[:, 15:17, 15:17] = 1
    images = masks[:, None].repeat(1, 3, 1, 1)
    _, labels = only(shift=0.25)(images, masks, seeded())
    assert ((labels == 1).flatten(1).sum(1) == 4).all()
    places = torch.stack([(one == 1).nonzero().float().mean(0) for one in labels]) - 15.5
    assert float(places.abs().max()) <= 0.25 * SIDE + 0.5
    assert (places.abs().amax(0) > 0.2 * SIDE).all(), "both ways of both axes are used"
    assert (places.amin(0) < -3).all()
    assert (places.amax(0) > 3).all()


def test_scale_changes_areas_within_its_square() -> None:
    masks = torch.zeros(200, SIDE, SIDE, dtype=torch.uint8)
    masks[:, 8:24, 8:24] = 1
    _, labels = only(scale=1.5)(masks[:, None].repeat(1, 3, 1, 1), masks, seeded())
    areas = (labels == 1).flatten(1).sum(1) / 256
    assert 1 / 2.25 - 0.1 < float(areas.min()) < 0.6
    assert 1.7 < float(areas.max()) < 2.25 + 0.2
    assert 0.8 < float(areas.log().mean().exp()) < 1.25, "as often larger as smaller"


def test_colour_changes_images_alone_and_by_little() -> None:
    images, masks = noise()
    moved, labels = only(colour=0.3)(images, masks, seeded())
    assert torch.equal(labels, masks)
    assert not torch.allclose(moved, RGB.normalised(images), atol=0.05)
    colours = shown(moved)
    assert float(colours.min()) >= -0.05
    assert float(colours.max()) <= 255.05
    grey = torch.full((COUNT, 3, SIDE, SIDE), 100, dtype=torch.uint8)  # grey has neither contrast nor saturation
    brightness = shown(only(colour=0.3)(grey, masks, seeded())[0]) / 100
    assert float((brightness - 1).abs().max()) <= 0.3 + 1e-3
    assert float(brightness.std((1, 2, 3)).max()) < 1e-3
