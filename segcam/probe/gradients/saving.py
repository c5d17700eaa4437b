"""Saving less for the backward pass: inputs that no gradient depends on, once the parameters are frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = frozenset(
    {
        *(torch.conv1d, torch.conv2d, torch.conv3d),
        *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
    }
)


class WithoutInputs(TorchFunctionMode):
    """Keeps convolutions, and batch normalisations in eval mode, from saving their inputs.

    Autograd saves them for the weights' gradients; the gradient by the input, `W^T G` or `G gamma / sigma`, depends on
    the weights alone. Where these need no gradient, the backward pass gets a tensor of the right shape in place of the
    input, with nothing in it. Gradients are bit for bit the same. Use it around a forward pass.
    """

    def __torch_function__(
        self, func: Callable[..., Any], _types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function, without its input saved where that is not needed."""
        kwargs = kwargs or {}
        if not _is_linear(func, args, kwargs):
            return func(*args, **kwargs)
        with _without(args[0]):
            return func(*args, **kwargs)


def _is_linear(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a call's output is linear in its first argument, with factors that need no gradient."""
    if func not in CONVOLUTIONS and func is not F.batch_norm:
        return False
    if not args or not isinstance(args[0], Tensor):
        return False
    factors = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, Tensor)]
    training = args[5] if len(args) > 5 else kwargs.get("training", False)
    return not any(factor.requires_grad for factor in factors) and (func is not F.batch_norm or not training)


def _without(dropped: Tensor) -> saved_tensors_hooks:
    """Return hooks that save a tensor's shape alone."""
    # Autograd keeps the hooks as long as the graph: they must not hold the tensor itself.
    place, shape, strides = dropped.data_ptr(), dropped.shape, dropped.stride()
    dtype, device = dropped.dtype, dropped.device

    def pack(saved: Tensor) -> Tensor | None:
        return None if saved.data_ptr() == place and saved.shape == shape else saved

    def unpack(packed: Tensor | None) -> Tensor:
        return torch.empty_strided(shape, strides, dtype=dtype, device=device) if packed is None else packed

    return saved_tensors_hooks(pack, unpack)
