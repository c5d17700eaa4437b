"""Targets: on logits small enough to do by hand, against slow twins, and what must hold of each."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcam import InputError, Layer, Probe, ProbeError, Target, grad_cam
from segcam.metrics.boundary import outline_band, reach
from segcam.models import architecture, create
from segcam.probe.targets import PIXEL_SETS, SCORES
from tests.reference import targets as slow

LOGITS = torch.tensor(
    [
        [[[0.0, 2.0], [1.0, 0.0]], [[1.0, 3.0], [0.0, 0.5]]],  # class 1 wins at (0,0), (0,1), (1,1)
        [[[5.0, 5.0], [5.0, 5.0]], [[1.0, 0.0], [2.0, 4.0]]],  # class 1 wins nowhere
    ]
)


MASKS = torch.tensor([[[1, 255], [0, 1]], [[0, 255], [255, 0]]])


@pytest.mark.parametrize(
    ("target", "scores", "pixels", "predicted"),
    [
        (Target(), [3.0, 4.0], [[0, 1, 0, 0], [0, 0, 0, 1]], [True, False]),  # there even where nothing is predicted
        (Target(pixels="predicted"), [1.5, 0.0], [[1, 1, 0, 1], [0, 0, 0, 0]], [True, False]),
        (Target(class_id=(1, 0)), [3.0, 5.0], [[0, 1, 0, 0], [1, 0, 0, 0]], [True, True]),  # of equals, the first
        (Target(pixels="truth"), [0.75, 0.0], [[1, 0, 0, 1], [0, 0, 0, 0]], [True, False]),  # no ignored pixel
    ],
)
def test_by_hand(target: Target, scores: list[float], pixels: list[list[int]], predicted: list[bool]) -> None:
    explained = target.explain(LOGITS, (2, 2), MASKS)
    assert explained.scores.tolist() == scores
    assert explained.chosen.flatten(1).int().tolist() == pixels
    assert explained.pixels.tolist() == [sum(image) for image in pixels]
    assert explained.predicted.tolist() == predicted


def test_the_frame_of_a_padded_picture_is_no_outline() -> None:
    logits = torch.zeros(1, 2, 6, 9)
    logits[0, 1, :, :4] = 1
    valid = torch.zeros(1, 6, 9, dtype=torch.bool)
    valid[:, 1:5] = True
    chosen = Target(pixels="boundary", distance=1).explain(logits, (6, 9), valid=valid).chosen
    wanted = torch.zeros(6, 9, dtype=torch.bool)
    wanted[1:5, 3] = True
    assert torch.equal(chosen[0], wanted)


def test_cells_of_a_coarse_output_that_lie_in_the_padding() -> None:
    logits = torch.zeros(2, 2, 2, 2)
    logits[:, 1, 1, 1] = 9  # in the padding of both
    valid = torch.zeros(2, 8, 8, dtype=torch.bool)
    valid[0, :4] = True
    valid[1, :1] = True  # thinner than half a cell
    for target in (Target(at="output"), Target(pixels="image", at="output")):
        chosen = target.explain(logits, (8, 8), valid=valid).chosen
        assert not chosen[:, 1].any()
        assert chosen[:, 0].flatten(1).any(1).all()


def test_resolution_of_the_pixel() -> None:
    logits = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert Target().explain(logits, (16, 16)).chosen.shape == (1, 16, 16)
    assert Target(at="output").explain(logits, (16, 16)).chosen.shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(class_id=2), "class 2 does not exist: the network has classes 0 to 1"),
        (Target(class_id=-1), "class -1 does not exist"),
        (Target(class_id=(1, 1, 1)), "names 3 classes for 2 images"),
        (Target(), "not finite"),
    ],
)
def test_wrong_classes_and_logits(target: Target, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        target.explain(LOGITS * torch.inf if message == "not finite" else LOGITS, (2, 2))


SETS = [name + {"point": "(3,2)", "other": "(2)"}.get(str(one.takes), "") for name, one in PIXEL_SETS.items()]
"""All pixel sets with what they need, as a target's name has them."""
OF_ONE = [name for name in SETS if "border" not in name]
SCORES_OF_ONE = [name for name in SCORES if name != "pair"]


