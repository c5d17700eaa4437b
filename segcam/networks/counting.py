"""Counting: how many classes a file of weights was trained for, by the one size in which heads differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from segcam.errors import InputError, shown
from segcam.models.weights.names import plain, without_prefix
from segcam.networks.sources import Request
from segcam.probe.targets.classes import names_of
from segcam.samples import IGNORE

TRIED = 7
"""Classes of the network that a file is compared with: next to no layer has as many channels."""


def built_for(build: Callable[[int], nn.Module], request: Request, default: int) -> nn.Module:
    """Build a network for the classes that were named, else for those that its weights have, else for `default`.

    Args:
        build: `number of classes -> network`.
        request: what the source is asked for.
        default: the number without either.

    Raises:
        InputError: `build` does.
    """
    if request.classes is not None or request.tensors is None:
        return build(request.classes or default)
    tensors = request.tensors()
    with torch.random.fork_rng(devices=[]):
        shapes = _shapes(build)
    return build(classes_of(tensors, shapes, TRIED) or default)


def counted(request: Request, argument: str) -> tuple[Request, dict[str, Any]]:
    """Take the library's own word for the number of classes out of the arguments, where users gave it.

    Raises:
        InputError: it is no such number, or other than that of the classes that were named.
    """
    arguments = dict(request.arguments)
    if argument not in arguments:
        return request, arguments
    count = arguments.pop(argument)
    if type(count) is not int or not 1 <= count <= IGNORE:
        raise InputError(f"argument '{argument}' is {shown(count)}: a whole number from 1 to {IGNORE} is needed")
    if request.classes not in (None, count):
        raise InputError(
            f"argument '{argument}' is {count}, and {request.classes} classes are named: leave '{argument}' out"
        )
    return replace(request, classes=count), arguments


def _shapes(build: Callable[[int], nn.Module]) -> Mapping[str, Tensor]:
    try:
        with torch.device("meta"):  # no weights are made
            return build(TRIED).state_dict()
    except InputError:
        raise
    except Exception:  # a network that cannot be made without data
        return build(TRIED).state_dict()


def classes_of(tensors: Mapping[str, Tensor], network: Mapping[str, Tensor], built: int) -> int | None:
    """Return how many classes tensors were made for; None where that cannot be told.

    Args:
        tensors: of a file, by name.
        network: those of the network, made for `built` classes.
        built: that number.

    >>> tensors = {"body.weight": torch.zeros(4, 3), "head.weight": torch.zeros(21, 4)}
    >>> classes_of(tensors, {"body.weight": torch.zeros(4, 3), "head.weight": torch.zeros(7, 4)}, built=7)
    21
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loading them says what is taken off their names
            found = without_prefix(tensors, network, "given")
    except InputError:
        return None  # loading them says what is wrong
    sizes = set()
    for name, want in network.items():
        have = found.get(plain(name))
        if have is None or have.ndim != want.ndim or not have.ndim or have.shape[1:] != want.shape[1:]:
            continue
        if want.shape[0] == built and have.shape[0] != built:
            sizes.add(int(have.shape[0]))
    return sizes.pop() if len(sizes) == 1 else None


def names_of_classes(model: nn.Module) -> tuple[str, ...] | None:
    """Return the names of the classes, where a network of transformers tells them; None for its own 'LABEL_0', ..."""
    named = {index: name for name, index in names_of(model).items()}
    if sorted(named) != list(range(len(named))) or all(name == f"LABEL_{i}" for i, name in named.items()):
        return None
    return tuple(named[i] for i in range(len(named)))
