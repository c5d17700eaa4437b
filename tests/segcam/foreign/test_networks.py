"""Networks as others write them: a sigmoid at the end, instance norms, checkpointed residual blocks, no padding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from segcam import Probe, Target, grad_cam
from tests.segcam.foreign.reference import agrees, nchw, plain_grad_cam
from tests.small_networks import seeded


class Block(nn.Sequential):
    """Two convolutions, each with a norm and an activation in place."""

    def __init__(self, before: int, after: int, norm: Callable[[int], nn.Module], padding: int = 1) -> None:
        layers: list[nn.Module] = []
        for channels in (before, after):
            layers += [nn.Conv2d(channels, after, 3, padding=padding), norm(after), nn.LeakyReLU(0.01, inplace=True)]
        super().__init__(*layers)


class Unet(nn.Module):
    """Two levels with a skip connection, cropped to fit where convolutions are unpadded."""

    def __init__(self, norm: Callable[[int], nn.Module], padding: int = 1, end: nn.Module | None = None) -> None:
        super().__init__()
        self.down, self.deep = Block(3, 6, norm, padding), Block(6, 8, norm, padding)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.decoder, self.head = Block(12, 6, norm, padding), nn.Conv2d(6, 2, 1)
        self.end = end or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        up = self.up(self.deep(nnf.max_pool2d(skip, 2)))
        top, left = ((skip.shape[n] - up.shape[n]) // 2 for n in (2, 3))
        skip = skip[:, :, top : top + up.shape[2], left : left + up.shape[3]]
        return self.end(self.head(self.decoder(torch.cat([skip, up], 1))))


class Residual(nn.Module):
    def __init__(self, channels: int, how: bool | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu, self.how = nn.ReLU(inplace=True), how

    def inner(self, x: Tensor) -> Tensor:
        return self.relu(self.bn2(self.conv2(nnf.relu(self.bn1(self.conv1(x))))) + x)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if self.how is None else checkpoint(self.inner, x, use_reentrant=self.how)


def resnet(how: bool | None) -> nn.Module:
    """A residual network of which each block is checkpointed, reentrant or not; None for none."""
    blocks = [Residual(6, how), nn.Conv2d(6, 8, 3, stride=2, padding=1), Residual(8, how), Residual(8, how)]
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), *blocks, nn.Conv2d(8, 3, 1))


def images(height: int = 32, width: int = 48) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(9)).double()


@pytest.mark.filterwarnings("ignore:.*output.*")
@pytest.mark.parametrize("label", ["down.0", "down.2", "deep.3", "up", "decoder.4"])
def test_a_sigmoid_at_the_end_is_explained_as_its_logits(label: str) -> None:
    model, bare = (seeded(lambda end=end: Unet(nn.BatchNorm2d, end=end), 3) for end in (nn.Sigmoid(), None))
    target = Target(1, "image", output="multilabel-probabilities")
    assert agrees(Probe(model, label)(images(), target), label, plain_grad_cam(bare, label, nchw, images()))


@pytest.mark.parametrize("label", ["down.1", "down.2", "deep.4", "deep.5", "up", "decoder.5"])
def test_behind_instance_norms(label: str) -> None:
    model = seeded(lambda: Unet(lambda n: nn.InstanceNorm2d(n, affine=True)), 3)
    capture = Probe(model, label)(images(), Target(1, "image"))
    assert agrees(capture, label, plain_grad_cam(model, label, nchw, images()))


@pytest.mark.parametrize("label", ["down.0", "down.3", "deep.0", "deep.3", "decoder.0", "decoder.3"])
def test_in_front_of_instance_norms(label: str) -> None:
    model = seeded(lambda: Unet(lambda n: nn.InstanceNorm2d(n, affine=True)), 3)
    wanted = plain_grad_cam(model, label, nchw, images())
    behind = plain_grad_cam(model, f"{label[:-1]}{int(label[-1]) + 1}", nchw, images())
    assert wanted.abs().max() < 1e-9 * behind.abs().max()  # noise
    for precision in (model, model.float()):
        batch = images().to(next(precision.parameters()).dtype)
        assert Probe(precision, label)(batch, Target(1, "image")).maps(grad_cam).isnan().all()


@pytest.mark.parametrize("how", [False, True])
def test_a_checkpointed_residual_network(how: bool) -> None:
    model, plain = seeded(lambda: resnet(how), 3), seeded(lambda: resnet(None), 3)
    labels = ["0", "1.conv1", "1", "3.bn1", "3.relu", "4.conv2", "4"]
    capture = Probe(model, labels)(images(), Target(1, "image"))
    for label in labels:
        wanted = plain_grad_cam(plain, label, nchw, images())
        assert agrees(capture, label, wanted)
        again = Probe(model, label)(images(), Target(1, "image")).maps(grad_cam)
        assert torch.allclose(again, capture.maps(grad_cam, label), rtol=1e-9)


@pytest.mark.parametrize("size", [(60, 60), (44, 60)])
def test_an_unpadded_network(size: tuple[int, int]) -> None:
    """At its own output's resolution: where that lies on the input is another question."""
    model = seeded(lambda: Unet(nn.BatchNorm2d, padding=0), 3)
    labels = ["down.0", "down.5", "deep.3", "up", "decoder.3"]
    capture = Probe(model, labels)(images(*size), Target(1, "image", at="output"))
    assert capture.logits.shape[2] < size[0]
    for label in labels:
        wanted = plain_grad_cam(model, label, nchw, images(*size), upsampled=False)
        assert agrees(capture, label, wanted)
