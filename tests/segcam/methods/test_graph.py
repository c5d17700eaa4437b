"""The steps of a forward pass: what is not linear, in which module, and what lies behind a layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segcam.methods.material.graph import Structure, named, steps_to, structure_of
from segcam.models import create
from segcam.probe.probe import frozen


def structure(model: nn.Module, size: int = 32) -> Structure:
    with frozen(model):
        return structure_of(model, torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)))


def not_linear(found: Structure, module: nn.Module | None = None) -> str:
    return named(step for step in found.after(module) if not step.linear)


class Branches(nn.Module):
    """A module, a function and a gate, one after the other, with a skip connection past the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU()
        self.third, self.head = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = F.gelu(self.second(self.relu(first)))
        third = self.third(second)
        return self.head(torch.cat([first, third * torch.sigmoid(second)], 1))


def test_what_lies_behind_a_module() -> None:
    model = Branches()
    found = structure(model)
    assert not_linear(found) == "Gelu (function), Mul (function), Relu, Sigmoid (function)"
    assert not_linear(found, model.first) == not_linear(found)
    assert not_linear(found, model.second) == "Gelu (function), Mul (function), Sigmoid (function)"
    assert not_linear(found, model.third) == "Mul (function)"
    assert not_linear(found, model.head) == ""
    assert found.after(nn.ReLU()) == ()


def test_calls_and_dimensions() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 1), nn.ReLU()
            self.norm, self.unused = nn.LayerNorm(3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.conv(self.relu(x)))
            self.norm(x.flatten(2).transpose(1, 2))  # leads nowhere
            return x

    model = Twice()
    found = structure(model)
    assert (found.calls[model.relu], found.calls[model.conv], found.calls.get(model.unused)) == (2, 1, None)
    assert (found.dims[model.relu], found.dims[model.norm]) == (4, 3)
    assert [step.call for step in found.after(model.conv) if step.module is model.relu] == [1]
    assert model.norm not in found.last
    assert sorted(step.call for step in found.steps if step.module is model.relu) == [0, 1]
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("module", "linear"),
    [
        (nn.BatchNorm2d(3), True),
        (nn.BatchNorm2d(3, track_running_stats=False), False),
        (nn.InstanceNorm2d(3), False),
        (nn.GroupNorm(1, 3), False),
        (nn.AvgPool2d(2), True),
        (nn.AdaptiveAvgPool2d(4), True),
        (nn.MaxPool2d(2), False),
        (nn.Upsample(scale_factor=2, mode="bilinear"), True),
        (nn.Upsample(scale_factor=2, mode="nearest"), True),
        (nn.ConvTranspose2d(3, 2, 2, stride=2), True),
        (nn.PixelShuffle(1), True),
        (nn.ReflectionPad2d(1), True),
        (nn.ZeroPad2d(1), True),
        (nn.Dropout(0.5), True),
        (nn.Softmax(1), False),
        (nn.Hardswish(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_modules_are_linear(module: nn.Module, linear: bool) -> None:
    """What is called linear does add up, and what is not does not."""
    model = nn.Sequential(module).eval()
    assert all(step.linear for step in structure(model).steps) == linear
    with torch.no_grad():
        a, b = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1)).unbind()
        error = model(a + b) - model(a) - model(b) + model(torch.zeros_like(a))
    assert bool((error.abs() < 1e-5).all()) == linear


def test_products_are_linear_in_one_factor() -> None:
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    assert all(step.linear for step in steps_to((2 * logits / 3 - logits.mean()).sum()))
    assert named(step for step in steps_to(logits * logits) if not step.linear) == "Mul (function)"
    assert named(step for step in steps_to(1 / logits) if not step.linear) != ""
    assert (
        named(step for step in steps_to(logits.flatten(2) @ logits.flatten(2).mT) if not step.linear)
        == "Bmm (function)"
    )


def test_steps_inside_libraries_are_seen() -> None:
    assert not_linear(structure(create("unet", 2, {"width": 2}), 32)) == "MaxPool2DWithIndices (MaxPool2d), Relu"
    found = not_linear(structure(create("segformer", 2), 64))
    assert found.replace("Bmm (function), ", "").startswith(
        "Gelu (GELUActivation), LayerNorm, Relu, S"
    )  # its attention
