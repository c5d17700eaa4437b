"""Padding is no picture: maps on a padded canvas score what they score on the picture alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segcam import Batch, InputError, Sample
from segcam.methods import METHODS
from segcam.metrics import METRICS, measure
from segcam.scoring.grids import Placement
from segcam.scoring.reference import Scenery

PICTURE, CANVAS = (48, 64), (64, 80)
NAMES = METRICS.names()


def scenes(*, padded: bool) -> Scenery:
    random = torch.Generator().manual_seed(0)
    luminance = torch.rand(2, *PICTURE, generator=random, dtype=torch.float64)
    foreground = torch.zeros(2, *PICTURE, dtype=torch.bool)
    foreground[0, 10:30, 0:40], foreground[1, 20:48, 30:50] = True, True
    sides = [luminance, foreground, ~foreground]
    if not padded:
        return Scenery(*sides, ("a", "b"))
    valid = torch.ones(2, *PICTURE, dtype=torch.bool)
    on_canvas = [_pad(t) for t in (*sides, valid)]
    return Scenery(*on_canvas[:3], ("a", "b"), valid=on_canvas[3])


def _pad(t: Tensor) -> Tensor:
    return F.pad(t.double(), (8, 8, 16, 0), value=0.5 if t.is_floating_point() else 0).to(t.dtype)


@pytest.fixture(scope="module")
def maps() -> Tensor:
    return torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("metric", NAMES)
def test_metrics_do_not_see_the_padding(metric: str, maps: Tensor) -> None:
    on_canvas = torch.rand(2, 3, 8, 10, dtype=torch.float64)  # the network's maps go on over the padding
    on_canvas[:, :, 2:, 1:9] = maps
    small, large = scenes(padded=False).on((6, 8)), scenes(padded=True).on((8, 10))
    wanted = METRICS.get(metric).compute(maps, small)
    torch.testing.assert_close(METRICS.get(metric).compute(on_canvas, large), wanted, equal_nan=True, atol=1e-9, rtol=0)
    torch.testing.assert_close(measure(on_canvas, large, [metric])[metric], wanted, equal_nan=True, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", [method.name for method in METHODS if method.control is not None])
def test_controls_are_made_of_the_picture_alone(name: str) -> None:
    control = METHODS.get(name).control
    assert control is not None
    small, large = control(scenes(padded=False).on((6, 8))), control(scenes(padded=True).on((8, 10)))
    torch.testing.assert_close(large[:, 2:, 1:9], small)
    assert float(large.sum()) == pytest.approx(float(small.sum()))


def test_pictures_of_unlike_shape_share_a_batch(maps: Tensor) -> None:
    """Each image is measured on its own rectangle, whatever the others' are."""
    one, other = scenes(padded=True), scenes(padded=False)
    valid = torch.zeros(2, *CANVAS, dtype=torch.bool)
    valid[0, 16:, 8:72], valid[1] = True, True
    fields = [one.luminance, one.foreground, one.background]
    mixed = Scenery(*fields, ("a", "b"), valid=valid)
    on_canvas = F.pad(maps, (1, 1, 2, 0))
    found, alone = measure(on_canvas, mixed.on((8, 10)), NAMES), measure(maps, other.on((6, 8)), NAMES)
    whole = Scenery(*(t[1:] for t in fields), ("b",))
    rest = measure(on_canvas[1:], whole.on((8, 10)), NAMES)
    for name in NAMES:
        torch.testing.assert_close(found[name][0], alone[name][0], equal_nan=True)
        torch.testing.assert_close(found[name][1], rest[name][0], equal_nan=True)


def test_cells_that_cover_less_than_the_picture_are_measured_where_they_lie() -> None:
    scenery = scenes(padded=False)
    maps = torch.rand(2, 1, 32, 48, dtype=torch.float64)
    place = Placement((8.0, 8.0), (1.0, 1.0))
    cut = Scenery(*(t[:, 8:40, 8:56] for t in (scenery.luminance, scenery.foreground, scenery.background)), scenery.ids)
    found, wanted = measure(maps, scenery.on((32, 48), place), NAMES), measure(maps, cut.on((32, 48)), NAMES)
    for name in NAMES:
        torch.testing.assert_close(found[name], wanted[name], equal_nan=True)


def test_a_stretched_placement_is_no_placement(maps: Tensor) -> None:
    scenery = scenes(padded=False)
    place = Placement.stretched((6, 8), PICTURE)
    found, wanted = measure(maps, scenery.on((6, 8), place), NAMES), measure(maps, scenery.on((6, 8)), NAMES)
    for name in NAMES:
        torch.testing.assert_close(found[name], wanted[name], equal_nan=True, atol=1e-9, rtol=1e-9)


def test_samples_bring_their_valid_region(maps: Tensor) -> None:
    valid = torch.zeros(CANVAS, dtype=torch.bool)
    valid[16:, 8:72] = True
    image = torch.randint(0, 256, (*CANVAS, 3), dtype=torch.uint8).numpy()
    mask = (torch.rand(CANVAS) > 0.5).to(torch.uint8).numpy()
    batch = Batch.of([Sample("a", image, mask, valid=valid.numpy())])
    cut = Batch.of([Sample("a", image[16:, 8:72].copy(), mask[16:, 8:72].copy())])
    found = measure(F.pad(maps[:1], (1, 1, 2, 0)), Scenery.of(batch).on((8, 10)), NAMES)
    wanted = measure(maps[:1], Scenery.of(cut).on((6, 8)), NAMES)
    for name in NAMES:
        torch.testing.assert_close(found[name], wanted[name], equal_nan=True, atol=1e-5, rtol=1e-5)


def test_regions_that_are_no_rectangle_are_refused() -> None:
    scenery = scenes(padded=False)
    fields = (scenery.luminance, scenery.foreground, scenery.background, scenery.ids)
    broken = torch.ones(2, *PICTURE, dtype=torch.bool)
    broken[1, 5, 5] = False
    with pytest.raises(InputError, match="'b' is no rectangle"):
        measure(torch.rand(2, 1, 6, 8), Scenery(*fields, valid=broken).on((6, 8)), ["gini"])
    broken[1] = False
    with pytest.raises(InputError, match="'b' is empty"):
        measure(torch.rand(2, 1, 6, 8), Scenery(*fields, valid=broken).on((6, 8)), ["gini"])
    with pytest.raises(InputError, match=r"\(2, 48, 64\) is needed"):
        Scenery(*fields, valid=broken[:, :4])
    far = Placement((500.0, 500.0), (1.0, 1.0))
    with pytest.raises(InputError, match="no cell"):
        measure(torch.rand(2, 1, 6, 8), scenery.on((6, 8), far), ["gini"])
