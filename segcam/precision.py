"""Arithmetic in float32 at least, whatever precision a network has and whatever autocast surrounds a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import chain
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")

HALF = (torch.float16, torch.bfloat16)
"""The floating-point types of two bytes: three digits, and of the first numbers below 6e-8 are zero."""

_KINDS = tuple(kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind))


@contextmanager
def without_autocast() -> Iterator[None]:
    """Switch a surrounding autocast off within the block."""
    with ExitStack() as stack:
        for kind in _KINDS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of tensors compute as it says under an autocast too, which would round each matrix product."""

    @wraps(function)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        with without_autocast():
            return function(*args, **kwargs)

    return computed


@contextmanager
def widened(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Let a network of half precision compute in float32 within the block; its own weights are back behind it.

    It is the network in float32 with these very weights: what half precision adds is rounding alone, up to a few
    percent of a map, and gradients that vanish. It takes the weights' memory twice more meanwhile. Weights made in
    inference mode cannot be changed: they are left.

    Args:
        tensors: all parameters and buffers of the network, each once.
    """
    halves = [t for t in tensors if t.dtype in HALF and not t.is_inference()]
    kept = [t.data for t in halves]
    try:
        for tensor in halves:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, data in zip(halves, kept, strict=True):
            tensor.data = data


def of_network(model: nn.Module, tensors: Mapping[str, Tensor] | None = None) -> torch.dtype:
    """Return the precision of a network's weights, or of those it runs with in their place: of the first.

    float32 where there are none.
    """
    weights = tensors.values() if tensors else chain(model.parameters(), model.buffers())
    return next((t.dtype for t in weights if t.is_floating_point()), torch.float32)
