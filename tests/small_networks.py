"""Small networks with each kind of layer, and subjects made of them.

What follows a layer is written out a second time as plain functions: `behind[name](activations, images)` is the rest of
the network, from the output of the module `name` to the logits, for tests that change an output without a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcam import Layer, Probe, Target
from segcam.methods.material.subject import Subject, examining

Rest = Callable[[Tensor, Tensor], Tensor]
IMAGES = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build with fixed random weights, in float64, with running statistics as after some training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build()
        _settle(model)
    return model.double().eval()


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network's norms running statistics as after some training; the network itself is returned."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _settle(model)
    return model


def _settle(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)


def states(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts are the same bit for bit, in the same order."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Check that a network and torch's generator are as before: weights, modes, gradients, hooks, attributes."""

    def marks() -> list[object]:
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        of_modules = [
            (m.training, sorted(vars(m)), [list(getattr(m, kind)) for kind in kinds]) for m in model.modules()
        ]
        return [of_modules, [(p.requires_grad, p.grad is None or p.grad.data_ptr()) for p in model.parameters()]]

    tensors, before, generator = states(model), marks(), torch.get_rng_state()
    yield
    assert marks() == before
    assert equal(model.state_dict(), tensors)
    assert torch.equal(torch.get_rng_state(), generator)


@contextmanager
def outputs_of(model: nn.Module, paths: Iterable[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what modules put out meanwhile, as it is, and have autograd keep its gradients."""
    outputs: dict[str, list[Tensor]] = {path: [] for path in paths}

    def note(path: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if output.requires_grad:
                output.retain_grad()
            outputs[path].append(output)

        return hook

    handles = [model.get_submodule(path).register_forward_hook(note(path)) for path in outputs]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


class Convolutions(nn.Module):
    """Convolution, norm and ReLU in place, as most networks in use have them; logits at stride 2."""

    def __init__(self, channels: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1, stride=2), nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(x)))
        return self.head(self.norm2(self.conv2(x)).relu_())

    @property
    def behind(self) -> dict[str, Rest]:
        def conv2(a: Tensor, _: Tensor) -> Tensor:
            return F.conv2d(a.clamp(min=0), self.head.weight, self.head.bias)

        def norm1(a: Tensor, x: Tensor) -> Tensor:
            return conv2(F.conv2d(a.clamp(min=0), self.conv2.weight, self.conv2.bias, 2, 1), x)

        def conv1(a: Tensor, x: Tensor) -> Tensor:
            norm = self.norm1
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            return norm1((a - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None], x)

        return {"conv1": conv1, "norm1": norm1, "conv2": conv2, "norm2": conv2}


class Skip(nn.Module):
    """A layer whose output goes on in two branches, one of which writes into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deep, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        deep = self.deep(2 * x).sin()
        return self.head(torch.cat([x.relu_(), deep], 1))

    @property
    def behind(self) -> dict[str, Rest]:
        def conv(a: Tensor, _: Tensor) -> Tensor:
            deep = F.conv2d(2 * a, self.deep.weight, self.deep.bias, padding=1).sin()
            return F.conv2d(torch.cat([a.clamp(min=0), deep], 1), self.head.weight, self.head.bias)

        return {"conv": conv}


class Collected(nn.Module):
    """A layer whose output goes on as it came in, beside a branch that changes it, and by way of a hook of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop, self.deep = nn.Conv2d(3, 4, 1), nn.Dropout(0.5), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 2, 1)
        self.seen: list[Tensor] = []
        self.drop.register_forward_hook(lambda _module, _inputs, output: self.seen.append(output))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.drop(x)
        return self.head(self.deep(self.seen.pop()).sin() + x)

    @property
    def behind(self) -> dict[str, Rest]:
        def drop(a: Tensor, x: Tensor) -> Tensor:
            whole = F.conv2d(x, self.conv.weight, self.conv.bias)
            deep = F.conv2d(a, self.deep.weight, self.deep.bias, padding=1).sin()
            return F.conv2d(deep + whole, self.head.weight, self.head.bias)

        return {"drop": drop}


class Tokens(nn.Module):
    """Patches as tokens of stride 4 with a class token, which all of them see; a linear head on the tokens."""

    def __init__(self, channels: int = 6, classes: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 4, stride=4)
        self.cls = nn.Parameter(torch.randn(1, 1, channels))
        self.norm, self.mlp, self.drop = nn.LayerNorm(channels), nn.Linear(channels, channels), nn.Dropout(0.5)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.patches(x)
        own = maps.flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([self.cls.expand(len(x), -1, -1), own], 1))
        tokens = self.drop(self.mlp(tokens + tokens[:, :1]).tanh())
        logits = self.head(tokens[:, 1:]).transpose(1, 2).unflatten(2, maps.shape[2:])
        return F.interpolate(logits, scale_factor=2, mode="bilinear")

    @property
    def behind(self) -> dict[str, Rest]:
        def drop(tokens: Tensor, x: Tensor) -> Tensor:
            logits = torch.einsum("bnc,kc->bkn", tokens[:, 1:], self.head.weight) + self.head.bias[:, None]
            rows, columns = x.shape[2] // 4, x.shape[3] // 4
            return F.interpolate(logits.unflatten(2, (rows, columns)), scale_factor=2, mode="bilinear")

        def norm(tokens: Tensor, x: Tensor) -> Tensor:
            mixed = torch.einsum("bnc,kc->bnk", tokens + tokens[:, :1], self.mlp.weight) + self.mlp.bias
            return drop(mixed.tanh(), x)

        return {"norm": norm, "drop": drop}


class ChannelsLast(nn.Module):
    """Feature maps `(b, h, w, c)`, as of Swin and ConvNeXt, and a linear head on them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3, padding=1, stride=2), nn.LayerNorm(5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return self.head(x.tanh()).permute(0, 3, 1, 2)

    @property
    def behind(self) -> dict[str, Rest]:
        def norm(a: Tensor, _: Tensor) -> Tensor:
            return (torch.einsum("bhwc,kc->bhwk", a.tanh(), self.head.weight) + self.head.bias).permute(0, 3, 1, 2)

        return {"norm": norm}


class Twice(nn.Module):
    """A module that runs twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(self.conv(x)))


@contextmanager
def subject_of(
    model: nn.Module, layers: Layer | list[Layer], images: Tensor = IMAGES, target: Target | str = "best_pixel:logit"
) -> Iterator[Subject]:
    probe = Probe(model, layers)
    target = target if isinstance(target, Target) else Target.parse(target, 1)
    with examining(probe, images, probe(images, target)) as subject:
        yield subject


def close(found: Tensor, twin: np.ndarray, tolerance: float = 1e-9) -> bool:
    assert np.abs(twin).max() > 0
    return float((found - torch.from_numpy(twin)).abs().max()) <= tolerance * np.abs(twin).max()
