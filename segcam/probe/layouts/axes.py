"""Axes: which axis of a tensor holds the channels, followed from operation to operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_aten = torch.ops.aten

_PERMUTING = frozenset({_aten.permute.default, _aten.transpose.int, _aten.t.default})
VIEWING = frozenset({_aten.view.default, _aten._unsafe_view.default, _aten._reshape_alias.default})
_KEEPING = frozenset(
    {
        *(_aten.clone.default, _aten.detach.default, _aten.alias.default, _aten._to_copy.default),
        *(_aten._softmax.default, _aten.native_layer_norm.default, _aten.native_dropout.default),
        *(_aten.constant_pad_nd.default, _aten.reflection_pad2d.default, _aten.replication_pad2d.default),
        *(_aten.slice.Tensor, _aten.roll.default, _aten.flip.default, _aten.index_select.default),
        *(_aten.expand.default, _aten.repeat.default),
    }
)
_SPLITTING = frozenset({_aten.split.Tensor, _aten.split_with_sizes.default, _aten.unsafe_split.Tensor})
_FIRST = frozenset(
    {
        *(
            _aten.convolution.default,
            _aten.native_batch_norm.default,
            _aten._native_batch_norm_legit_no_training.default,
        ),
        *(_aten.native_group_norm.default, _aten.max_pool2d_with_indices.default, _aten.avg_pool2d.default),
        *(_aten._adaptive_avg_pool2d.default, _aten.upsample_nearest2d.default, _aten.upsample_bilinear2d.default),
        *(_aten.upsample_bicubic2d.default, _aten._upsample_bilinear2d_aa.default),
        *(_aten.pixel_shuffle.default, _aten.pixel_unshuffle.default, _aten.grid_sampler_2d.default),
    }
)


class Axes:
    """The axes of the channels of a pass's tensors, as far as they are known.

    Attributes:
        turned: shapes without the batch of tensors whose axes were put in another order: of as many rows or columns
            as channels, their shape does not tell that.
    """

    def __init__(self) -> None:
        self._known: MutableMapping[Tensor, int] = WeakIdKeyDictionary()
        self.turned: set[tuple[int, ...]] = set()

    def of(self, tensor: object) -> int | None:
        """Return the axis of a tensor's channels; None where it is not known."""
        return self._known.get(tensor) if isinstance(tensor, Tensor) else None

    def side(self, tensor: object) -> str:
        """Return 'first' or 'last' for where a tensor's channels lie, after the batch or at the end; or ''."""
        axis = self.of(tensor)
        if axis is None or not isinstance(tensor, Tensor):
            return ""
        return "first" if axis == 1 and tensor.ndim > 2 else "last" if axis == tensor.ndim - 1 else ""

    def put(self, tensor: Tensor, axis: int) -> None:
        """Take note of the axis of a tensor's channels."""
        self._known[tensor] = axis

    def follow(self, operation: Any, args: Sequence[Any], out: Any) -> None:
        """Take note of what an operation does with the axis."""
        several = isinstance(out, (tuple, list))
        for result in out if several and operation in _SPLITTING else out[:1] if several else [out]:
            if not isinstance(result, Tensor) or not result.ndim:
                continue
            axis = self._after(operation, args, result)
            if axis is not None:
                self._known[result] = axis
            elif result in self._known:  # written into
                del self._known[result]

    def _after(self, operation: Any, args: Sequence[Any], result: Tensor) -> int | None:
        if operation in _FIRST:
            return 1
        source = args[0] if args and isinstance(args[0], Tensor) else None
        if operation in _PERMUTING and source is not None:
            order = _order(source.ndim, args[1:])
            if order[1:] != sorted(order[1:]):
                self.turned.add(tuple(result.shape[1:]))
            known = self.of(source)
            return None if known is None else order.index(known)
        if operation in VIEWING and source is not None:
            return _viewed(self.of(source), tuple(source.shape), tuple(result.shape))
        keeps = operation in _KEEPING or operation in _SPLITTING
        if keeps or torch.Tag.pointwise in operation.tags:
            alike = (one for one in _tensors(args) if one.shape == result.shape or (keeps and one.ndim == result.ndim))
            found = {self.of(one) for one in alike}
            found.discard(None)
            return found.pop() if len(found) == 1 else None
        if operation is _aten.cat.default:
            found = {self.of(one) for one in _tensors(args)}
            return found.pop() if len(found) == 1 else None
        return None


def _order(ndim: int, given: Sequence[Any]) -> list[int]:
    """Return which axis of the source each axis of the result is."""
    order = list(range(ndim))
    if not given:
        return order[::-1]  # `t`, of a matrix
    if isinstance(given[0], (tuple, list)):
        return [axis % ndim for axis in given[0]]
    a, b = given[0] % ndim, given[1] % ndim
    order[a], order[b] = order[b], order[a]
    return order


def _viewed(axis: int | None, before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """Return where an axis lies in another shape of the same numbers; None where it was cut or joined."""
    if axis is None or before == after:
        return axis
    if before[: axis + 1] == after[: axis + 1]:
        return axis
    behind = len(before) - axis
    return len(after) - behind if before[axis:] == after[-behind:] else None


def _tensors(args: Iterable[Any]) -> Iterator[Tensor]:
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, (tuple, list)):
            yield from _tensors(arg)
