"""Weights that are zero but for rounding make no map; all others do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from segcam import Probe, Target, grad_cam
from segcam.checks.diagnosis import diagnose
from segcam.maps import layer_maps
from segcam.methods import METHODS
from segcam.models import MODELS, create
from segcam.probe.gradients.rounding import cancels
from tests.small_networks import seeded, settled

TARGETS = ["best_pixel:logit", "predicted:logit", "image:margin"]


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nnf.instance_norm(x)


NORMS: dict[str, Callable[[], nn.Module]] = {
    "instance": lambda: nn.InstanceNorm2d(8),
    "instance, affine": lambda: nn.InstanceNorm2d(8, affine=True),
    "a group a channel": lambda: nn.GroupNorm(8, 8),
    "functional": Functional,
    "by hand": lambda: ByHand(),  # noqa: PLW0108  (defined below)
}


class ByHand(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


class Unet(nn.Module):
    """As nnU-Net and MONAI build them: convolution, norm, leaky ReLU, at two strides and with a skip."""

    def __init__(self, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1), norm()
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, stride=2, padding=1), norm()
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.conv3, self.norm3 = nn.Conv2d(16, 8, 3, padding=1), norm()
        self.act, self.head = nn.LeakyReLU(0.01), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = nnf.leaky_relu(self.norm1(self.conv1(x)), 0.01)
        deep = self.up(nnf.leaky_relu(self.norm2(self.conv2(first)), 0.01))
        return self.head(self.act(self.norm3(self.conv3(torch.cat([first, deep], 1)))))


CONVOLUTIONS, REST = ["conv1", "conv2", "conv3"], ["norm1", "norm2", "norm3", "up", "act"]


def images(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_front_of_a_norm_over_positions_weights_cancel(norm: str, target: str, dtype: torch.dtype) -> None:
    model = seeded(lambda: Unet(NORMS[norm]), 6).to(dtype)
    for side in (16, 96):
        capture = Probe(model, [*CONVOLUTIONS, *REST])(images(side).to(dtype), Target.parse(target, 1))
        for label in CONVOLUTIONS:
            assert capture.cancels(label, "gradients").all()
            assert capture.maps(grad_cam, label).isnan().all()
            assert capture.maps(METHODS.get("grad_cam").maps, label).isnan().all()
            assert capture.maps(METHODS.get("hires_cam").maps, label).isfinite().all()
        for label in REST:
            assert not capture.cancels(label, "gradients").any()
            assert capture.maps(grad_cam, label).isfinite().all()


def test_only_the_methods_that_sum_have_no_map() -> None:
    capture = Probe(seeded(lambda: Unet(NORMS["instance"])).float(), "conv2")(images(32), Target(1, "image"))
    methods = [METHODS.get(name) for name in ("grad_cam", "hires_cam", "grad_cam_pp", "xgrad_cam", "eigen_cam")]
    for maps in layer_maps(capture, "conv2", methods):
        assert maps[:, 0].isnan().all()
        assert maps[:, [1, 2, 4]].isfinite().all()


def test_the_diagnosis_names_the_other_probe_point() -> None:
    found = diagnose(Probe(seeded(lambda: Unet(NORMS["instance"])).float(), ["conv2", "act"]), images(32))
    assert found["conv2"].text.startswith("undefined in 2 of 2 images: cancels: ")
    assert "probe behind the normalisation instead" in found["conv2"].text
    assert (found["conv2"].undefined, found["conv2"].blank) == (1.0, 0.0)
    assert found["act"].undefined == 0
    assert (
        diagnose(Probe(seeded(lambda: Unet(NORMS["instance"])).float(), "conv2"), images(32), method="hires_cam")[
            "conv2"
        ].undefined
        == 0
    )


def test_other_norms_cancel_nothing() -> None:
    """Batch normalisation in eval mode, groups of several channels, and layer norms over channels."""
    for norm in (lambda: nn.BatchNorm2d(8), lambda: nn.GroupNorm(2, 8), lambda: nn.GroupNorm(1, 8), nn.Identity):
        model = settled(seeded(lambda norm=norm: Unet(norm))).float()
        capture = Probe(model, [*CONVOLUTIONS, *REST])(images(32), Target(1, "predicted"))
        assert not any(capture.cancels(label, "gradients").any() for label in capture.activations)
        assert not any(capture.cancels(label, "products").any() for label in capture.activations)


@pytest.mark.parametrize("name", ["unet", "segformer"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_map_of_our_networks_is_taken_for_noise(name: str, precision: str) -> None:
    settings = {"width": 4} if name == "unet" else {}
    model = settled(create(name, 3, settings, seed=2)).eval()
    for point in ("conv", "relu"):
        layers = MODELS.get(name).layers(model, point)
        if not layers:
            continue
        probe = Probe(model, layers, precision=precision)  # type: ignore[arg-type]
        for capture in probe.many(images(64), [Target.parse(target, 1) for target in TARGETS]):
            for layer in capture.layers:
                assert not capture.cancels(layer, "gradients").any(), layer.label
                assert not capture.cancels(layer, "products").any(), layer.label


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("side", [1, 2, 8, 64, 256])
def test_the_bound(dtype: torch.dtype, side: int) -> None:
    """Random signs are above it, terms made to sum to zero and then rounded below; zeros are no noise."""
    generator = torch.Generator().manual_seed(side)
    terms = torch.randn(3, 5, side, side, generator=generator, dtype=torch.float64)
    assert not cancels(terms.to(dtype)).any()
    assert not cancels(torch.zeros(2, 5, side, side, dtype=dtype)).any()
    if side > 1:
        centred = terms - terms.mean((2, 3), keepdim=True)
        assert cancels(centred.to(dtype)).all()
        assert not cancels((centred + 0.5 * terms.std()).to(dtype)).any()
        if dtype != torch.float64:
            assert cancels(centred.to(dtype).float(), dtype).all()


def test_images_are_judged_for_themselves() -> None:
    terms = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    terms[1] -= terms[1].mean((1, 2), keepdim=True)
    assert cancels(terms).tolist() == [False, True, False]
    one_channel = torch.cat([terms[1:2, :3], terms[:1, 3:]], 1)
    assert cancels(one_channel).tolist() == [False]


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e-20, 1e-30, 1e15])
@pytest.mark.parametrize("share", [1.0, 0.01])
@pytest.mark.parametrize("side", [3, 40])
def test_a_look_at_the_norm_changes_no_answer(scale: float, share: float, side: int) -> None:
    """In whichever order the numbers lie in memory, of all sizes, also where their squares are nothing in float32."""
    generator = torch.Generator().manual_seed(1)
    terms = torch.randn(6, 8, side, side, generator=generator, dtype=torch.float64)
    terms *= torch.rand(terms.shape, generator=generator) <= share
    terms[1] -= terms[1].mean((1, 2), keepdim=True)
    terms[2] *= 0
    terms[3, 1:] -= terms[3, 1:].mean((1, 2), keepdim=True)
    terms = (scale * terms).float()
    for some in (slice(0, 1), slice(3, 6), slice(0, 3), slice(0, 6)):
        given = terms[some]
        apart = torch.empty(*given.shape[:3], 2 * side)[..., ::2].copy_(given)
        exact = cancels(given.double(), torch.float32)
        for stack in (given.contiguous(), given.contiguous(memory_format=torch.channels_last), apart):
            assert torch.equal(cancels(stack), exact)
