"""Subject: a network, a batch and fixed pixels, for methods that run the network themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from segcam.arrays import at_least_float32
from segcam.errors import NotApplicableError
from segcam.probe.layers import Layer
from segcam.probe.layouts import Layout
from segcam.probe.network.elements import select
from segcam.probe.probe import Capture, Probe, frozen
from segcam.probe.targets import Target
from segcam.probe.targets.arguments import run_for_logits
from segcam.probe.targets.dense import ClassIndices
from segcam.scoring.reference import Scenery
from segcam.streams import stream_seed

T = TypeVar("T")


class Objective(nn.Module):
    """A network and the score of fixed pixels as one module, which gives a number for each image.

    It is what tools made for classifiers can explain: `Objective(network, target)(images, chosen, class_ids)`. The
    pixels are arguments, so that copies of an image (steps of a path, perturbed samples) take theirs along.
    """

    def __init__(self, network: nn.Module, target: Target) -> None:
        super().__init__()
        self.network = network
        self.target = target

    def forward(
        self,
        images: Float[Tensor, "n ch h w"],
        chosen: Bool[Tensor, "n H W"] | Int8[Tensor, "n H W"],
        class_ids: ClassIndices,
    ) -> Float[Tensor, " n"]:
        """Return the mean score over each image's pixels, which are at the resolution that the target names."""
        size = (int(images.shape[-2]), int(images.shape[-1]))
        return self.target.score_again(self.logits(images), size, chosen, class_ids)

    def logits(self, images: Float[Tensor, "n ch h w"]) -> Float[Tensor, "n k H W"]:
        """Return the network's logits, whatever its output means."""
        meaning = self.target.meaning or "logits"
        element, argument = self.target.element, self.target.argument
        return run_for_logits(lambda: select(self.network(images), element), meaning, argument=argument)


def _quiet(_done: int, _of: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How methods that run the network many times go about it.

    Attributes:
        max_memory: bytes of tensors that may be alive at once while it runs; None for what is fastest.
        told: told of the passes that are done, and of how many, after each batch of them.
    """

    max_memory: int | None = None
    told: Callable[[int, int], object] = _quiet


@dataclass(frozen=True, eq=False)
class Subject:
    """A network in eval mode with frozen parameters, a batch, and the pixels that are explained in it.

    The pixels are those that the target chose in the unchanged images: however the images or the network are changed,
    the question stays the same.

    Attributes:
        model: the network.
        images: its input, `(b, ch, h, w)`.
        capture: what one pass gave: activations, gradients, the pixels chosen.
        objective: network and score as one module.
        scenery: the photographs and masks, where a method may look at them (superpixels); None where there are none.
        pace: how many passes run at once, and who is told of them.
    """

    model: nn.Module
    images: Float[Tensor, "b ch h w"]
    capture: Capture
    objective: Objective
    scenery: Scenery | None = None
    pace: Pace = Pace()
    _kept: dict[str, object] = field(default_factory=dict, init=False, repr=False)

    @property
    def target(self) -> Target:
        """What is explained."""
        return self.capture.target

    @property
    def extra(self) -> tuple[Bool[Tensor, "b H W"] | Int8[Tensor, "b H W"], ClassIndices]:
        """What the objective takes beside the images: the pixels and the classes."""
        return self.capture.explained.weights, self.capture.explained.class_ids

    def module(self, layer: Layer) -> nn.Module:
        """Return the layer's module.

        Raises:
            NotApplicableError: the module runs more than once in a pass, so that it is not one layer, or on windows.
        """
        if layer.call is not None:
            raise NotApplicableError("the module runs more than once in a forward pass")
        layout = self.capture.layouts.get(layer.label)
        if layout is not None and layout.windows is not None:
            raise NotApplicableError("the module runs on windows of the images")
        return self.model.get_submodule(layer.module)

    def layout(self, layer: Layer) -> Layout:
        """Return how the layer's output is laid out."""
        return self.capture.layouts[layer.label]

    def as_maps(self, output: Tensor, layer: Layer) -> Float[Tensor, "b c h w"]:
        """Lay a layer's output, or what is of its shape, on the layer's grid; float32 or wider."""
        return at_least_float32(self.layout(layer).maps(output.detach()))

    def seed(self, index: int) -> int:
        """Return the seed of an image's random stream: fixed by the scenery's and the image's name, or by the image."""
        if self.scenery is not None:
            return stream_seed(self.scenery.seed, self.scenery.ids[index])
        content = self.images[index].detach().float().cpu().contiguous().numpy().tobytes()
        return stream_seed(0, hashlib.sha256(content).hexdigest())

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return `make()`, called the first time that `name` is asked for, for what several methods or layers share."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]  # type: ignore[return-value]


@contextmanager
def examining(
    probe: Probe,
    images: Float[Tensor, "b ch h w"],
    capture: Capture,
    scenery: Scenery | None = None,
    pace: Pace | None = None,
) -> Iterator[Subject]:
    """Hold the probe's network still for methods that run it: in eval mode, with frozen parameters, then as before.

    `images` is the batch that was probed, `capture` what the probe gave for it.

    Raises:
        NotApplicableError: the network takes more than the images, which methods that change these cannot pass on.
    """
    if capture.inputs:
        more = ", ".join(map(repr, capture.inputs))
        raise NotApplicableError(
            f"the network takes {more} beside the images: wrap it in a Module that takes one tensor and splits it"
        )
    own = probe.precision == "own"
    with torch.inference_mode(mode=False), torch.enable_grad(), frozen(probe.model, own_precision=own):
        objective = Objective(probe.model, capture.target)
        yield Subject(probe.model, probe.prepared(images), capture, objective, scenery, pace or Pace())


def undefined_where_empty(maps: Float[Tensor, "b h w"], subject: Subject) -> Float[Tensor, "b h w"]:
    """Return the maps with NaN for images whose pixel set is empty."""
    return maps.masked_fill((subject.capture.target_pixels == 0).view(-1, 1, 1), torch.nan)
