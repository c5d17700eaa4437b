"""Regions of one's own: drawn as by hand, at the input's size, and explained like any other set."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from segcam import InputError, Probe, ProbeError, Target, grad_cam
from segcam.checks import diagnose
from segcam.maps import all_maps
from segcam.probe.targets import Region
from tests.reference.metrics import area_average

SIZE = (9, 12)
NETWORK = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1)).eval()
STRIDED = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, stride=3)).eval()


def images(count: int = 2, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


def marked(size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(seed).random(size) < 0.3
    return found


def by_hand(region: np.ndarray, class_id: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The score and the map for a region `(b, h, w)`."""
    activations = NETWORK[0](images()).detach().requires_grad_()
    pixels = torch.from_numpy(region)
    scores = (NETWORK[2](activations.relu())[:, class_id] * pixels).flatten(1).sum(1) / pixels.flatten(1).sum(1)
    (gradients,) = torch.autograd.grad(scores.sum(), activations)
    return scores.detach(), grad_cam(activations.detach(), gradients)


BOX = np.zeros(SIZE, bool)
BOX[2:5, 3:10] = True
ONE = np.zeros(SIZE, bool)
ONE[4, 7] = True
SAME: dict[str, tuple[object, np.ndarray]] = {
    "tensor": (torch.from_numpy(marked()), marked()),
    "0 and 1": (torch.from_numpy(marked()).to(torch.int64), marked()),
    "0 and 255": (255 * marked().astype(np.uint8), marked()),
    "floats": (marked().astype(np.float32), marked()),
    "PIL 1": (Image.fromarray(marked()), marked()),
    "PIL L": (Image.fromarray(255 * marked().astype(np.uint8)), marked()),
    "box": (Region.box(2, 3, 5, 10), BOX),
    "box by name": ("box(2,3,5,10)", BOX),
    "its outline": (Region.polygon([(3, 2), (10, 2), (10, 5), (3, 5)]), BOX),
    "two outlines": (Region.polygon([(3, 2), (6, 2), (6, 5), (3, 5)], [(6, 2), (10, 2), (10, 5), (6, 5)]), BOX),
    "in one list": (Region.polygon([[(3, 2), (6, 2), (6, 5), (3, 5)], [[6, 2], [10, 2], [10, 5], [6, 5]]]), BOX),
    "COCO's": (Region.polygon([[3, 2, 6, 2, 6, 5, 3, 5], [6, 2, 10, 2, 10, 5, 6, 5]]), BOX),  # type: ignore[list-item]
    "one of COCO's": (Region.polygon([3, 2, 10, 2, 10, 5, 3, 5]), BOX),  # type: ignore[list-item]
    "an array's": (Region.polygon(np.array([[3, 2], [10, 2], [10, 5], [3, 5]])), BOX),
    "pixel": (Region.pixel(4, 7), ONE),
    "pixel by name": ("pixel(4,7)", ONE),
}


@pytest.mark.parametrize("case", SAME)
def test_a_region_is_explained_as_by_hand(case: str) -> None:
    given, pixels = SAME[case]
    region = np.stack([pixels, pixels])
    scores, maps = by_hand(region)
    capture = Probe(NETWORK, "0")(images(), Target(1, given))  # type: ignore[arg-type]
    assert np.array_equal(capture.explained.chosen.numpy(), region)
    torch.testing.assert_close(capture.scores, scores)
    torch.testing.assert_close(capture.maps(grad_cam), maps)


def test_each_image_has_its_own() -> None:
    ones = [marked(seed=1), marked(seed=2)]
    scores, maps = by_hand(np.stack(ones))
    for regions in (np.stack(ones), torch.from_numpy(np.stack(ones)), ones, [Region(one) for one in ones]):
        target = Target(1, regions)  # type: ignore[arg-type]
        capture = Probe(NETWORK, "0")(images(), target)
        torch.testing.assert_close(capture.scores, scores)
        torch.testing.assert_close(capture.maps(grad_cam), maps)
        second = Probe(NETWORK, "0")(images()[1:], target.of(slice(1, 2)))
        torch.testing.assert_close(second.maps(grad_cam), maps[1:])
        turned = Probe(NETWORK, "0")(images().flip(0), target.of(torch.tensor([1, 0])))
        torch.testing.assert_close(turned.maps(grad_cam), maps.flip(0))
    mixed = Target((1, 2), [Region.box(2, 3, 5, 10), Region.pixel(4, 7)])
    chosen = Probe(NETWORK, "0")(images(), mixed).explained.chosen.numpy()
    assert np.array_equal(chosen, np.stack([BOX, ONE]))


