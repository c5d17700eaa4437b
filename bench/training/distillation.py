"""Feature distillation: hints, by which a network learns to give the features of a teacher beside its own task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn

from segcam.errors import InputError
from segcam.probe.layers import Layer
from segcam.probe.layouts.layout import of_known

ROLE = "encoder"
"""Layers of this role give the features: a network's stages."""


class Hints(nn.Module):
    """Compares the stages of a network with those of a trained one, through a linear map of channels.

    With features `S_i` of the network's stage `i`, `T_i` of the teacher's stage with the nearest stride, each channel
    of `T_i` brought to mean 0 and spread 1 over the batch, and a 1x1 convolution `P_i` that is learnt,

        loss = sum_i mean smooth_l1(P_i S_i, T_i)

    Args:
        network: the network that learns, on the CPU, as is the teacher.
        layers: its layers; those with the role 'encoder' are compared.
        teacher: the trained network; it is put into eval mode and frozen.
        teacher_layers: its layers.
        size: side of the training images, in pixels.
        seed: of the first weights of `P_i`.

    Raises:
        InputError: one of the two has no layer with that role.

    Source: Romero et al., FitNets, ICLR 2015, equation 3 (with smooth L1 in place of L2).
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[Layer],
        teacher: nn.Module,
        teacher_layers: Sequence[Layer],
        size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._layers = [layer for layer in layers if layer.role == ROLE]
        stages = [layer for layer in teacher_layers if layer.role == ROLE]
        if not self._layers or not stages:
            raise InputError(f"a teacher needs layers with the role '{ROLE}' in both networks: set train.teacher to ''")
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: it is no part of what is learnt and saved
        self._teachers = [min(stages, key=lambda s: abs(math.log2(s.stride / a.stride))) for a in self._layers]
        self._given: dict[str, Tensor] = {}
        self._size = (size, size)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            images = torch.zeros(1, 3, size, size)
            training = network.training
            with self.watching(network.eval()):
                network(images)
            network.train(training)
            widths = [_as_maps(self._given[a.label], a, self._size).shape[1] for a in self._layers]
            teacher_widths = [features.shape[1] for features in self.features(images)]
            self.maps = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(widths, teacher_widths, strict=True))

    def to(self, device: torch.device) -> Hints:  # type: ignore[override]
        """Move the maps and the teacher to a device."""
        self._teacher[0].to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return super().to(device)

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[None]:
        """Keep the features of the network's next pass."""
        with _recorded(network, self._layers, self._given):
            yield

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """Return the teacher's features of a batch, `(b, c, h, w)` for each stage of the network.

        Its pass ends with the last of them: what comes behind, such as a decoder, is not run.
        """
        teacher, features = self._teacher[0], dict[str, Tensor]()
        size = (images.shape[2], images.shape[3])
        with suppress(_Complete), _recorded(teacher, self._teachers, features, stop=True):
            teacher(images)
        return [_as_maps(features[layer.label], layer, size).float() for layer in self._teachers]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the loss of the network's last pass under `watching`, against the teacher's features."""
        total = torch.zeros((), device=features[0].device)
        for layer, projection, taught in zip(self._layers, self.maps, features, strict=True):
            mapped = projection(_as_maps(self._given[layer.label].float(), layer, self._size))
            spread, mean = torch.std_mean(taught, (0, 2, 3), keepdim=True)
            aim = (taught - mean) / (spread + 1e-5)
            total = total + F.smooth_l1_loss(F.adaptive_avg_pool2d(mapped, (aim.shape[2], aim.shape[3])), aim)
        self._given.clear()
        return total


def _as_maps(output: Tensor, layer: Layer, size: tuple[int, int]) -> Tensor:
    return of_known(layer, tuple(output.shape), size).maps(output)


class _Complete(Exception):  # noqa: N818  (no error)
    """Ends a pass whose features are all there."""


@contextmanager
def _recorded(
    network: nn.Module, layers: Sequence[Layer], into: dict[str, Tensor], *, stop: bool = False
) -> Iterator[None]:
    """Keep the outputs of layers by their labels; with `stop`, `_Complete` ends the pass when all are there."""
    labels = {layer.label for layer in layers}

    def hook_of(label: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            into[label] = output
            if stop and into.keys() >= labels:
                raise _Complete

        return hook

    modules = dict(network.named_modules())
    handles = [modules[layer.module].register_forward_hook(hook_of(layer.label)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
