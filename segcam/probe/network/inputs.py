"""What a network takes: the images, and what else it asks for by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from segcam.arrays import Numbers, tensor
from segcam.errors import ProbeError

Inputs = Mapping[str, Any]
"""What a network takes beside the images, by the name of the argument."""


def as_images(images: Numbers) -> Float[Tensor, "b ch h w"]:
    """Return a network's input as a tensor.

    Raises:
        ProbeError: it is none: no floating-point numbers, which bytes are not until they are prepared, no stack of
            images, or an empty one.
    """
    given = getattr(images, "dtype", type(images).__name__)
    stack = tensor(images, "images") if isinstance(images, (Tensor, np.ndarray)) else None
    if stack is None or not stack.is_floating_point():
        raise ProbeError(f"images are {given}: pass a float tensor, prepared as the network takes it (Batch.inputs())")
    if stack.ndim != 4 or 0 in stack.shape:
        cures = {3: "; give one image as images[None]", 5: "; give a volume to a 2-D network as a batch of its slices"}
        one = cures.get(stack.ndim, "")
        raise ProbeError(
            f"images are {tuple(stack.shape)}: (images, channels, rows, columns), none empty, are needed{one}"
        )
    return stack


def checked_images(model: nn.Module, images: object) -> Tensor:
    """Return `as_images`, and tell those who pass several inputs how to.

    Raises:
        ProbeError: they are no images.
    """
    several = isinstance(images, (tuple, list)) and any(isinstance(one, Tensor) for one in images)
    if several or isinstance(images, Mapping):
        others = ", ".join(f"'{name}': ..." for name in _names(model)[1:]) or "'name': ..."
        raise ProbeError(
            f"images are a {type(images).__name__}: pass one tensor as images, and what the network takes beside it by "
            f"the names of its forward: probe(images, target, inputs={{{others}}})"
        )
    return as_images(images)  # type: ignore[arg-type]


def arguments(model: nn.Module, images: Tensor, inputs: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    """Return the arguments of the network's forward: the images are the first that `inputs` does not name.

    Raises:
        ProbeError: forward has no such argument, or needs another.
    """
    kinds = inspect.Parameter
    parameters = _parameters(model)
    named = [p for p in parameters if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    takes_any = {p.kind for p in parameters if p not in named}
    unknown = [name for name in inputs if name not in {p.name for p in named}]
    if unknown and kinds.VAR_KEYWORD not in takes_any:
        raise ProbeError(
            f"the network takes no input '{unknown[0]}': its forward has {', '.join(p.name for p in named) or 'none'}"
        )
    free = [p for p in named if p.name not in inputs]
    needed = [p.name for p in free[1:] if p.default is kinds.empty]
    if needed:
        more = ", ".join(f"'{name}': ..." for name in needed)
        raise ProbeError(
            f"the network takes {', '.join(map(repr, needed))} beside the images: give it by name, "
            f"probe(images, target, inputs={{{more}}})"
        )
    second = bool(free) and free[0] is not named[0] and free[0].default is not kinds.empty
    if named and (not free or (second and named[0].default is kinds.empty)):
        raise ProbeError(
            f"inputs name {', '.join(repr(p.name) for p in named if p.name in inputs)}, which leaves no argument for "
            f"the images: leave out the one that takes them, '{named[0].name}' for most"
        )
    by_name = bool(free) and free[0].kind is kinds.KEYWORD_ONLY
    if not by_name and (not free or free[0] is named[0] or kinds.VAR_POSITIONAL in takes_any):
        return (images,), dict(inputs)
    return (), {**inputs, free[0].name: images}


def pads_images(model: nn.Module) -> bool:
    """Return whether a hook on the network has padded the last images, see `segcam.networks.prepare`."""
    return any(getattr(hook, "padded", False) for hook in model._forward_pre_hooks.values())


def _parameters(model: nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def _names(model: nn.Module) -> list[str]:
    kinds = inspect.Parameter
    return [p.name for p in _parameters(model) if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]


def checked_inputs(inputs: object) -> Inputs:
    """Return what was given beside the images, or nothing.

    Raises:
        ProbeError: it is no mapping of names.
    """
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
        raise ProbeError(
            f"inputs are a {type(inputs).__name__}: a mapping from names of the network's arguments to values is needed"
        )
    return {
        name: tensor(value, f"inputs['{name}']") if isinstance(value, np.ndarray) else value
        for name, value in inputs.items()
    }


def rows_of(inputs: Inputs, rows: slice | Sequence[int], batch: int, *, vectors: bool = True) -> dict[str, Any]:
    """Return the inputs of some images: rows of tensors that have one for each image of the batch, others as they are.

    Lists, tuples and mappings of tensors are looked into. Without `vectors` those of one axis stay as they are: they
    may hold a number for each channel.

    >>> import torch
    >>> rows_of({"depth": torch.zeros(4, 1, 8, 8), "scale": 2}, slice(0, 3), 4)["depth"].shape
    torch.Size([3, 1, 8, 8])
    """

    def some(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[rows] if value.ndim > (not vectors) and len(value) == batch else value
        return mapped(value, some)

    return {name: some(value) for name, value in inputs.items()}


def vectors_of(inputs: Inputs, batch: int) -> list[str]:
    """Return the names of inputs with a tensor of one axis that is as long as the batch: for its images, or not.

    >>> import torch
    >>> vectors_of({"weight": torch.ones(4), "scale": [torch.ones(3), torch.ones(4)], "depth": torch.ones(4, 1)}, 4)
    ['weight', 'scale']
    """

    def holds(value: Any) -> bool:
        if isinstance(value, Tensor):
            return value.ndim == 1 and len(value) == batch
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
        return any(holds(one) for one in inner)

    return [name for name, value in inputs.items() if holds(value)]


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a list, tuple or dict with its items changed; anything else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(change(one) for one in value)
    if type(value) in (list, tuple):
        return type(value)(change(one) for one in value)
    return {key: change(one) for key, one in value.items()} if type(value) is dict else value
