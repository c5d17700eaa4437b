"""Passes: how the network is run for each photograph, the first time and for the checks that follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from segcam.checks.sanity import evenly
from segcam.classes import Classes
from segcam.errors import InputError, first_line, shown
from segcam.explaining.kept import Prepared
from segcam.networks import OwnNetwork, prepare
from segcam.probe.attention import AttentionPlace
from segcam.probe.layers import Layer
from segcam.probe.placement import Placing
from segcam.probe.probe import Probe
from segcam.probe.targets import Target
from segcam.samples import Batch


@dataclass(frozen=True, slots=True)
class Turn:
    """One photograph's turn: its number, the batch of it alone, and what is explained in it.

    Attributes:
        number: of the photograph.
        batch: on the device.
        classes: the classes that are explained.
        targets: one a class.
        masked: whether the batch has true masks.
        picture: the photograph as people see it, `(rows, columns, 3)`.
    """

    number: int
    batch: Batch
    classes: Sequence[Classes]
    targets: Sequence[Target]
    masked: bool
    picture: npt.NDArray[np.uint8]

    @property
    def masks(self) -> torch.Tensor | None:
        """The true classes, for targets that look at them."""
        return self.batch.masks if self.masked else None


@dataclass(frozen=True, slots=True)
class Passes:
    """What it takes to run a network on photographs again.

    Attributes:
        network: the network, and how it wants its images.
        prepared: the photographs.
        masked: whether they have masks.
        target: what is explained; its class is the photograph's.
        classes: for each photograph the classes that are explained.
        layers: the layers.
        placement: where maps lie.
        device: where it runs; where it is, if None.
    """

    network: OwnNetwork
    prepared: Sequence[Prepared]
    masked: bool
    target: Target
    classes: Sequence[Sequence[Classes]]
    layers: Sequence[Layer]
    placement: Placing
    device: torch.device | str | None

    def probe(self, model: nn.Module, places: Sequence[AttentionPlace] = (), *, gradients: bool = False) -> Probe:
        """Return the probe of the network, or of another of its kind.

        Args:
            model: the network.
            places: the blocks whose attention is read.
            gradients: whether the score's derivatives by it are, too.
        """
        output, names = self.network.output, list(self.network.classes)
        return Probe(
            model,
            self.layers,
            classes=names,
            placement=self.placement,
            output=output,
            attention=places,
            attention_gradients=gradients,
        )

    @contextmanager
    def open(self, model: nn.Module | None = None) -> Iterator[tuple[Probe, torch.device]]:
        """Probe the network, or another of its kind, in its own preparation of images and on the device."""
        network = self.network if model is None else replace(self.network, model=model)
        with running(network, self.prepared[0], self.device) as where:
            yield self.probe(network.model), where

    def turns(self, where: torch.device, most: int | None = None) -> Iterator[Turn]:
        """Yield the photographs one by one, since their sizes may be unlike; at most so many, evenly spread."""
        numbers = range(len(self.prepared)) if most is None else evenly(len(self.prepared), most)
        for number in numbers:
            batch = Batch.of([self.prepared[number].sample], where)
            classes = self.classes[number]
            targets = [replace(self.target, class_id=one) for one in classes]
            picture = self.prepared[number].photograph.picture
            yield Turn(number, batch, classes, targets, self.masked, picture)


@contextmanager
def running(network: OwnNetwork, first: Prepared, device: torch.device | str | None) -> Iterator[torch.device]:
    """Have a network take photographs as they were prepared, on a device; afterwards it is where and as it was."""
    before = next(network.model.parameters(), torch.empty(0)).device
    where = before
    try:
        if device is not None:
            where = _moved(network.model, device)
        inputs = network.inputs
        if first.sample.image.dtype != np.uint8:  # numbers that the network takes as they are
            inputs = replace(inputs, channels=None, bgr=False)
        with prepare(network.model, inputs, first.sample.channels):
            yield where
    finally:
        if where != before:
            network.model.to(before)


def _moved(model: nn.Module, device: torch.device | str) -> torch.device:
    """Move a network, and return where it is then.

    Raises:
        InputError: there is no such device.
    """
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
        model.to(where)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch without CUDA asserts
        raise InputError(
            f"device {shown(device)} cannot be used ({first_line(error)}): choose another, as cpu"
        ) from error
    return where
