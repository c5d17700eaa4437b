"""Whose pixels: a planted leak shows in the matrix of energy and in that of ablation, and none shows without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcam import Batch, InputError, Probe, Sample, Target
from segcam.checks import leakage as measured
from segcam.checks.leakage import Leakage
from segcam.checks.removal import score_changes
from segcam.checks.scored_maps import scored_maps
from segcam.classes import IGNORE
from segcam.errors import NotApplicableError
from segcam.methods import METHODS, Method
from segcam.methods.material.pair import Pair
from segcam.scoring.reference import Scenery
from segcam.scoring.regions import class_regions
from tests.reference import regions as slow
from tests.small_networks import Convolutions, seeded, unchanged

OWN = 5.0
ROWS, COLUMNS = 12, 20
LOGIT = "predicted:logit"
leakage = partial(measured, target=LOGIT)  # its answers are known


class Planted(nn.Module):
    """Class k's logit is what an image shows of it at the pixel; class 1's also how much of class 2 is anywhere."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.features, self.leak = nn.ReLU(), leak

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        logits = OWN * features
        other = features[:, 2].mean((1, 2), keepdim=True)
        return torch.cat([logits[:, :1], logits[:, 1:2] + self.leak * other[:, None], logits[:, 2:]], 1)


def masks() -> np.ndarray:
    """Two objects and the background; no class 2 in the third image, nothing but class 1 in the last."""
    labels = np.zeros((4, ROWS, COLUMNS), np.uint8)
    labels[:, 2:7, 2:8] = 1
    labels[:2, 6:11, 12:19] = 2
    labels[1, 0:4, 14:] = 2
    labels[3] = 1
    return labels


def seen(labels: np.ndarray, classes: int = 3) -> Tensor:
    """The images as the network gets them: a channel a class."""
    return F.one_hot(torch.from_numpy(labels).long(), classes).permute(0, 3, 1, 2).float()


def batch_of(labels: np.ndarray, valid: np.ndarray | None = None) -> Batch:
    grey = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
    return Batch.of(
        [Sample(f"i{n}", grey, mask, valid=None if valid is None else valid[n]) for n, mask in enumerate(labels)]
    )


def found(leak: float, *, labels: np.ndarray | None = None, methods: Sequence[str] = ("grad_cam",)) -> Leakage:
    of_images = masks()
    batch = batch_of(of_images if labels is None else labels)
    net = Planted(leak)
    with unchanged(net):
        return leakage(Probe(net, "features"), batch, methods, images=seen(of_images))


@pytest.mark.parametrize("leak", [4.0, 20.0])
def test_a_planted_leak_shows_in_energy_and_in_ablation_as_large_as_it_is(leak: float) -> None:
    """Grad-CAM's weight of a channel is its mean gradient: OWN / N of class 1's own, leak / N of class 2's."""
    got = found(leak)
    assert got.classes == (0, 1, 2)
    area = np.stack([(masks() == c).mean((1, 2)) for c in range(3)], 1)
    np.testing.assert_allclose(got.area["features"], area, atol=1e-6)
    for image in (0, 1):
        _, one, two = area[image]
        share = leak * two / (OWN * one + leak * two)
        wanted = [0.0, 1 - share, share]
        np.testing.assert_allclose(got.energy["features"][image, 1, 0], wanted, atol=1e-6)
        score = OWN + leak * two
        assert float(got.scores[image, 1]) == pytest.approx(score)
        assert float(got.change[image, 1, 2]) == pytest.approx(leak * (two * two - two) / score, rel=1e-5)
    assert float(got.matrix("features")[1, 2]) > float(got.chance("features")[1, 2])
    assert float(got.ablation()[1, 2]) < -0.05
    torch.testing.assert_close(got.ablation()[1, 2], got.change[:2, 1, 2].mean())


def test_a_network_without_a_leak_has_none() -> None:
    got = found(0.0)
    np.testing.assert_allclose(got.matrix("features"), np.eye(3), atol=1e-6)
    change = got.ablation()
    assert change[~torch.eye(3, dtype=torch.bool)].abs().max() < 1e-6
    assert (change.diagonal() < -0.2).all()  # its own pixels matter to each


