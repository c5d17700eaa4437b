"""Agreement with pytorch-grad-cam, torch-cam and captum wherever they share a method and are right.

Where a formula is the same, maps agree to 1e-5 of their maximum, on every layer. Where it is not, the test says in
what, takes just that away, and shows that nothing else differs. What they get wrong is in test_peer_traps.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcam import Capture, Layer, Probe
from segcam.maps import together
from segcam.methods import METHODS
from segcam.methods.ablation_cam import ablation_cam
from segcam.methods.cam import cam
from segcam.methods.material.subject import Subject, examining
from segcam.methods.score_cam import score_cam
from segcam.models import MODELS, create
from tests.peers import best_pixels, of_grad_cam, of_torchcam, off_by, package, scores
from tests.small_networks import outputs_of, settled

CLOSE = 1e-5
SAME = [
    ("pytorch_grad_cam", "grad_cam", "GradCAM"),
    ("pytorch_grad_cam", "hires_cam", "HiResCAM"),
    ("pytorch_grad_cam", "layer_cam", "LayerCAM"),
    ("pytorch_grad_cam", "element_wise", "GradCAMElementWise"),
    ("torchcam.methods", "grad_cam", "GradCAM"),
    ("torchcam.methods", "layer_cam", "LayerCAM"),
]


@dataclass
class Case:
    """A network, images, and what segcam's probe reads of all its layers, in float64."""

    model: nn.Module
    images: Tensor
    layers: list[Layer]
    capture: Capture
    pixels: list[tuple[int, int]]

    def ours(self, name: str, layer: Layer, scale: float = 1.0) -> Tensor:
        return METHODS.get(name).maps(
            self.capture.activations[layer.label], self.capture.gradients[layer.label] * scale
        )


def small(name: str, point: str, images: Tensor) -> Case:
    model = settled(create(name, 2, {"width": 4} if name == "unet" else {}, seed=3).double()).eval()
    layers = MODELS.get(name).layers(model, point)
    capture = Probe(model, layers)(images)
    return Case(model, images, layers, capture, best_pixels(capture.logits))


@pytest.fixture(scope="module", params=["unet conv", "unet relu", "segformer conv", "segformer relu"])
def case(request: pytest.FixtureRequest) -> Case:
    """U-Net's ReLU is not in place; images are not square, so that a grid laid the wrong way shows."""
    name, point = request.param.split()
    return small(name, point, noise(2, *((32, 48) if name == "unet" else (64, 32))))