def test_images_without_marked_pixels_have_no_map() -> None:
    region = np.stack([marked(), np.zeros(SIZE, bool)])
    capture = Probe(NETWORK, "0")(images(), Target(1, region))
    assert capture.target_pixels.tolist() == [marked().sum(), 0]
    assert capture.maps(grad_cam).isnan().flatten(1).all(1).tolist() == [False, True]


@pytest.mark.parametrize("per_image", [False, True])
def test_batches_that_are_split_for_memory_and_fixed_pixels(per_image: bool) -> None:
    x = images(6, (48, 48))
    region = Region(np.stack([marked((48, 48), seed=i) for i in range(6)]) if per_image else marked((48, 48)))
    target, probe = Target({1, 2}, region, "margin"), Probe(NETWORK, ["0", "1"])
    (whole,) = all_maps(probe, x, [target], ["grad_cam"])
    (split,) = all_maps(probe, x, [target], ["grad_cam"], max_memory=1_500_000)
    for label, maps in whole.items():
        torch.testing.assert_close(split[label], maps, atol=1e-6, rtol=1e-4)
    capture = probe(x, target)
    (again,) = probe.many(x.flip(3), [target], fixed=[capture.explained])
    assert torch.equal(again.explained.chosen, capture.explained.chosen)


def test_no_pixel_of_the_padding_is_chosen() -> None:
    valid = torch.zeros(2, *SIZE, dtype=torch.bool)
    valid[:, :4] = True
    chosen = Probe(NETWORK, "0")(images(), Target(1, BOX), valid=valid).explained.chosen
    assert np.array_equal(chosen[0].numpy(), BOX & valid[0].numpy())
    capture = Probe(NETWORK, "0")(images(), Target(1, "box(6,0,8,3)"), valid=valid)
    assert capture.target_pixels.tolist() == [0, 0]
    assert capture.maps(grad_cam).isnan().all()


@pytest.mark.parametrize("seed", range(4))
def test_at_the_resolution_of_the_output(seed: int) -> None:
    region = marked(seed=seed)
    if seed == 3:
        region = ONE  # a ninth of a cell: the one cell is taken that it lies in
    chosen = Probe(STRIDED, "0")(images(), Target(1, region, at="output")).explained.chosen[0].numpy()
    shares = area_average(region.astype(float), 3, 4)
    wanted = shares > 0.5 if (shares > 0.5).any() else (shares > shares.max() - 1e-9) & (shares > 0)
    assert np.array_equal(chosen, wanted)
    assert chosen.any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 12), st.floats(0, 9)), min_size=3, max_size=7))
def test_outlines_hold_the_centres_around_which_they_go_an_odd_number_of_times(
    corners: list[tuple[float, float]],
) -> None:
    odd, near = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    for row, column in np.ndindex(SIZE):
        x, y = column + 0.5, row + 0.5
        for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
            along = np.clip(
                ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / max((x2 - x1) ** 2 + (y2 - y1) ** 2, 1e-12), 0, 1
            )
            near[row, column] |= np.hypot(x1 + along * (x2 - x1) - x, y1 + along * (y2 - y1) - y) < 1e-6
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
                odd[row, column] ^= True
    try:
        drawn = Region.polygon(corners).on(SIZE, 1)[0].numpy()
    except ProbeError:
        drawn = np.zeros(SIZE, bool)
    assert np.array_equal(drawn[~near], odd[~near])


def test_names_tell_regions_apart_and_are_the_same_again() -> None:
    one, two = Region(marked()), Region(torch.from_numpy(marked()).long())
    assert one == two
    assert hash(Target(1, one)) == hash(Target(1, two))
    assert Target(1, one).name == Target(1, marked()).name
    assert Target(1, one).name.startswith("region(")
    assert Target(1, one) != Target(1, marked(seed=1))
    assert Target(1, one).name != Target(1, Region(marked(seed=1))).name
    assert Target(1, Region(marked(), "roof"), "margin", "output").name == "region(roof):margin@output"
    assert Target(1, Region.box(2, 3, 5, 10, "eye")).name == "region(eye):logit"
    assert Target(1, Region.box(2, 3, 5, 10)) == Target.parse("box(2,3,5,10)")
    for region in (one, Region.polygon([(0, 0), (3, 0), (3, 3)]), Region.each([one, Region.pixel(1, 2)])):
        for other in (pickle.loads(pickle.dumps(region)), copy.deepcopy(region)):
            assert other == region
            assert torch.equal(other.on(SIZE, 2), region.on(SIZE, 2))


