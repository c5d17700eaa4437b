"""What may be wrong with tensors that were read: their names, number formats and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from segcam.errors import InputError

GREATEST = 1e8
"""No weight of a network that answers anything is greater: sums of products would overflow."""


def not_finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds NaN or infinity."""
    if not tensor.is_floating_point():
        return False
    if tensor.dtype.itemsize == 1:  # formats of 8 bits have few operators
        tensor = tensor.float()
    return not bool(torch.isfinite(tensor).all())


def renamed(tensors: Mapping[str, Tensor], rename: Callable[[str], str], source: str) -> dict[str, Tensor]:
    """Return tensors under other names.

    Raises:
        InputError: two of them would have the same.
    """
    names: dict[str, str] = {}
    for name in tensors:
        if (other := names.setdefault(rename(name), name)) != name:
            raise InputError(f"{source} holds '{other}' and '{name}', which name the same tensor: leave one out")
    return {new: tensors[old] for new, old in names.items()}


def wrong_values(have: Tensor, want: Tensor) -> str:
    """Say why a tensor that was read cannot take the place of a network's; '' where it can.

    Args:
        have: what was read, of the same shape.
        want: the network's own.
    """
    kind = str(have.dtype).removeprefix("torch.")
    if have.is_floating_point() != want.is_floating_point() or have.is_complex() or have.dtype == torch.bool:
        return f"is of {kind} where {str(want.dtype).removeprefix('torch.')} is needed"
    if not have.is_floating_point() or not have.numel():
        return ""
    values = have.to(want.dtype)
    if not_finite(values):
        return "holds NaN or infinity" if not_finite(have) else f"holds values too great for {want.dtype}"
    if (greatest := float(values.abs().max())) > GREATEST:
        return f"holds a value of {greatest:.1e}, and no sensible weight is above {GREATEST:.0e}"
    return ""
