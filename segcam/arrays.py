"""What callers hand in as tensors, arrays or lists, as the tensors that formulas need: of a known kind, or refused."""

from __future__ import annotations

import operator
from typing import SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.errors import InputError, first_line, shown

Numbers: TypeAlias = Tensor | npt.NDArray[np.generic] | list[object] | tuple[object, ...]
"""Numbers of any kind: a tensor of any dtype on any device, what numpy reads as an array, or nested lists."""


def at_hand(values: Tensor) -> bool:
    """Tell whether asking for values takes no waiting: a GPU is first done with all that was begun."""
    return values.is_cpu


def at_least_float32(values: Tensor) -> Tensor:
    """Return the values in float32, or as they are in float64."""
    return values if values.dtype == torch.float64 else values.float()


def real(values: Numbers, what: str) -> Float[Tensor, ...]:
    """Return numbers as a floating-point tensor: float64 as it is, all else in float32, which half precision is not.

    A tensor of the right kind is returned itself.

    >>> real(np.array([1, 2], np.uint8), "maps")
    tensor([1., 2.])

    Args:
        values: the numbers.
        what: what messages call them, in the plural.

    Raises:
        InputError: they are no numbers, or complex ones.
    """
    return at_least_float32(tensor(values, what))


def integers(values: Numbers, what: str) -> Int[Tensor, ...]:
    """Return whole numbers as int64; of floating-point numbers those are taken that are whole.

    Raises:
        InputError: they are no numbers, or one is not whole; the message names it.
    """
    numbers = tensor(values, what)
    if numbers.is_floating_point():
        broken = (numbers != numbers.round()) | numbers.isinf()  # NaN as well
        if bool(broken.any()):
            raise InputError(f"{what} hold {numbers[broken][0].item()}: whole numbers are needed")
    return numbers.long()


def booleans(values: Numbers, what: str) -> Bool[Tensor, ...]:
    """Return booleans, or numbers that are all 0 or 1, as a boolean tensor.

    Raises:
        InputError: there is another number; the message names it.
    """
    numbers = tensor(values, what)
    if numbers.dtype == torch.bool:
        return numbers
    other = (numbers != 0) & (numbers != 1)
    if bool(other.any()):
        raise InputError(
            f"{what} hold {numbers[other][0].item()}: True and False, or 1 and 0, are needed, such as mask == 1"
        )
    return numbers != 0


def whole(value: object, what: str) -> int:
    """Return a whole number as Python's own: an int, numpy's, or a tensor of one.

    >>> whole(np.uint8(3), "the class"), whole(torch.tensor(2), "the class")
    (3, 2)

    Raises:
        InputError: it is something else, a boolean among them.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy() if value.numel() == 1 and not value.is_floating_point() else value
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 and value.dtype.kind in "iu":
        return int(value.item())
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or isinstance(value, (Tensor, np.ndarray)):
        raise InputError(f"{what} is {shown(value)}: a whole number is needed")
    return operator.index(value)


def tensor(values: Numbers, what: str) -> Tensor:
    """Return numbers as a tensor; one that is given as such is returned itself.

    Raises:
        InputError: they are no numbers that a tensor of a real kind can hold.
    """
    if isinstance(values, (list, tuple)) and values and all(isinstance(value, Tensor) for value in values):
        shapes = {tuple(value.shape) for value in values}  # type: ignore[attr-defined]
        if len(shapes) > 1:
            raise InputError(f"{what} are a list of tensors of {sorted(shapes)}: they must have one shape")
        values = torch.stack(list(values))  # type: ignore[arg-type]
    if not isinstance(values, Tensor):
        return _from_array(values, what)
    if values.is_complex():
        raise InputError(f"{what} are complex ({values.dtype}): real numbers are needed, such as their absolute values")
    if values.layout != torch.strided or values.is_quantized:
        values = values.dequantize() if values.is_quantized else values.to_dense()
    return values


def _from_array(values: object, what: str) -> Tensor:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"{what} are a masked array: say what stands in the masked places, with .filled(numpy.nan)")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{what} are no array of numbers: {first_line(error)}") from error
    if array.dtype.kind not in "biuf":
        given = f"complex ({array.dtype})" if array.dtype.kind == "c" else shown(values)
        raise InputError(f"{what} are {given}: a tensor or an array of real numbers is needed")
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    # In this machine's order of bytes, and a copy of what may not be written to or is read backwards: torch's limits.
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
