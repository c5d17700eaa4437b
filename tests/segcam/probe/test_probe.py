"""The probe: right maps on any network, and nothing left behind."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from segcam import Layer, Probe, ProbeError, Target, find_layers, grad_cam
from segcam.models import MODELS, create
from tests.reference import grad_cam as slow
from tests.small_networks import Convolutions, Twice, seeded, settled, unchanged


def unet(norm: str = "batch") -> nn.Module:
    return settled(create("unet", 2, {"width": 4, "norm": norm}, seed=3)).eval()


def layers_of(model: nn.Module, point: str = "conv") -> list[Layer]:
    return MODELS.get("unet").layers(model, point)


def inplace() -> nn.Module:
    """Convolution, norm and ReLU in place, as most networks in use have them."""
    return seeded(Convolutions, 1).float()


IMAGES = torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("point", ["conv", "relu"])
@pytest.mark.parametrize("norm", ["batch", "none", "group"])
def test_all_layers_agree_with_the_slow_twin(norm: str, point: str) -> None:
    model = unet(norm).double()
    capture = Probe(model, layers_of(model, point))(IMAGES)
    for layer in capture.layers:
        found = capture.maps(grad_cam, layer)
        for i, image in enumerate(IMAGES):
            twin = _twin(model, layer, image)
            if found[i].isnan().all():  # a group a channel: in front of it gradients cancel
                assert norm == "group"
                assert twin.max() < 1e-15
                continue
            assert np.abs(found[i].numpy() - twin).max() <= 1e-9 * max(twin.max(), 1e-6)


def _twin(model: nn.Module, layer: Layer, image: torch.Tensor) -> np.ndarray:
    fresh = copy.deepcopy(model)
    return slow.of_layer(fresh, fresh.get_submodule(layer.module), image, 1)


@pytest.mark.parametrize("name", ["conv1", "norm1", "conv2", "norm2"])
def test_in_place_modules_do_not_change_what_was_captured(name: str) -> None:
    model = inplace()
    found = Probe(model, name)(IMAGES).maps(grad_cam)
    for i, image in enumerate(IMAGES):
        twin = _twin(model, Layer(name, name), image)
        assert twin.max() > 0
        assert np.abs(found[i].numpy() - twin).max() <= 1e-5 * twin.max()


def test_in_place_layers_together_and_again() -> None:
    model = inplace()
    probe = Probe(model, ["norm1", "conv2", "conv1"])
    first, again = probe(IMAGES), probe(IMAGES)
    for label in first.activations:
        alone = Probe(model, label)(IMAGES)
        assert torch.equal(first.activations[label], alone.activations[label])
        assert torch.equal(first.gradients[label], again.gradients[label])
        assert torch.allclose(first.gradients[label], alone.gradients[label], rtol=1e-5, atol=1e-8)


def test_frozen_parameters_and_callers_without_gradients() -> None:
    model = unet()
    probe = Probe(model, layers_of(model))
    plain = probe(IMAGES)
    with torch.no_grad():
        under_no_grad = probe(IMAGES)
    with torch.inference_mode():
        under_inference = probe(IMAGES * 1.0)
        made_inside = Probe(copy.deepcopy(model), layers_of(model))(IMAGES * 1.0)
    frozen = Probe(model.requires_grad_(False), layers_of(model))(IMAGES)
    for capture in (under_no_grad, under_inference, made_inside, frozen):
        for layer in capture.layers:
            assert torch.allclose(capture.maps(grad_cam, layer), plain.maps(grad_cam, layer), atol=1e-7)


@pytest.mark.parametrize("how", ["autocast", "network"])
def test_bf16_is_close(how: str) -> None:
    model = unet()
    exact = Probe(model, layers_of(model))(IMAGES)
    if how == "autocast":
        rough = Probe(model, layers_of(model), precision="bf16")(IMAGES)
    else:
        rough = Probe(copy.deepcopy(model).to(torch.bfloat16), layers_of(model))(IMAGES)
    last = exact.layers[-1]
    a, b = exact.maps(grad_cam, last), rough.maps(grad_cam, last)
    assert b.dtype == torch.float32
    assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] > 0.95


class Boom(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("boom")


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    model.train()
    model[1].eval()  # mixed modes come back mixed
    model[3].weight.requires_grad_(False)
    if fails:
        model.append(Boom())
    with unchanged(model), pytest.raises(ProbeError, match="boom") if fails else nullcontext():
        Probe(model, ["0", "3"])(IMAGES)


class Wrapped(nn.Module):
    def __init__(self, wrap: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.net, self.wrap = inplace(), wrap

    def forward(self, x: torch.Tensor) -> object:
        return self.wrap(self.net(x))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda logits: logits,
        lambda logits: {"out": logits, "aux": None},
        lambda logits: {"logits": logits},
        lambda logits: SimpleNamespace(logits=logits),
    ],
    ids=["tensor", "out", "logits", "object"],
)
def test_kinds_of_output_at_a_stride(wrap: Callable[[torch.Tensor], object]) -> None:
    capture = Probe(Wrapped(wrap), "net.conv2")(IMAGES)
    assert capture.logits.shape == (3, 3, 16, 24)
    assert capture.explained.chosen.shape == (3, 32, 48)  # chosen on the upsampled logits
    assert torch.equal(capture.maps(grad_cam), Probe(inplace(), "conv2")(IMAGES).maps(grad_cam))


def test_unknown_output_is_explained() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten())
    with pytest.raises(ProbeError, match=r"returned a tensor \(3, 6144\): logits \(b, classes, h, w\) are needed"):
        Probe(model, "0")(IMAGES)


def test_segformer_of_transformers() -> None:
    """A network that is not ours: an output object with .logits at stride 4."""
    transformers = pytest.importorskip("transformers")
    shape = {
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1] * 4,
        "decoder_hidden_size": 16,
        "num_attention_heads": [1] * 4,
    }
    model = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(num_labels=2, **shape))
    probe = Probe(model, "*dwconv.dwconv", kind=nn.Conv2d)
    assert len(probe.layers) == 4
    capture = probe(IMAGES[:2].repeat(1, 1, 2, 2))
    assert capture.logits.shape == (2, 2, 16, 24)
    shapes = [tuple(capture.maps(grad_cam, layer).shape) for layer in probe.layers]
    assert shapes == [(2, 16, 24), (2, 8, 12), (2, 4, 6), (2, 2, 3)]


def test_modules_that_fire_twice_must_be_told_apart() -> None:
    model = seeded(Twice).float()
    with pytest.raises(ProbeError, match="'conv' runs 2 times in one forward pass"):
        Probe(model, "conv")(IMAGES)
    both = Probe(model, [Layer("conv", "first", call=0), Layer("conv", "second", call=1)])(IMAGES)
    assert not torch.equal(both.activations["first"], both.activations["second"])
    assert torch.allclose(both.activations["second"], model.conv(both.activations["first"]), atol=1e-6)
    with pytest.raises(ProbeError, match="no call 2"):
        Probe(model, Layer("conv", "third", call=2))(IMAGES)


def with_an_aside() -> nn.Module:
    """A network with a layer that does not lead to the logits, and one that does not run."""
    model = nn.Module()
    model.used, model.aside, model.unused = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

    def forward(x: torch.Tensor) -> torch.Tensor:
        model.aside(x)
        return model.used(x)

    model.forward = forward  # type: ignore[method-assign]
    return model


def test_layers_off_the_path_and_layers_that_do_not_run() -> None:
    for layers in ("aside", ["used", "aside"]):
        with pytest.raises(ProbeError, match="'aside' does not lead to the logits: leave it out"):
            Probe(with_an_aside(), layers)(IMAGES)
    with pytest.raises(ProbeError, match=r"'unused' did not run in the forward pass: leave it out \('!unused'\)"):
        Probe(with_an_aside(), "unused")(IMAGES)
    assert len(Probe(with_an_aside(), ["*", "!unused", "!aside"], kind=nn.Conv2d)(IMAGES).layers) == 1


def test_finding_layers() -> None:
    model = inplace()
    assert [x.label for x in find_layers(model, "conv*")] == ["conv1", "conv2"]
    assert [x.label for x in find_layers(model, "*", nn.Conv2d)] == ["conv1", "conv2", "head"]
    assert [x.label for x in find_layers(model, ["*", "!head", "!conv1"], nn.Conv2d)] == ["conv2"]
    assert [x.label for x in find_layers(model, [model.head, "conv1"])] == ["head", "conv1"]
    assert [x.depth for x in find_layers(model, "*", nn.Conv2d)] == [0, 1, 2]
    for choice, message in (
        ("conv3", "no module 'conv3': did you mean 'conv"),
        ("block*", "matches 'block"),
        (["conv*", "!hed"], "no module 'hed': did you mean 'head"),
        (["conv*", "!aux*"], r"no module matches 'aux\*': paths look like"),
        (["conv1", "head", "!conv*"], r"'conv1' is left out again by a pattern with '!'"),
        (["hea*", "!head"], r"'hea\*' is left out again"),
        ([Layer("conv1", "x"), "!conv1"], "layer 'x' is left out again"),
        (nn.Conv2d(1, 1, 1), "not part of the network"),
        ([], "at least one"),
        ([Layer("conv1", "x"), Layer("conv2", "x")], "share the label 'x'"),
    ):
        with pytest.raises(ProbeError, match=message):
            find_layers(model, choice)


def test_several_targets_share_a_pass_and_equal_single_ones() -> None:
    model = unet()
    targets = [Target(), Target(pixels="predicted"), Target(score="margin"), Target(class_id=0)]
    probe = Probe(model, layers_of(model))
    together = probe.many(IMAGES, targets)
    for target, capture in zip(targets, together, strict=True):
        alone = probe(IMAGES, target)
        assert capture.activations["Encoder 1_1"].data_ptr() == together[0].activations["Encoder 1_1"].data_ptr()
        for label, gradient in alone.gradients.items():
            assert torch.allclose(gradient, capture.gradients[label], rtol=1e-4, atol=1e-9)


class PassThrough(nn.Module):
    """A module that returns its very input, which another branch goes on using, in place or not."""

    def __init__(self, write: bool) -> None:
        super().__init__()
        self.c1, self.c2, self.head = (nn.Conv2d(*sizes, 1) for sizes in ((3, 4), (4, 4), (4, 2)))
        self.drop, self.write = nn.Dropout(), write

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.c1(x)
        branch = self.c2(self.drop(x)).sin()
        return self.head(x.add_(branch) if self.write else x + branch)


@pytest.mark.parametrize("write", [False, True])
def test_a_module_that_passes_its_input_through(write: bool) -> None:
    """Its gradient is of its own branch, whatever else is probed, and the search for overwritten outputs ends."""
    model = seeded(lambda: PassThrough(write)).float().train()
    alone = Probe(model, "drop")(IMAGES)
    together = Probe(model, ["c1", "drop"])(IMAGES)
    assert torch.allclose(alone.gradients["drop"], together.gradients["drop"], atol=1e-7)
    assert torch.equal(alone.activations["drop"], together.activations["drop"])
    assert not torch.allclose(together.gradients["c1"], together.gradients["drop"], atol=1e-4)


def test_a_network_that_writes_into_its_input() -> None:
    class Writes(Convolutions):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x -= 0.5
            return super().forward(x)

    model = seeded(Writes).float()
    images = IMAGES.clone().contiguous(memory_format=torch.channels_last)
    found = Probe(model, ["conv1", "norm1"], channels_last=True)(images)
    assert torch.equal(images, IMAGES)
    assert torch.allclose(found.logits, model(IMAGES.clone()).detach(), atol=1e-6)


def test_a_network_that_needs_its_layout() -> None:
    class Groups(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = super().forward(x)
            return x.view(len(x), 2, -1).view(len(x), 2, 2 * x.shape[2], x.shape[3])

    assert Probe(nn.Sequential(nn.Identity(), Groups(3, 4, 1)), "0")(IMAGES).logits.shape == (3, 2, 64, 48)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Probe(lambda x: x, "conv1"), "a torch.nn.Module is needed, not a function"),
        (lambda: Probe(inplace(), "conv1")(IMAGES.tolist()), "images are list: pass a float tensor"),
        (lambda: Probe(inplace(), "conv1")(IMAGES[0]), r"give one image as images\[None\]"),
        (
            lambda: Probe(inplace(), "conv1")(IMAGES[:, :, None]),
            "give a volume to a 2-D network as a batch of its slices",
        ),
        (lambda: Probe(inplace(), "conv1")((IMAGES * 255).byte()), r"images are torch.uint8: pass a float tensor"),
        (lambda: Probe(inplace(), "conv1")(IMAGES, [Target()]), r"not a list; for several targets call many"),
        (lambda: Probe(inplace(), "conv1")(IMAGES).maps("grad_cam"), "such as segcam.grad_cam, not 'grad_cam'"),
        (lambda: Probe(inplace(), Layer("conv1", "x", call=-1))(IMAGES), "no call -1"),
    ],
)
def test_slips_are_explained(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        call()


def test_a_gradient_that_is_overwritten_is_the_networks_own_fault() -> None:
    """ReLU in place, behind one that keeps its result for the gradient: such a network cannot be trained either."""

    class Rectified(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sigmoid()

    net = nn.Sequential(nn.Conv2d(3, 4, 1), Rectified(), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    with pytest.raises(ProbeError, match=r"overwrites in place what its own gradient needs.* inplace=False"):
        Probe(net, "0")(torch.rand(1, 3, 8, 8), Target(1, "image"))
    net[2].inplace = False
    Probe(net, "0")(torch.rand(1, 3, 8, 8), Target(1, "image"))


def test_modules_of_wrapped_networks_are_found() -> None:
    wrapped = nn.ModuleDict({"_orig_mod": nn.Sequential(nn.Conv2d(3, 2, 1))})
    with pytest.raises(ProbeError, match=r"no module '0': did you mean '_orig_mod\.0'\?"):
        Probe(wrapped, "0")