def test_classes_that_an_image_does_not_show_are_not_explained_and_absent_ones_have_no_share() -> None:
    got = found(4.0)
    assert got.shown.tolist() == [[True] * 3, [True] * 3, [True, True, False], [False, True, False]]
    energy = got.energy["features"][:, :, 0]
    defined = got.shown[:, :, None] & (got.area["features"] > 0)[:, None]
    assert torch.equal(~got.change.isnan(), defined)
    assert float(got.area["features"][3, 1]) == 1.0
    defined[3] = False  # of one class alone every map has all of its energy there
    assert torch.equal(~energy.isnan(), defined)
    assert float(got.chance("features")[1, 1]) < 0.2
    assert torch.equal(got.scores.isnan(), ~got.shown)


def test_predicted_classes_are_explained_though_no_mask_has_them() -> None:
    labels = masks()
    labels[labels == 2] = 0
    got = found(4.0, labels=labels)
    assert got.classes == (0, 1, 2)
    assert got.shown[:2, 2].all()
    assert got.energy["features"][:2, 2, 0, 0].tolist() == [1.0, 1.0]  # on what masks call background
    assert got.energy["features"][..., 2].isnan().all()
    assert got.change[..., 2].isnan().all()


def test_controls_score_what_they_must() -> None:
    got = found(4.0, methods=("uniform", "mask_oracle", "random"))
    area = got.area["features"]
    uniform, oracle, random = got.energy["features"].unbind(2)
    for image in (0, 1):
        np.testing.assert_allclose(uniform[image], area[image].expand(3, 3), atol=1e-6)
        np.testing.assert_allclose(oracle[image], np.eye(3), atol=1e-6)
        assert (random[image] - area[image]).abs().max() < 0.15
    np.testing.assert_allclose(got.matrix("features", "uniform"), got.chance("features"), atol=1e-6)


def test_classes_that_nobody_asks_for_keep_their_share() -> None:
    net, batch, images = Planted(4.0), batch_of(masks()), seen(masks())
    probe = Probe(net, "features")
    whole = leakage(probe, batch, ["uniform", "grad_cam"], classes=[0, 1, 2], images=images)
    some = leakage(probe, batch, ["uniform", "grad_cam"], classes=[1, 2], images=images)
    torch.testing.assert_close(some.energy["features"], whole.energy["features"][:, 1:, :, 1:], equal_nan=True)
    torch.testing.assert_close(some.area["features"], whole.area["features"][:, 1:])
    alone = leakage(probe, batch, "uniform", classes=[1], images=images)
    assert float(alone.matrix("features", "uniform")[0, 0]) == pytest.approx(
        float(whole.area["features"][:3, 1].mean())
    )


def test_ignored_pixels_belong_to_no_class_and_stay_when_regions_go() -> None:
    labels = masks()
    labels[0, 6:8, 12:19] = IGNORE  # a part of class 2
    got = found(4.0, labels=labels)
    shown = masks()[0]
    counted = labels[0] != IGNORE
    weights = np.where(shown == 1, OWN, np.where(shown == 2, 4.0, 0.0)) * counted
    wanted = [weights[labels[0] == c].sum() / weights.sum() for c in range(3)]
    np.testing.assert_allclose(got.energy["features"][0, 1, 0], wanted, atol=1e-6)
    two, gone = (shown == 2).mean(), (labels[0] == 2).mean()
    assert float(got.change[0, 1, 2]) == pytest.approx(4 * gone * (two - 1) / (OWN + 4 * two), rel=1e-5)