def test_names_round_trip() -> None:
    for pixels, score, at in itertools.product(OF_ONE, SCORES_OF_ONE, ("", "@output")):
        assert Target.parse(f"{pixels}:{score}{at}").name == f"{pixels}:{score}{at}"
    names = ("border(2):logit", "border(2):pair", "predicted:pair(0)@output", "border(dog):pair", "border(2+3):margin")
    for name in (*names, "box(4,6,10,20):logit", "pixel(4,6):margin@output"):
        assert Target.parse(name).name == name
    assert Target.parse("border(3+2)").name == "border(2+3):logit"
    assert Target.parse("instance_truth( 3, 4 )", 2) == Target(2, "instance_truth", point=(3, 4))
    assert Target(1, "boundary(3)") == Target(1, "boundary", distance=3)
    for name in ("boundary(5):logit", "boundary(12):logprob@output"):
        assert Target.parse(name).name == name
    assert Target.parse("predicted") == Target(pixels="predicted")
    assert Target.parse("boundary(3)", 2) == Target(2, "boundary", distance=3)
    assert Target.parse("boundary").distance is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("best", "unknown pixel set 'best'"),
        ("best(3)", r"unknown pixel set 'best\(3\)'"),
        ("predicted:x", "unknown score"),
        ("predicted@x", "resol"),
        ("predicted(3)", "pixel set 'predicted' takes no distance, only boundary does"),
        ("instance", r"part at a point: name it, Target\(1, ..., point=\(row, column\)\)"),
        ("instance(3)", "2 whole numbers of pixels"),
        ("instance(3,-4)", "2 whole numbers of pixels"),
        ("instance(3,x)", "2 whole numbers of pixels"),
        ("largest(3,4)", r"unknown pixel set 'largest\(3,4\)'"),
        ("border()", "the other class in the target's name is ''"),
        ("border(2+)", r"is '2\+': an index is needed"),
        ("border", "compares two classes: name the other one"),
        ("predicted:pair", "compares two classes: name the other one"),
        ("predicted:margin(2)", r"unknown score 'margin\(2\)'"),
        ("border(1):pair(2)", "two for other: 2 and 1"),
        ("box", r"needs its place: 'box\(top,left,bottom,right\)'"),
        ("pixel", r"needs its place: 'pixel\(row,column\)'"),
        ("box(1,2,3)", "4 whole numbers of pixels"),
        ("box(3,2,3,4)", "holds no pixel"),
        ("region(roof)", "which no name holds"),
        ("region", "which no name holds"),
        ("boundary(0)", "distance of pixel set 'boundary' is 0: at least 1 pixel is needed"),
        ("boundary(x)", r"unknown pixel set 'boundary\(x\)'"),
        ("", "unknown pixel set ''"),
    ],
)
def test_wrong_names(wrong: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Target.parse(wrong)


GRID = (11, 9)


def dense(seed: int, classes: int = 3, grid: tuple[int, int] = GRID, images: int = 3) -> torch.Tensor:
    """Smooth logits, so that predictions have an inside, and a class that is predicted nowhere in the last image."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.randn(images, classes, 3, 3, generator=generator, dtype=torch.float64)
    logits = torch.nn.functional.interpolate(coarse, size=grid, mode="bicubic")
    logits += 0.05 * torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    logits[-1, 1:2] -= 50
    return logits


def masks_of(seed: int, size: tuple[int, int], images: int = 3) -> torch.Tensor:
    """Class indices in blobs, some of them ignored; the last image does not show class 1."""
    generator = torch.Generator().manual_seed(seed)
    blobs = torch.nn.functional.interpolate(
        torch.randn(images, 4, 4, 4, generator=generator), size=size, mode="bicubic"
    )
    found = blobs.argmax(1)
    found[found == 3] = 255
    found[-1][found[-1] == 1] = 0
    return found.to(torch.uint8)


def values_of(pixels: str) -> tuple[str, tuple[int, ...]]:
    name, _, given = pixels.partition("(")
    return name, tuple(int(value) for value in given[:-1].replace("+", ",").split(",") if value)


TWINS = [(p, s, 2) for p in OF_ONE for s in SCORES_OF_ONE if s != "contrast"] + [
    (p, s, 5) for p in SETS for s in SCORES
]


@pytest.mark.parametrize(("pixels", "score", "classes"), TWINS)
def test_every_set_and_score_equals_its_slow_twin(pixels: str, score: str, classes: int) -> None:
    logits, masks, ids = dense(4, classes), masks_of(5, GRID), (1, 0, 1)
    with_other = score == "pair" and "border" not in pixels
    target = Target(ids, pixels, score + ("(2)" if with_other else ""))
    found = target.explain(logits, GRID, masks)
    name, values = values_of(pixels)
    for i, class_id in enumerate(ids):
        image = logits[i].numpy()
        chosen = slow.chosen(name, image, masks[i].numpy(), class_id, values)
        assert np.array_equal(found.weights[i].numpy(), chosen)
        assert found.pixels[i] == (chosen != 0).sum()
        assert found.predicted[i] == ((chosen != 0) & slow.predicted(image, class_id)).any()
        assert float(found.scores[i]) == pytest.approx(slow.mean_score(score, image, class_id, chosen, 2))
    assert torch.equal(target.score_again(logits, GRID, found.weights, found.class_ids), found.scores)
    again = target.explain_again(logits, GRID, found)
    assert torch.equal(again.scores, found.scores)
    assert found.pixels.any()  # else nothing was compared


@pytest.mark.parametrize("distance", [None, 1, 2, 4, 30])
@pytest.mark.parametrize("seed", range(4))
def test_boundary_equals_its_slow_twin_and_the_band_of_the_metric(seed: int, distance: int | None) -> None:
    logits = dense(seed)
    target = Target(1, "boundary", distance=distance)
    found = target.explain(logits, GRID).chosen
    for i in range(len(logits)):
        assert np.array_equal(found[i].numpy(), slow.boundary(logits[i].numpy(), 1, distance))
    inside = Target(1, "predicted").explain(logits, GRID).chosen
    band = outline_band(inside, distance or reach(GRID))
    assert torch.equal(found, inside & band)


def test_where_all_is_predicted_there_is_no_boundary() -> None:
    logits = torch.stack([torch.zeros(2, 6, 6), torch.ones(2, 6, 6)], 1)
    found = Target(1, "boundary").explain(logits, (6, 6))
    assert found.pixels.tolist() == [0, 0]
    assert found.scores.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("size", "pixels"), [((8, 8), 1), ((128, 128), 4), ((256, 256), 7), ((64, 128), 3)])
def test_the_boundary_reaches_as_far_as_stated(size: tuple[int, int], pixels: int) -> None:
    logits = torch.zeros(1, 2, *size)
    logits[:, 1, :, : size[1] // 2] = 1  # the left half
    found = Target(1, "boundary").explain(logits, size).chosen[0]
    assert found[:, size[1] // 2 - pixels : size[1] // 2].all()
    assert found.sum() == size[0] * pixels


@pytest.mark.parametrize("grid", [(16, 12), (8, 6), (5, 7), (32, 24), (3, 3)])
def test_truth_at_the_resolution_of_the_output(grid: tuple[int, int]) -> None:
    masks = masks_of(2, (16, 12))
    target = Target((1, 2, 0), "truth", at="output")
    found = target.explain(dense(0, grid=grid), (16, 12), masks)
    for i, class_id in enumerate((1, 2, 0)):
        assert np.array_equal(found.chosen[i].numpy(), slow.truth(masks[i].numpy(), class_id, grid))
    larger = replace(target, at="input").explain(dense(0, grid=grid), (16, 12), masks)
    assert torch.equal(larger.chosen, masks == torch.tensor([1, 2, 0]).view(-1, 1, 1))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (None, r"target 'truth:logit' looks at the true classes: pass masks=batch.masks"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), r"uint8 \(2, 4, 4\).*at the input's resolution, \(2, 2, 2\)"),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), r"\(1, 2, 2\)"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), r"\(2, 1, 2, 2\)"),
        (torch.zeros(2, 2, 2), "float32"),
        (torch.zeros(2, 2, 2, dtype=torch.bool), "torch.bool"),
    ],
)
def test_masks_that_do_not_do(masks: torch.Tensor | None, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        Target(1, "truth").explain(LOGITS, (2, 2), masks)
    assert Target(1).explain(LOGITS, (2, 2), masks).pixels.tolist() == [1, 1]  # who does not look does not mind


def test_one_channel_is_a_logit_against_zero() -> None:
    """What softmax identifies is that of two channels; the logit of a class is what speaks for it against the other."""
    logits = dense(6, classes=1)
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    pixel_sets = [name for name in OF_ONE if name != "best_pixel"]
    for pixels, score, class_id in itertools.product(pixel_sets, ("margin", "logprob"), (0, 1)):
        one, two = (Target(class_id, pixels, score).explain(x, GRID, masks_of(1, GRID)) for x in (logits, both))
        assert torch.equal(one.chosen, two.chosen)
        assert torch.equal(one.scores, two.scores)
    for class_id, sign in ((0, -1), (1, 1)):
        best = Target(class_id).explain(logits, GRID)
        assert torch.allclose(best.scores, (sign * logits).flatten(1).amax(1))
        assert torch.allclose(Target(class_id, score="rival").explain(logits, GRID).scores, -best.scores)
    found = Target(1, "image", "logprob").explain(logits, GRID).scores
    assert torch.allclose(found, torch.nn.functional.logsigmoid(logits).mean((1, 2, 3)))


CHOICES = [(pixels, score) for pixels in SETS for score in SCORES_OF_ONE] + [("border(2)", "pair")]


@settings(max_examples=10, deadline=None)
@given(shift=st.floats(-20, 20), seed=st.integers(0, 10_000))
@pytest.mark.parametrize(("pixels", "score"), CHOICES)
def test_what_a_constant_added_to_all_logits_changes(pixels: str, score: str, shift: float, seed: int) -> None:
    """Softmax does not see it; nor do differences of logits, but logit and rival do."""
    logits = dense(seed)
    target, masks = Target(1, pixels, score), masks_of(seed, GRID)
    before, after = target.explain(logits, GRID, masks), target.explain(logits + shift, GRID, masks)
    if pixels != "best_pixel":  # rounding may swap two pixels that are all but equal
        assert torch.equal(before.chosen, after.chosen)
    moved = shift if score in ("logit", "rival") else 0.0
    share = before.weights.double().flatten(1).sum(1) / before.pixels.clamp(min=1)  # less than 1 where signs differ
    wanted = before.scores + moved * share
    assert torch.allclose(after.scores, wanted, atol=1e-9)


JOINING = ("largest", "smallest", "instance", "rejection")  # parts, and what is near to something
SEPARATE = [one for one in CHOICES if not one[0].startswith(JOINING)]


@pytest.mark.parametrize(("pixels", "score"), SEPARATE)
def test_the_scale_does_not_depend_on_the_size_of_the_set(pixels: str, score: str) -> None:
    """The mean, not the sum: of an output put beside itself it is the same."""
    logits, masks = dense(3), masks_of(3, GRID)
    target = Target(1, pixels, score, distance=1 if pixels == "boundary" else None)
    one = target.explain(logits, GRID, masks)
    size = (2 * GRID[0], GRID[1])
    two = target.explain(torch.cat([logits, logits.flip(2)], 2), size, torch.cat([masks, masks.flip(1)], 1))
    assert torch.allclose(one.scores, two.scores, atol=1e-12)
    if pixels != "best_pixel":
        assert torch.equal(two.pixels, 2 * one.pixels)


@pytest.mark.parametrize(("pixels", "score"), CHOICES)
def test_images_do_not_mix_and_each_has_its_class(pixels: str, score: str) -> None:
    logits, masks, ids = dense(7, 4), masks_of(7, GRID), (1, 3, 0)
    together = Target(ids, pixels, score).explain(logits.requires_grad_(), GRID, masks)
    (gradients,) = torch.autograd.grad(together.scores[1], logits)
    assert not gradients[[0, 2]].any()
    for i, class_id in enumerate(ids):
        alone = Target(class_id, pixels, score).explain(logits[i : i + 1], GRID, masks[i : i + 1])
        assert torch.equal(alone.chosen[0], together.chosen[i])
        assert torch.allclose(alone.scores[0], together.scores[i])
        assert Target(ids, pixels, score).of(slice(i, i + 1)).class_id == (class_id,)


@pytest.mark.parametrize("pixels", OF_ONE)
def test_margin_is_the_logit_less_the_rival_and_so_are_its_gradients(pixels: str) -> None:
    logits, masks = dense(8, 4).requires_grad_(), masks_of(8, GRID)
    found, gradients = {}, {}
    for score in ("logit", "rival", "margin"):
        found[score] = Target(1, pixels, score).explain(logits, GRID, masks)
        (gradients[score],) = torch.autograd.grad(found[score].scores.sum(), logits)
    assert torch.equal(found["logit"].chosen, found["rival"].chosen)
    assert torch.allclose(found["margin"].scores, found["logit"].scores - found["rival"].scores)
    assert torch.allclose(gradients["margin"], gradients["logit"] - gradients["rival"])
    assert not gradients["rival"][:, 1].any()


def test_the_rivals() -> None:
    logits = torch.tensor([[[[0.0, 5.0, 1.0, 9.0]], [[3.0, 4.0, 2.0, 1.0]], [[2.0, 1.0, 3.0, 0.0]]]]).repeat(2, 1, 1, 1)
    logits[1, 1] -= 10
    target = Target(1, "predicted")
    found = target.explain(logits, (1, 4))
    assert target.rivals(logits, (1, 4), found).tolist() == [2, -1]
    everywhere = Target(1, "image").explain(logits, (1, 4))
    assert target.rivals(logits, (1, 4), everywhere).tolist() == [0, 0]  # 2, 0, 2, 0: of equals, the first


EMPTY = [*("predicted", "truth", "boundary", "hit", "false_positive", "false_negative", "rejection", "border(0)")]
EMPTY += [f"{which}{of}" for which in ("largest", "smallest") for of in ("", "_truth")]


@pytest.mark.parametrize("pixels", [*EMPTY, "instance(2,3)", "instance_truth(2,3)"])
def test_an_empty_set_gives_undefined_maps_not_blank_ones(pixels: str) -> None:
    head = torch.nn.Conv2d(3, 2, 1)
    torch.nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 0.0]))
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), head)
    masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
    capture = Probe(model, "0")(torch.rand(2, 3, 8, 8), Target(1, pixels), masks=masks)
    assert capture.target_pixels.tolist() == [0, 0]
    assert capture.target_predicted.tolist() == [False, False]
    assert capture.maps(grad_cam).isnan().all()


def test_masks_reach_the_target() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 2, 1, stride=2))
    images, masks = torch.rand(3, 3, 12, 16), masks_of(0, (12, 16))
    probe = Probe(model, "0")
    first, second = probe.many(images, [Target(1, "truth"), Target(0, "truth", at="output")], masks=masks)
    assert torch.equal(first.explained.chosen, masks == 1)
    assert second.explained.chosen.shape == (3, 6, 8)
    with pytest.raises(ProbeError, match="pass masks="):
        probe(images, Target(1, "truth"))


LARGE = ["best_pixel", "predicted", "truth", "boundary", "image", "hit", "largest"]
"""Sets with pixels in each of the images below."""


def normalised(model: torch.nn.Module, layer: Layer, images: torch.Tensor, masks: torch.Tensor) -> list[torch.Tensor]:
    """The layer's map for each pixel set, logit scores, divided by its maximum; images where all sets have pixels."""
    targets = [Target(1, pixels) for pixels in LARGE]
    captures = Probe(model, layer).many(images, targets, masks=masks)
    there = torch.stack([capture.target_pixels > 0 for capture in captures]).all(0)
    assert there.any()
    maps = [capture.maps(grad_cam)[there] for capture in captures]
    assert all((found.amax((1, 2)) > 0).all() for found in maps)
    return [found / found.amax((1, 2), keepdim=True) for found in maps]


NETWORKS = {
    "unet": ({"width": 4}, "Decoder 1_2 ReLU", "Decoder 1_1 ReLU"),
    "segformer": ({}, "Decode head ReLU", "Mix-FFN GELU 4_2"),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_late_layers_do_not_depend_on_the_pixel_set(network: str) -> None:
    """Where only a 1x1 convolution and linear upsampling follow, Grad-CAM is the same for every set, up to its scale.

    Its weights are the head's, times a number that is the set's own: each pixel's gradient by the map sums to one.
    """
    parameters, late, earlier = NETWORKS[network]
    model = create(network, 3, parameters, seed=1).double()
    layers = {layer.label: layer for layer in architecture(network).layers(model, "relu")}
    images = torch.randn(3, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits = model(images)
        head = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)][-1]
        head.bias[1] += (logits[:, [0, 2]].amax(1) - logits[:, 1]).median()  # predicted at about half of the pixels
    masks = masks_of(3, (64, 96))
    masks[-1, :20] = 1
    first, *others = normalised(model, layers[late], images, masks)
    assert all(torch.allclose(first, other, atol=1e-9) for other in others)
    first, *others = normalised(model, layers[earlier], images, masks)
    assert all((first - other).abs().amax() > 0.01 for other in others)


@pytest.mark.parametrize("pixels", SETS)
@pytest.mark.parametrize("stride", [1, 2])
def test_no_pixel_of_the_padding_is_explained(pixels: str, stride: int) -> None:
    logits = dense(3)[:, :, ::stride, ::stride]
    valid = torch.ones(len(logits), *GRID, dtype=torch.bool)
    valid[:, : GRID[0] // 2] = False
    target, masks = Target(1, pixels), masks_of(3, GRID)
    found, whole = target.explain(logits, GRID, masks, valid), target.explain(logits, GRID, masks)
    assert not bool((found.chosen & ~valid).any())
    if pixels == "best_pixel":
        assert found.pixels.tolist() == [1] * len(logits)
    elif pixels in ("boundary", "rejection"):
        masks = masks[:, GRID[0] // 2 :]
        cut = target.explain(logits[:, :, logits.shape[2] // 2 :], (GRID[0] - GRID[0] // 2, GRID[1]), masks)
        assert stride > 1 or torch.equal(
            found.chosen[:, GRID[0] // 2 :], cut.chosen
        )  # as if the padding were not there
    elif not pixels.startswith(("border", "largest", "smallest", "instance")):
        assert torch.equal(found.chosen, whole.chosen & valid)
    masks = masks_of(3, GRID)
    for same in (valid.numpy(), valid.byte(), valid.double()):
        assert torch.equal(target.explain(logits, GRID, masks, same).chosen, found.chosen)
    with pytest.raises(ProbeError, match="valid regions are"):
        target.explain(logits, GRID, masks, valid[:1])
    with pytest.raises(InputError, match="valid regions hold 255"):
        target.explain(logits, GRID, masks, valid.byte() * 255)


@pytest.mark.parametrize("pixels", ["truth", "hit", "false_positive", "false_negative", "rejection", "largest_truth"])
def test_masks_may_number_classes_otherwise(pixels: str) -> None:
    logits, masks = dense(4, 6), masks_of(5, GRID)
    moved = torch.tensor([7, 5, 3, *[0] * 252, 255])[masks.long()]
    one = Target((1, 0, 1), pixels).explain(logits, GRID, masks)
    other = Target((1, 0, 1), pixels, true_class=(5, 7, 5))
    assert torch.equal(other.explain(logits, GRID, moved).chosen, one.chosen)
    two = other.of([2, 1]).explain(logits[[2, 1]], GRID, moved[[2, 1]])
    assert torch.equal(two.chosen, one.chosen[[2, 1]])
    joined = Target({1, 4}, pixels, true_class={5, 3}).explain(logits, GRID, moved)
    twins = [
        slow.predicted(image.numpy(), (1, 4)) & slow.truth(mask.numpy(), (1, 2), GRID)
        for image, mask in zip(logits, masks, strict=True)
    ]
    if pixels == "hit":
        assert np.array_equal(joined.chosen.numpy(), np.stack(twins))


def test_pixels_have_signs_only_where_some_count_against() -> None:
    logits = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    assert Target(1, "predicted").explain(logits, (6, 8)).signs is None
    signs = Target(1, "border", "pair", other=2).explain(logits, (6, 8)).signs
    assert signs is None or signs.dtype != torch.bool
