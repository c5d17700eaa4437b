"""What is timed: networks, images, layers and targets, the same for every tool."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam.datasets import DATASETS, DatasetOptions
from segcam.models import Value as Parameter
from segcam.models import architecture, create, label
from segcam.probe.layers import Layer
from segcam.probe.targets import Target
from segcam.samples import Batch, Images

SEED = 1
STEP_SIZE, STEP_IMAGES = 64, 8
"""The side, in pixels, and the number of images of a training step."""


@dataclass(frozen=True, slots=True)
class Case:
    """One network and batch.

    Attributes:
        model: an architecture of the registry. None has in-place modules, so that all tools are right.
        parameters: what differs from its defaults.
        size: side of the images, in pixels.
        target: what is explained, of class 1.
        images: how many in the batch.
        rounds: how many rounds are timed.
        slow_rounds: how many of them sides take part in that call the network once a layer.
        steps: how long the network is trained before: speed does not depend on it, but maps of random weights nearly
            cancel out, and say little of errors.
    """

    model: str
    parameters: Mapping[str, Parameter] = field(hash=False)
    size: int
    target: str = "best_pixel:logit"
    images: int = 4
    rounds: int = 9
    slow_rounds: int = 3
    steps: int = 100

    @property
    def name(self) -> str:
        """The name in benchmarks' ids."""
        parameters = "".join(f"-{name[0]}{value}" for name, value in self.parameters.items())
        return f"{self.model}{parameters}-{self.size}px-b{self.images}-{self.target.partition(':')[0]}"

    @property
    def network(self) -> str:
        """The network's name in figures."""
        return label(self.model) + "".join(f" of {name} {value}" for name, value in self.parameters.items())

    @property
    def label(self) -> str:
        """The name in figures."""
        pixels = self.target.partition(":")[0].replace("_", " ")
        return f"{self.network}, {self.images} images of {self.size} px, {pixels}"


CASES = (
    Case("unet", {"width": 16}, 128, rounds=15),
    Case("unet", {"width": 32}, 256, rounds=7, slow_rounds=1),
    Case("segformer", {}, 128, rounds=11),
    Case("unet", {"width": 16}, 128, "predicted:logit", slow_rounds=0),
)


@dataclass(frozen=True, eq=False)
class Ready:
    """A case on a device.

    Attributes:
        case: what it is.
        device: where.
        model: the network, trained a little, in eval mode; parameters want gradients, as they do after training.
        channels_last: the same laid out channels-last.
        images: the batch `(b, 3, h, w)`, contiguous: channels first, as users have it.
        layers: the layers with feature maps `(b, c, h, w)`; tokens are left out, which other tools cannot lay out.
    """

    case: Case
    device: torch.device
    model: nn.Module
    channels_last: nn.Module
    images: Float[Tensor, "b 3 h w"]
    layers: tuple[Layer, ...]

    @property
    def target(self) -> Target:
        """What segcam is asked for."""
        return Target.parse(self.case.target, class_id=1)

    @property
    def modules(self) -> list[str]:
        """The layers' paths, which other tools are given."""
        return [layer.module for layer in self.layers]

    def scores(self, logits: Float[Tensor, "b k h w"]) -> Float[Tensor, " b"]:
        """Return what other tools are to differentiate: the same number an image, written as their users would."""
        logit = logits[:, 1].flatten(1)
        if self.case.target == "best_pixel:logit":
            return logit.amax(1)
        predicted = (logits.argmax(1) == 1).flatten(1)
        return (logit * predicted).sum(1) / predicted.sum(1).clamp(min=1)

    def double(self) -> Ready:
        """Return the same in float64, on the CPU."""
        model = copy.deepcopy(self.model).double().cpu()
        return Ready(self.case, torch.device("cpu"), model, model, self.images.double().cpu(), self.layers)


def small(case: Case) -> Case:
    """Return the case with a small network and few small images, to see that everything works."""
    parameters = {name: 4 if name == "width" else value for name, value in case.parameters.items()}
    return replace(
        case, parameters=parameters, size=64, images=2, rounds=1, slow_rounds=min(case.slow_rounds, 1), steps=10
    )


@lru_cache(maxsize=2)
def ready(case: Case, device: torch.device) -> Ready:
    """Train the case's network for a while, draw its images, and find its layers."""
    model = _trained(case.model, tuple(case.parameters.items()), case.steps, device)
    images = _batch(case.size, case.images, device).inputs().contiguous()
    channels_last = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    grids = _with_grid(model)
    layers = tuple(layer for layer in architecture(case.model).layers(model, "conv") if layer.module in grids)
    return Ready(case, device, model, channels_last, images, layers)


def scenes(size: int, count: int) -> Images:
    """Draw scenes, which are then kept in memory, so that drawing is not timed."""
    split = DATASETS.get("scenes").open(DatasetOptions(size=size, counts=(count, 1, 1))).splits["train"]
    for i in range(count):
        split[i]
    return split


def _batch(size: int, count: int, device: torch.device) -> Batch:
    split = scenes(size, count)
    return Batch.of([split[i] for i in range(count)], device)


@lru_cache(maxsize=8)
def _trained(name: str, parameters: tuple[tuple[str, Parameter], ...], steps: int, device: torch.device) -> nn.Module:
    model = create(name, 2, dict(parameters), seed=SEED).to(device)
    batch = _batch(STEP_SIZE, 8 * STEP_IMAGES, device)
    inputs, masks = batch.inputs(), batch.masks.long()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model.train()
        for step in range(steps):
            images = slice(step % 8 * STEP_IMAGES, (step % 8 + 1) * STEP_IMAGES)
            optimiser.zero_grad()
            F.cross_entropy(model(inputs[images]), masks[images], ignore_index=255).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return model.eval()


def _with_grid(model: nn.Module) -> set[str]:
    """Return the modules whose output has four dimensions."""
    paths: set[str] = set()

    def record(path: str) -> Callable[[nn.Module, object, object], None]:
        return lambda _module, _inputs, output: (
            paths.add(path) if torch.is_tensor(output) and output.ndim == 4 else None
        )

    handles = [module.register_forward_hook(record(path)) for path, module in model.named_modules()]
    with torch.no_grad():
        model(torch.zeros(1, 3, STEP_SIZE, STEP_SIZE, device=next(model.parameters()).device))
    for handle in handles:
        handle.remove()
    return paths