def test_a_padded_canvas_scores_as_the_picture_alone() -> None:
    """The network sees the padding; what takes a region's place is made of the picture, and its shares are too."""
    labels = np.full((1, ROWS, COLUMNS), IGNORE, np.uint8)
    labels[:, 2:, 4:] = 0
    labels[:, 4:8, 6:10], labels[:, 5:9, 12:18] = 1, 2
    valid = np.zeros(labels.shape, bool)
    valid[:, 2:, 4:] = True
    images = torch.zeros(1, 3, ROWS, COLUMNS)
    images[:, :, 2:, 4:] = seen(labels[:, 2:, 4:])
    got = leakage(Probe(Planted(4.0), "features"), batch_of(labels, valid), images=images)
    picture = labels[0, 2:, 4:]
    np.testing.assert_allclose(got.area["features"][0], [(picture == c).mean() for c in range(3)], atol=1e-6)
    two, canvas = (labels == 2).sum(), labels.size
    colour = two / picture.size  # of channel 2 in the picture's mean
    score = OWN + 4 * two / canvas
    assert float(got.change[0, 1, 2]) == pytest.approx(4 * two * (colour - 1) / canvas / score, rel=1e-5)


def test_pictures_of_several_sizes_are_filled_with_their_own_colours_and_padding_shows_no_class() -> None:
    """The network answers class 2 in the padding alone."""
    labels = np.full((3, ROWS, COLUMNS), IGNORE, np.uint8)
    valid = np.zeros(labels.shape, bool)
    boxes = [(slice(2, None), slice(4, None)), (slice(0, 9), slice(0, 16)), (slice(2, None), slice(4, None))]
    for n, box in enumerate(boxes):
        valid[n][box], labels[n][box] = True, 0
        labels[n, 4 : 7 + n, 6:10] = 1
    images = torch.zeros(3, 3, ROWS, COLUMNS)
    images[:, 2] = 1.0
    for n, box in enumerate(boxes):
        images[n][:, *box] = seen(labels[n : n + 1][:, *box])[0]
    got = leakage(Probe(Planted(0.0), "features"), batch_of(labels, valid), classes=[0, 1, 2], images=images)
    assert got.shown.tolist() == [[True, True, False]] * 3
    for n, box in enumerate(boxes):
        own = (labels[n][box] == 1).mean()  # what is left of channel 1 where the region gets the picture's mean colour
        assert float(got.change[n, 1, 1]) == pytest.approx(own - 1, rel=1e-5)


def test_what_is_explained_may_be_a_target_a_pixel_or_another_score() -> None:
    images, batch = seen(masks()), batch_of(masks())
    probe = Probe(Planted(4.0), "features")
    named = leakage(probe, batch, images=images, target="best_pixel:margin")
    given = leakage(probe, batch, METHODS.get("grad_cam"), images=images, target=Target(7, "best_pixel", "margin"))
    torch.testing.assert_close(given.change, named.change, equal_nan=True)
    torch.testing.assert_close(given.energy["features"], named.energy["features"], equal_nan=True)
    assert set(given.pixels[given.shown].tolist()) == {1.0}
    assert given.change[0].isfinite().all()


def test_a_score_of_zero_has_no_relative_change() -> None:
    images, batch = seen(masks()), batch_of(masks())
    probe = Probe(Planted(0.0), "features")
    own = torch.from_numpy(masks() == 1)
    capture = probe(images, Target(2, list(own)))  # nothing speaks for class 2 there
    assert capture.scores.tolist() == [0.0] * 4
    found = score_changes(probe, images, capture, class_regions(batch, [1]), Scenery.of(batch))
    assert found.isnan().all()  # though the mean colour has something of class 2