def test_a_mask_that_is_changed_later_changes_nothing() -> None:
    mask = torch.from_numpy(marked())
    region = Region(mask)
    mask.fill_(False)
    assert np.array_equal(region.on(SIZE, 1)[0].numpy(), marked())


GIVEN: dict[str, tuple[Callable[[], object], str]] = {
    "empty": (lambda: np.zeros(SIZE, bool), "the region is empty"),
    "NaN": (lambda: np.where(marked(), np.nan, 0.0), "holds the values 0, nan: True and False"),
    "labels": (lambda: np.arange(6, dtype=np.uint8).reshape(2, 3), "0, 1, 2, 3, 4, ...: True and False"),
    "0, 1 and 255": (lambda: np.array([[0, 1, 255]], np.uint8), "values 0, 1, 255"),
    "grey picture": (lambda: Image.new("L", (4, 4), 7), "values 7: True"),
    "colours": (lambda: Image.new("RGB", (4, 4)), "mode 'RGB': one channel"),
    "one axis": (lambda: np.ones(4, bool), r"region is \(4,\)"),
    "channels": (lambda: np.ones((1, 1, 4, 4), bool), r"region is \(1, 1, 4, 4\)"),
    "words": (lambda: np.array([["a"]]), "a tensor or an array of real numbers"),
    "nothing": (lambda: None, "pixels are a NoneType: name a pixel set"),
    "a number": (lambda: 3, "pixels are a int"),
    "nested each": (lambda: [Region(np.ones((2, *SIZE), bool))], "one region an image is needed"),
    "no list": (list, "pixels are a list"),
    "box upside down": (lambda: Region.box(5, 3, 2, 10), "holds no pixel"),
    "box of floats": (lambda: Region.box(0.5, 0, 2, 2), "a whole number"),  # type: ignore[arg-type]
    "two corners": (lambda: Region.polygon([(0, 0), (1, 1)]), "three corners"),
    "no points": (lambda: Region.polygon([0, 0, 1, 1]), "three corners"),  # type: ignore[list-item]
    "nothing finite": (lambda: Region.polygon([(0, 0), (1, 1), (np.inf, 0)]), "no finite number"),
    "a name of signs": (lambda: Region(marked(), "a:b"), "the region's name is 'a:b'"),
    "a pixel before the first": (lambda: Region.pixel(-1, 2), "outside of every image"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_what_is_no_region_is_refused(case: str) -> None:
    make, message = GIVEN[case]
    with pytest.raises(InputError, match=message):
        Target(1, make())  # type: ignore[arg-type]


OUTSIDE: dict[str, tuple[object, str]] = {
    "another size": (np.ones((8, 12), bool), "the region is 8 x 12 pixels, and the input 9 x 12"),
    "other images": (np.ones((3, *SIZE), bool), "regions for 3 images, and 2 are given"),
    "box": (Region.box(2, 3, 10, 5), "rows 2 to 9 and columns 3 to 4 reach out of the input of 9 x 12"),
    "pixel": ("pixel(4,12)", "columns 12 to 12 reach out"),
    "outline": (Region.polygon([(0, 0), (13, 0), (0, 5)]), r"corner \(13, 0\) lies outside"),
    "thin outline": (Region.polygon([(0, 0), (0.1, 0), (0, 0.1)]), "no pixel's centre"),
    "point": ("instance(9,0)", r"point \(9, 0\) of target 'instance\(9,0\):logit' lies outside of the input of 9 x 12"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_does_not_lie_on_the_images_is_refused(case: str) -> None:
    given, message = OUTSIDE[case]
    with pytest.raises(ProbeError, match=message):
        Probe(NETWORK, "0")(images(), Target(1, given))  # type: ignore[arg-type]


def test_a_diagnosis_says_which_region_is_empty() -> None:
    region = Region(np.stack([marked(), np.zeros(SIZE, bool)]), "roof")
    text = str(diagnose(Probe(NETWORK, "0"), images(), Target(1, region)))
    assert "undefined in 1 of 2 images: pixel set 'region(roof)' is empty" in text
