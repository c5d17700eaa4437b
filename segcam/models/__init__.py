"""Networks: one file an architecture; `MODELS` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from segcam.errors import InputError, unknown
from segcam.layers import Layer, Point
from segcam.registry import Registry

Value: TypeAlias = str | int | float | bool
Parameters: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network plugin.

    Attributes:
        name: the name users ask for.
        label: the name in figures.
        summary: one line about it.
        source: the paper.
        defaults: its parameters with their defaults; no others are accepted.
        build: `(number of classes, parameters) -> network` with random weights.
        layers: `(network, point) -> its layers` in the order of execution.
    """

    name: str
    label: str
    summary: str
    source: str
    defaults: Parameters
    build: Callable[[int, Parameters], nn.Module]
    layers: Callable[[nn.Module, Point], list[Layer]]


MODELS: Registry[Architecture] = Registry("model", "segcam.models")


def create(name: str, classes: int, parameters: Parameters | None = None, seed: int = 0) -> nn.Module:
    """Build a network with random weights that depend on the seed alone; the global random state is left as it was.

    Args:
        name: an architecture of the registry.
        classes: number of classes, the background included.
        parameters: what differs from the architecture's defaults.
        seed: seed of the weights.

    Raises:
        InputError: an unknown architecture or parameter, or a value of another type than the default's.
    """
    chosen = complete(name, parameters or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS.get(name).build(classes, chosen)


def complete(name: str, parameters: Parameters) -> dict[str, Value]:
    """Return an architecture's parameters, its defaults where `parameters` says nothing.

    Raises:
        InputError: an unknown architecture or parameter, or a value of another type than the default's.
    """
    chosen = dict(MODELS.get(name).defaults)
    for key, value in parameters.items():
        if key not in chosen:
            raise unknown(f"parameter of model '{name}'", key, chosen)
        wanted = type(chosen[key])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise InputError(f"parameter '{key}' of model '{name}' is {value!r}: it must be of type {wanted.__name__}")
        chosen[key] = value
    return chosen