def test_methods_without_a_map_and_signed_ones() -> None:
    def refuses(_pair: Pair) -> Tensor:
        raise NotApplicableError("no map here")

    def signed(pair: Pair) -> Tensor:
        return pair.activations[:, 1] - pair.activations[:, 2]

    kind = {"summary": "for tests", "source": "segcam"}
    mine = [
        Method("refuses", "Refuses", gradient=refuses, **kind),
        Method("signed", "Signed", gradient=signed, signed=True, **kind),
    ]
    got = leakage(Probe(Planted(4.0), "features"), batch_of(masks()), ["grad_cam", *mine], images=seen(masks()))
    assert got.methods == ("grad_cam", "refuses", "signed")
    energy = got.energy["features"]
    assert energy[:, :, 1].isnan().all()
    capture = Probe(Planted(4.0), "features")(seen(masks()), Target(1, "image"))
    ((_, _, maps),) = scored_maps(capture, mine, Scenery.of(batch_of(masks())))
    assert maps[:, 0].isnan().all()  # no map, and not a blank one
    assert float(maps[:, 1].min()) == 0.0
    np.testing.assert_allclose(energy[0, :, 2], [[0, 1, 0]] * 3, atol=1e-6)
    assert not energy[0, :, 0].isnan().any()


def test_sets_of_classes_count_as_one_and_networks_may_number_otherwise() -> None:
    class Turned(nn.Module):
        """The same network with its classes the other way round, and one that masks do not have."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = Planted(4.0)

        def forward(self, images: Tensor) -> Tensor:
            return F.pad(self.inner(images).flip(1), (0, 0, 0, 0, 0, 1), value=-50.0)

    batch, images = batch_of(masks()), seen(masks())
    plain = leakage(Probe(Planted(4.0), "features"), batch, classes=[0, 1, 2], images=images)
    probe = Probe(Turned(), "inner.features")
    turned = leakage(probe, batch, classes=[0, 1, 2], network=[2, 1, 0], images=images)
    torch.testing.assert_close(turned.energy["inner.features"], plain.energy["features"], equal_nan=True)
    torch.testing.assert_close(turned.change, plain.change, equal_nan=True)
    without = leakage(probe, batch, classes=[0, 1, 2], network=[None, 1, 0], images=images)
    assert not without.shown[:, 0].any()
    assert not without.energy["inner.features"][:2, 1, 0].isnan().any()
    pair = leakage(Probe(Planted(4.0), "features"), batch, classes=[0, {1, 2}], images=images)
    objects = pair.energy["features"][:, 1, 0]
    np.testing.assert_allclose(objects[:2], [[0, 1], [0, 1]], atol=1e-6)
    two = (masks()[:2] != 0).mean((1, 2))
    np.testing.assert_allclose(pair.area["features"][:2, 1], two, atol=1e-6)


def test_an_empty_pixel_set_has_no_map_and_no_change() -> None:
    images = seen(masks())
    images[0, 0] += images[0, 1]
    images[0, 1] = 0.0  # the network takes class 1 for background
    got = leakage(Probe(Planted(0.0), "features"), batch_of(masks()), images=images)
    assert got.shown[0, 1]
    assert int(got.pixels[0, 1]) == 0
    assert got.energy["features"][0, 1].isnan().all()
    assert got.change[0, 1].isnan().all()
    assert math.isnan(float(got.scores[0, 1]))
    images[:, 0] += images[:, 1]
    images[:, 1] = 0.0
    unseen = leakage(Probe(Planted(0.0), "features"), batch_of(masks()), images=images)
    assert unseen.classes == (0, 1, 2)  # masks alone show class 1
    assert unseen.shown[:, 1].all()


def test_changes_are_those_of_the_changed_images_alone() -> None:
    """Against a slow twin, for regions of one's own that overlap, and a set that is empty in one image."""
    net = seeded(Convolutions).float()
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    regions = torch.zeros(2, 3, 16, 24, dtype=torch.bool)
    regions[:, 0, 2:9, 3:11], regions[:, 1, 4:, :6], regions[1, 2, 1:3, 20:] = True, True, True
    inside = regions[:, 0]
    scenery = Scenery(images.mean(1), inside, ~inside, ("a", "b"))
    probe = Probe(net, "conv2")
    capture = probe(images, Target(1, "image", "margin"))
    found = score_changes(probe, images, capture, regions, scenery, batch_size=2)

    def answer(image: np.ndarray) -> np.ndarray:
        logits = F.interpolate(net(torch.from_numpy(image)[None].float()), (16, 24), mode="bilinear")[0].detach()
        others = torch.stack([logits[0], logits[2]]).amax(0)
        return (logits[1] - others).double().numpy()

    for b, k in np.ndindex(2, 3):
        image = images[b].numpy()
        if not regions[b, k].any():
            assert math.isnan(float(found[b, k]))
            continue
        gone, all_pixels = regions[b, k].numpy(), np.ones((16, 24), bool)
        wanted = slow.change(answer, image, gone, all_pixels, image.mean((1, 2)))
        assert float(found[b, k]) == pytest.approx(wanted, rel=1e-4, abs=2e-6)