def noise(*shape: int) -> Tensor:
    count, rows, columns = shape
    return torch.randn(count, 3, rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def after_relu() -> Case:
    return small("unet", "relu", noise(2, 32, 48))


def agree(case: Case, name: str, theirs: list[Tensor]) -> None:
    """Every layer's maps are the method's; most of them show something."""
    ours = [case.ours(name, layer) for layer in case.layers]
    assert torch.cat([maps.amax((1, 2)) > 0 for maps in ours]).float().mean() > 0.7
    for own, their in zip(ours, theirs, strict=True):
        assert off_by(their, own) <= CLOSE


@pytest.mark.parametrize(("peer", "name", "tool"), SAME)
def test_the_same_formula(case: Case, peer: str, name: str, tool: str) -> None:
    asked = (case.model, case.layers, case.images, scores(case.pixels))
    of_peer = (
        of_grad_cam(tool, *asked) if peer == "pytorch_grad_cam" else of_torchcam(getattr(package(peer), tool), *asked)
    )
    agree(case, name, of_peer)


def test_xgrad_cam(case: Case) -> None:
    """They add an epsilon to a channel's sum of activations: 1e-7 and 1e-8. Where the sum is near 0 that counts.

    Up to some hundredths of a map in SegFormer's signed layers. What the two give is carried on in a straight line to
    an epsilon of 0, which leaves the second order of it.
    """
    tool = package("torchcam.methods").XGradCAM
    larger = of_grad_cam("XGradCAM", case.model, case.layers, case.images, scores(case.pixels))
    smaller = of_torchcam(tool, case.model, case.layers, case.images, scores(case.pixels))
    for layer, seven, eight in zip(case.layers, larger, smaller, strict=True):
        own = case.ours("xgrad_cam", layer)
        assert off_by((10 * eight - seven) / 9, own) <= CLOSE + off_by(seven, eight) / 20
        if layer.module.startswith(("encoders", "decoders")):  # U-Net
            assert off_by(seven, own) <= CLOSE
            assert off_by(eight, own) <= CLOSE


def of_captum(case: Case, tool: str, layer: Layer, **more: Any) -> Tensor:
    peer = getattr(package("captum.attr"), tool)(case.model, case.model.get_submodule(layer.module))
    if tool == "LayerActivation":
        return peer.attribute(case.images, **more).detach()
    return peer.attribute(case.images, target=[(1, y, x) for y, x in case.pixels], **more).detach()


def test_captum(case: Case) -> None:
    """A call a layer; of tokens captum has no maps (see the traps)."""
    with torch.no_grad(), outputs_of(case.model, [layer.module for layer in case.layers]) as outputs:
        case.model(case.images)
    maps = [layer for layer in case.layers if outputs[layer.module][0].ndim == 4]
    assert maps
    found: dict[str, list[Tensor]] = {"grad_cam": [], "hires_cam": [], "element_wise": [], "activation": []}
    for layer in maps:
        product = of_captum(case, "LayerGradientXActivation", layer)
        found["grad_cam"].append(of_captum(case, "LayerGradCam", layer, relu_attributions=True)[:, 0])
        found["hires_cam"].append(product.sum(1).relu())
        found["element_wise"].append(product.relu().sum(1))
        found["activation"].append(of_captum(case, "LayerActivation", layer).mean(1).relu())
    for name, theirs in found.items():
        agree(replace(case, layers=maps), name, theirs)


def test_grad_cam_pp(after_relu: Case) -> None:
    """pytorch-grad-cam adds 1e-6 to the denominator, so the score is taken times 1e6, where that no longer counts.

    After ReLU alone: elsewhere a channel's sum may be negative, for which the equation is not made. Then segcam takes
    it as 0; theirs has a pole there.
    """
    case, scale = after_relu, 1e6
    targets = scores(case.pixels, scale=scale)
    theirs = of_grad_cam("GradCAMPlusPlus", case.model, case.layers, case.images, targets)
    for layer, maps in zip(case.layers, theirs, strict=True):
        assert off_by(maps, case.ours("grad_cam_pp", layer, scale)) <= CLOSE


@pytest.mark.parametrize(("name", "tool"), [("eigen_cam", "EigenCAM"), ("eigen_grad_cam", "EigenGradCAM")])
def test_eigen(case: Case, name: str, tool: str) -> None:
    """pytorch-grad-cam centres each channel, which the paper does not, and leaves the sign as it falls.

    So segcam's is given centred channels, and theirs may be the positive part of either sign.
    """
    theirs = of_grad_cam(tool, case.model, case.layers, case.images, scores(case.pixels))
    for layer, maps in zip(case.layers, theirs, strict=True):
        stack = case.capture.activations[layer.label]
        if name == "eigen_grad_cam":
            stack = stack * case.capture.gradients[layer.label]
        centred = stack - stack.mean((2, 3), keepdim=True)
        signed = together(centred, torch.ones_like(stack), [METHODS.get(name)])[0][:, 0]
        for i in range(len(maps)):
            one = slice(i, i + 1)
            assert min(off_by(maps[one], sign.relu()) for sign in (signed[one], -signed[one])) <= CLOSE


def test_seg_eigen_cam(case: Case) -> None:
    """pytorch-grad-cam centres each channel of the products; given centred ones segcam's maps are the same.

    Of two cells centred values are equally far from 0, and the sign falls as it may.
    """
    theirs = of_grad_cam("SegEigenCAM", case.model, case.layers, case.images, scores(case.pixels))
    for layer, maps in zip(case.layers, theirs, strict=True):
        stack = case.capture.gradients[layer.label].abs() * case.capture.activations[layer.label]
        centred = stack - stack.mean((2, 3), keepdim=True)
        signed = together(centred, torch.ones_like(stack), [METHODS.get("seg_eigen_cam")])[0][:, 0]
        either = (signed, -signed) if signed[0].numel() == 2 else (signed,)
        for i in range(len(maps)):
            one = slice(i, i + 1)
            assert min(off_by(maps[one], sign[one].relu()) for sign in either) <= CLOSE


def perturbed(case: Case, layer: Layer, method: Callable[[Subject, Layer, int], Tensor]) -> Tensor:
    """Segcam's map with all channels."""
    with examining(Probe(case.model, layer), case.images, case.capture) as subject:
        return method(subject, layer, 0)


@pytest.fixture(scope="module", params=["unet", "segformer"])
def few(request: pytest.FixtureRequest) -> Case:
    """Few layers and a small image, for methods that take a pass a channel."""
    case = small(request.param, "conv", noise(1, *((16, 32) if request.param == "unet" else (64, 32))))
    deepest = 3 if request.param == "unet" else 1
    chosen = {(layer.stage, layer.role): layer for layer in case.layers if 0 < layer.stage <= deepest}
    case.layers = [layer for layer in chosen.values() if layer.role != "mix-ffn" and layer.label != "Decode head"]
    assert len(case.layers) >= 3
    return case


def test_score_cam_of_torchcam(few: Case) -> None:
    """torch-cam scales a channel to 0..1 before it is upsampled; equations 7 and 8 have it the other way round.

    Scaled once more behind upsampling, its masks are the paper's, and the maps agree.
    """
    tool = package("torchcam.methods").ScoreCAM

    class InThePapersOrder(tool):  # type: ignore[misc, valid-type]
        def _upsample(self, activation: Tensor) -> Tensor:
            return self._normalize(super()._upsample(activation), 2)

    targets = scores(few.pixels)
    ours = [perturbed(few, layer, score_cam) for layer in few.layers]
    as_they_come, in_order = (
        [of_torchcam(each, few.model, [layer], few.images, targets)[0] for layer in few.layers]
        for each in (tool, InThePapersOrder)
    )
    differ_in_masks_alone(few, ours, as_they_come, in_order)


def test_score_cam_of_pytorch_grad_cam(few: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """It upsamples with corners aligned, which shifts what is not in the middle; aligned as all else, maps agree."""
    package("pytorch_grad_cam")
    ours = [perturbed(few, layer, score_cam) for layer in few.layers]
    as_they_come = of_each(few, "ScoreCAM")
    monkeypatch.setattr("torch.nn.UpsamplingBilinear2d", partial(nn.Upsample, mode="bilinear", align_corners=False))
    differ_in_masks_alone(few, ours, as_they_come, of_each(few, "ScoreCAM"))


def differ_in_masks_alone(
    case: Case, ours: list[Tensor], as_they_come: list[Tensor], with_our_masks: list[Tensor]
) -> None:
    """With segcam's masks a peer's maps are the same; with its own where a layer is as fine as the image."""
    apart = {layer.label: off_by(*maps) for layer, *maps in zip(case.layers, as_they_come, ours, strict=True)}
    for layer, *maps in zip(case.layers, with_our_masks, ours, strict=True):
        assert off_by(*maps) <= CLOSE
        assert layer.stride > 1 or apart[layer.label] <= CLOSE
    assert max(apart.values()) > 100 * CLOSE


def of_each(case: Case, name: str) -> list[Tensor]:
    """pytorch-grad-cam's maps, layer by layer."""
    targets = scores(case.pixels)
    return [of_grad_cam(name, case.model, [layer], case.images, targets)[0] for layer in case.layers]


def test_ablation_cam_of_pytorch_grad_cam(after_relu: Case) -> None:
    """After ReLU and for a positive score alone, see the traps: elsewhere it takes out a channel with -1e7.

    It rounds scores to float32, of which small differences are what counts.
    """
    case = after_relu
    with torch.no_grad():
        case.model.head.bias.sub_(case.capture.scores.min()).add_(1)  # type: ignore[union-attr, operator]
    layers = [layer for layer in case.layers if layer.stage in (1, 3)]
    capture = Probe(case.model, layers)(case.images)  # of the network that has been changed
    case = replace(case, layers=layers, capture=capture, pixels=best_pixels(capture.logits))
    assert (case.capture.scores > 0).all()
    for layer, theirs in zip(layers, of_each(case, "AblationCAM"), strict=True):
        assert case.capture.activations[layer.label].amin() == 0
        own = perturbed(case, layer, ablation_cam)
        assert own.any()
        assert off_by(theirs, own) <= 10 * CLOSE


@pytest.mark.parametrize(
    ("name", "label", "head"),
    [("unet", "Decoder 1_2 ReLU", "head"), ("segformer", "Decode head ReLU", "network.decode_head.classifier")],
)
def test_cam_of_torchcam(name: str, label: str, head: str) -> None:
    """Which layer and which head go together its users must know; segcam finds the head, or says that there is none."""
    images = noise(2, 64, 32)
    case = small(name, "relu", images)
    layer = next(layer for layer in case.layers if layer.label == label)
    with package("torchcam.methods").CAM(case.model, layer.module, head) as peer:
        case.model(images)
        (theirs,) = peer(class_idx=1, normalized=False)
    with examining(Probe(case.model, layer), images, case.capture) as subject:
        assert off_by(theirs.detach(), cam(subject, layer)) <= CLOSE
