"""Winsor-CAM, RefineCAM and FullGrad: against slow twins, with peers, and where they are not defined."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, Target, explain
from segcam.errors import InputError, NotApplicableError
from segcam.methods import METHODS
from segcam.methods.fusions import layered
from segcam.methods.fusions.layered import on_pixels
from segcam.methods.fusions.winsor_cam import winsorised
from segcam.methods.material.subject import Subject, examining
from segcam.models import MODELS, create
from segcam.probe.layers import INPUT
from segcam.probe.memory import Plan
from tests.peers import of_torchcam, off_by, package
from tests.reference import fusions as slow
from tests.small_networks import IMAGES, close, seeded, settled, subject_of, unchanged

LAYERS = [Layer("0", "first"), Layer("2", "second", depth=1), Layer("3", "third", depth=2)]
SIZE = (8, 12)


def network() -> nn.Module:
    """Two resolutions; nothing is written in place, which peers do not know."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 3, 1)
    )


def run(name: str, subject: Subject, **chosen: Any) -> Tensor:
    found = METHODS.get(name).configured(chosen).run(subject, INPUT)
    assert isinstance(found, Tensor)
    return found


def pairs(subject: Subject, i: int, labels: list[str]) -> list[slow.Pair]:
    capture = subject.capture
    return [(capture.activations[label][i].numpy(), capture.gradients[label][i].numpy()) for label in labels]


@pytest.mark.parametrize("base", ["grad_cam_pp", "layer_cam", "hires_cam"])
@pytest.mark.parametrize(
    ("of", "labels"),
    [("", ["third", "first"]), ("second, fir*", ["second", "first"]), ("third, second", ["third", "second"])],
)
def test_refine_cam_equals_its_twin(base: str, of: str, labels: list[str]) -> None:
    model = seeded(network)
    with subject_of(model, LAYERS, target="predicted:logit") as subject, unchanged(model):
        found = run("refine_cam", subject, base=base, of=of)
        assert found.amax() > 0
        for i in range(len(IMAGES)):
            twin = slow.refine_cam(pairs(subject, i, labels), SIZE, base)
            assert np.abs(found[i].numpy() - twin).max() <= 1e-9


@pytest.mark.parametrize("percentile", [0.0, 30.0, 90.0, 100.0])
@pytest.mark.parametrize(("of", "labels"), [("", ["first", "second", "third"]), ("2, 3", ["second", "third"])])
def test_winsor_cam_equals_its_twin(percentile: float, of: str, labels: list[str]) -> None:
    model = seeded(network)
    with subject_of(model, LAYERS, target="best_pixel:logit") as subject, unchanged(model):
        found = run("winsor_cam", subject, percentile=percentile, of=of)
        assert found.amax() > 0
        for i in range(len(IMAGES)):
            twin = slow.winsor_cam(pairs(subject, i, labels), SIZE, percentile)
            assert np.abs(found[i].numpy() - twin).max() <= 1e-9