def counted(model: nn.Module) -> list[bool]:
    """Whether each pass from now on may be differentiated."""
    passes: list[bool] = []
    model.register_forward_pre_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    return passes


def test_an_unknown_imputation_is_told_before_the_first_pass() -> None:
    model = Planted(0.5)
    passes = counted(model)
    with pytest.raises(InputError, match="unknown imputation 'nope'"):
        leakage(Probe(model, "features"), batch_of(masks()), images=seen(masks()), imputation="nope")
    assert passes == []


def test_what_is_predicted_is_learnt_from_one_pass_without_gradients() -> None:
    model = Planted(0.5)
    probe, labels = Probe(model, "features"), masks()
    leakage(probe, batch_of(labels), images=seen(labels))  # a network's first pass may be watched
    passes = counted(model)
    leakage(probe, batch_of(labels), images=seen(labels))
    assert passes[0] is False
    assert passes.count(True) == 3, "one pass for each class that an image shows, and no other"


@pytest.mark.parametrize("softmax", [False, True])
def test_an_answer_is_what_the_network_says_and_holds_no_graph(*, softmax: bool) -> None:
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)]
    layers += [nn.Softmax(1)] if softmax else []  # what went into it is what is meant
    output = "probabilities" if softmax else "logits"
    probe, x = Probe(nn.Sequential(*layers), "0", output=output), torch.rand(2, 3, 9, 13)
    target = Target(1, "image")
    found, capture = probe.answer(x, target), probe(x, target)
    assert not found.logits.requires_grad
    torch.testing.assert_close(found.logits, capture.target.dense(capture.logits, capture.size, None).logits)


def test_what_does_not_fit_is_refused() -> None:
    batch, probe, images = batch_of(masks()), Probe(Planted(0.0), "features"), seen(masks())
    with pytest.raises(InputError, match="score_cam is no gradient method and no control"):
        leakage(probe, batch, ["score_cam"], images=images)
    with pytest.raises(InputError, match="name each method once"):
        leakage(probe, batch, ["grad_cam", "grad_cam"], images=images)
    with pytest.raises(InputError, match="unknown imputation 'paint'"):
        leakage(probe, batch, images=images, imputation="paint")
    with pytest.raises(InputError, match="1 classes of the network are named for 2"):
        leakage(probe, batch, images=images, classes=[0, 1], network=[0])
    with pytest.raises(InputError, match="each once"):
        leakage(probe, batch, images=images, classes=[1, 1])
    with pytest.raises(InputError, match="they are to be alike"):
        leakage(probe, batch, images=images[..., 1:])
    labels = masks()
    labels[0, 0, 0] = 7
    with pytest.raises(InputError, match="masks hold class 7, and the network has classes 0 to 2"):
        leakage(probe, batch_of(labels), images=images)
    got = leakage(probe, batch, images=images)
    with pytest.raises(InputError, match="no layer 'head'"):
        got.matrix("head")
    with pytest.raises(InputError, match="no method 'uniform'"):
        got.matrix("features", "uniform")


def test_regions_of_classes() -> None:
    regions = class_regions(batch_of(masks()), [0, frozenset({1, 2})])
    assert torch.equal(regions[:, 0], torch.from_numpy(masks() == 0))
    assert torch.equal(regions[:, 1], torch.from_numpy(masks() > 0))
    with pytest.raises(InputError, match="no class is named"):
        class_regions(batch_of(masks()), [])