def test_winsorised_importances() -> None:
    """Those above the percentile are cut off; the rest lies in 0.1 to 1; what is not positive has no say."""
    importances = torch.tensor([0.0, 1.0, 2.0, 3.0, 100.0])
    weights = winsorised(importances, 50.0)
    assert weights.tolist() == pytest.approx([0, 0.1, 0.1 + 0.9 / 1.5, 1, 1])
    assert winsorised(importances, 0.0).tolist() == [0, 1, 1, 1, 1]
    assert winsorised(torch.zeros(3), 50.0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("target", ["predicted:logit", "best_pixel:margin"])
@pytest.mark.parametrize("name", ["convolutions", "unet"])
def test_full_grad_equals_its_twin_and_adds_up(name: str, target: str) -> None:
    """The pieces, by hooks of the test's own, add up to the score."""
    if name == "unet":
        model = settled(create("unet", 2, {"width": 2}, seed=3).double()).eval()
        images = torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        layers = MODELS.get("unet").layers(model, "conv")[-1:]
    else:
        model, images, layers = seeded(network), IMAGES, LAYERS
    with subject_of(model, layers, images, target) as subject, unchanged(model):
        found = run("full_grad", subject)
        for i in subject.capture.target_pixels.nonzero().flatten().tolist():
            pieces, score = by_hand(subject, i)
            assert sum(piece.sum() for piece in pieces) == pytest.approx(score, rel=1e-9)
            assert close(found[i], slow.full_grad(pieces, (int(images.shape[2]), int(images.shape[3]))))


def by_hand(subject: Subject, i: int) -> tuple[list[np.ndarray], float]:
    """What the input and each bias add to an image's score."""
    outputs: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        outputs.append((module, output))
        return output.clone()

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    handles = [m.register_forward_hook(note) for m in subject.model.modules() if isinstance(m, kinds)]
    image = subject.images[i : i + 1].clone().requires_grad_()
    score = subject.objective(image, *(one[i : i + 1] for one in subject.extra))
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(score.sum(), [image, *(output for _, output in outputs)])
    pieces = [(image * gradients[0])[0].detach().numpy()]
    for (module, _), gradient in zip(outputs, gradients[1:], strict=True):
        bias = module.bias
        if isinstance(module, nn.BatchNorm2d):
            nothing = torch.zeros(1, module.num_features, 1, 1, dtype=torch.float64)
            bias = module(nothing).flatten()  # what it gives for nothing
        if bias is not None:
            pieces.append((bias.detach()[:, None, None] * gradient[0]).numpy())
    return pieces, float(score.detach())


def test_full_grad_of_a_norm_without_bias_and_of_a_module_that_plays_no_part() -> None:
    class Two(nn.Module):
        def __init__(self, *, affine: bool) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 1)
            self.norm, self.beside = nn.BatchNorm2d(6, affine=affine), nn.Conv2d(6, 3, 1)
            self.norm.running_mean += torch.linspace(-1, 1, 6)
            self.norm.running_var += torch.linspace(0, 1, 6)

        def forward(self, images: Tensor) -> Tensor:
            inside = self.norm(self.conv(images)).relu()
            self.beside(inside)
            return self.head(inside)

    plain, affine = seeded(lambda: Two(affine=False)), seeded(lambda: Two(affine=True))
    affine.load_state_dict(plain.state_dict(), strict=False)  # the weights of its norm stay 1, the biases 0
    nn.init.ones_(affine.norm.weight)
    nn.init.zeros_(affine.norm.bias)
    found = []
    for model in (plain, affine):
        with subject_of(model, Layer("conv", "conv")) as subject:
            found.append(run("full_grad", subject))
    assert found[0].nan_to_num().amax() > 0
    torch.testing.assert_close(found[0], found[1], equal_nan=True)
    nn.init.uniform_(affine.norm.weight, 0.5, 3)
    nn.init.uniform_(affine.norm.bias)
    with subject_of(affine, Layer("conv", "conv")) as subject:
        assert run("full_grad", subject).nan_to_num().amax() > 0, "its pieces add up to the score, or it is refused"


def test_full_grad_is_refused_where_pieces_are_missing() -> None:
    def smooth() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.GELU(), nn.Conv2d(6, 3, 1))

    def bare() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(6, 3, 1, bias=False))

    for build, words in ((smooth, "does not sum to the score"), (bare, "has a bias")):
        with (
            subject_of(seeded(build), Layer("0", "0")) as subject,
            pytest.raises(NotApplicableError, match=words),
        ):
            run("full_grad", subject)


@pytest.mark.parametrize(
    ("name", "chosen", "words"),
    [
        ("refine_cam", {"of": "fourth"}, "fourth"),
        ("refine_cam", {"of": "first"}, "fuses layers, and there is one alone"),
        ("refine_cam", {"base": "rise"}, "gradient method"),
        ("winsor_cam", {"of": "nothing*"}, "nothing"),
        ("winsor_cam", {"of": "first"}, "fuses layers, and there is one alone"),
    ],
)
def test_what_cannot_be_fused(name: str, chosen: dict[str, str], words: str) -> None:
    with subject_of(seeded(network), LAYERS) as subject, pytest.raises(InputError, match=words):
        run(name, subject, **chosen)


def test_a_percentile_is_one() -> None:
    with subject_of(seeded(network), LAYERS) as subject, pytest.raises(InputError, match="percentile is 101"):
        METHODS.get("winsor_cam").run(subject, INPUT, percentile=101.0)


def test_a_layer_whose_map_is_undefined_says_nothing() -> None:
    found = torch.tensor([[[math.nan, -1.0], [2.0, 0.0]]])
    capture = SimpleNamespace(maps=lambda maps, layer: found)
    got = layered.maps_of(capture, LAYERS[0], METHODS.get("grad_cam"))
    assert got.tolist() == [[[0, 0], [2, 0]]]
    assert layered.to_one(torch.tensor([[[4.0, 1.0]], [[0.0, 0.0]]])).tolist() == [[[1, 0.25]], [[0, 0]]]


def test_winsor_cam_of_layers_that_speak_against_and_of_blank_ones() -> None:
    """Networks of which a layer's gradients are negative on average, and whose map of a layer is blank."""
    against = blank = 0
    for seed in range(12):
        model = seeded(network, seed)
        with subject_of(model, LAYERS, target="best_pixel:logit") as subject:
            found = run("winsor_cam", subject, percentile=90.0)
            for i in range(len(IMAGES)):
                own = pairs(subject, i, ["first", "second", "third"])
                means = np.array([gradients.mean() for _, gradients in own])
                maps = [slow.cams.maps("grad_cam", *pair)[1] for pair in own]
                against += means.min() < 0 < means.max()
                blank += any(one.max() == one.min() for one in maps)
                assert np.abs(found[i].numpy() - slow.winsor_cam(own, SIZE, 90.0)).max() <= 1e-9
    assert min(against, blank) > 0


@pytest.mark.parametrize("name", ["refine_cam", "winsor_cam"])
def test_they_run_nothing(name: str) -> None:
    method = METHODS.get(name)
    assert (method.scope, method.own_passes, method.fuses) == ("input", False, True)
    model, runs = seeded(network), [0]
    with subject_of(model, LAYERS) as subject:
        handle = model.register_forward_hook(lambda *_: runs.__setitem__(0, runs[0] + 1))
        run(name, subject)
        handle.remove()
    assert runs == [0]


def test_layers_that_do_not_fit_the_memory_together_are_not_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    model = seeded(network).float()
    asked = {"target": "best_pixel:logit", "layers": ["0", "2"], "methods": ["refine_cam", "full_grad", "grad_cam"]}
    whole = explain(model, photographs, 1, **asked, progress=False, max_memory=10**9)
    assert set(whole.scores["method"]) == {"refine_cam", "full_grad", "grad_cam"}
    apart = Plan(tuple((layer,) for layer in whole.choice.layers), 1)
    monkeypatch.setattr("segcam.explaining.scored.plan", lambda *_: apart)
    parted = explain(model, photographs, 1, **asked, progress=False, max_memory=10**9)
    assert set(parted.scores["method"]) == {"full_grad", "grad_cam"}
    assert "max_memory" in parted.skipped["Input", "refine_cam"]


@pytest.fixture
def after_relu() -> Subject:
    """Layers after ReLU, whose LayerCAM maps reach 0: what torch-cam subtracts is nothing then."""
    model, layers = seeded(network), [Layer("1", "1", stride=1), Layer("3", "3", depth=1, stride=2)]
    probe = Probe(model, layers)
    with examining(probe, IMAGES, probe(IMAGES, Target(1, "best_pixel", at="output"))) as subject:
        maps = [METHODS.get("layer_cam").maps(*of_layer(subject, layer)) for layer in layers]
        assert all((one.amin((1, 2)) == 0).all() for one in maps)
        yield subject


def of_layer(subject: Subject, layer: Layer) -> tuple[Tensor, Tensor]:
    return subject.capture.activations[layer.label], subject.capture.gradients[layer.label]


def test_torchcam_agrees_on_refine_cam(after_relu: Subject) -> None:
    tools = package("torchcam.methods")
    subject, model = after_relu, after_relu.model
    ours = run("refine_cam", subject, base="layer_cam", of="1,3")
    at = [divmod(int(one.flatten().float().argmax()), one.shape[1]) for one in subject.capture.explained.chosen]
    targets = [lambda out, y=y, x=x: out[1, y, x] for y, x in at]
    theirs = tools.RefineCAM.fuse_cams(
        of_torchcam(tools.LayerCAM, model, list(subject.capture.layers), IMAGES, targets), SIZE, normalized=False
    )
    assert ours.amax() > 0
    assert off_by(theirs, ours) <= 1e-5


def test_pytorch_grad_cam_agrees_on_refine_cam(after_relu: Subject) -> None:
    """It scales each layer's map once more when that has been enlarged, by its extremes: done so here, maps agree."""
    tools = package("pytorch_grad_cam")
    subject, model = after_relu, copy.deepcopy(after_relu.model).float().requires_grad_()
    ours = run("refine_cam", subject, base="layer_cam", of="1,3")
    modules = [model.get_submodule(layer.module) for layer in subject.capture.layers]
    of_image = subject.capture.explained.chosen
    at = [divmod(int(one.flatten().float().argmax()), one.shape[1]) for one in of_image]
    peer = tools.RefineCAM(model, modules, base_method=tools.LayerCAM)
    theirs = torch.from_numpy(peer(IMAGES.float(), [lambda out, y=y, x=x: out[1, y, x] for y, x in at]))
    again = torch.ones_like(ours)
    for layer in subject.capture.layers:
        enlarged = on_pixels(METHODS.get("layer_cam").maps(*of_layer(subject, layer)), layer, subject.capture)
        low, high = enlarged.amin((1, 2), keepdim=True), enlarged.amax((1, 2), keepdim=True)
        again *= (enlarged - low) / (high - low)
    assert off_by(theirs.double(), again / again.amax((1, 2), keepdim=True)) <= 1e-4
    assert off_by(theirs.double(), ours / ours.amax((1, 2), keepdim=True)) <= 0.1
