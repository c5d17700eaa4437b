"""Cells: which row and column of a grid each number of a tensor belongs to, followed through what moves numbers."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from segcam.probe.layouts.axes import VIEWING

_aten = torch.ops.aten

_MOVING = frozenset(
    {
        *(_aten.permute.default, _aten.transpose.int, _aten.roll.default, _aten.flip.default, _aten.slice.Tensor),
        *(_aten.unsqueeze.default, _aten.squeeze.dim, _aten.squeeze.dims, _aten.select.int),
        *(_aten.index.Tensor, _aten.index_select.default, _aten.gather.default),
    }
)
_KEEPING = frozenset(
    {
        *(_aten.clone.default, _aten.detach.default, _aten.alias.default, _aten._to_copy.default),
        *(_aten.native_layer_norm.default, _aten.native_batch_norm.default, _aten.native_group_norm.default),
    }
)
_ROW = 1 << 15
"""A cell's number is its row times this, and its column."""


class Cells:
    """The cells of a pass's tensors, as far as they are known: tensors of the same shape, with a number a cell."""

    def __init__(self) -> None:
        self._known: MutableMapping[Tensor, Tensor] = WeakIdKeyDictionary()

    def of(self, tensor: object) -> Tensor | None:
        """Return the numbers of the cells; None where they are not known."""
        return self._known.get(tensor) if isinstance(tensor, Tensor) else None

    def lie_on_grid(self, maps: Tensor, source: object) -> None:
        """Take note of feature maps `(b, c, h, w)` that were made of others, unless those lie in another order."""
        before = self.of(source)
        if before is not None and (before.ndim != 4 or not in_rows(before[0, 0])):
            return
        rows, columns = (torch.arange(side, dtype=torch.int32, device=maps.device) for side in maps.shape[2:])
        self._known[maps] = (rows[:, None] * _ROW + columns).expand(maps.shape)

    def projected(self, tokens: Tensor, source: object) -> None:
        """Take note of a linear layer's output."""
        before = self.of(source)
        if before is not None and bool((before == before[..., :1]).all()):
            self._known[tokens] = before[..., :1].expand(tokens.shape)

    def follow(self, operation: Any, args: Sequence[Any], out: Any) -> None:
        """Take note of where an operation puts the cells."""
        result = out[0] if isinstance(out, (tuple, list)) and out else out
        if not isinstance(result, Tensor) or not args:
            return
        cells = self._after(operation, args, result)
        if cells is not None and cells.shape == result.shape:
            self._known[result] = cells
        elif result in self._known:
            del self._known[result]

    def _after(self, operation: Any, args: Sequence[Any], result: Tensor) -> Tensor | None:
        source = self.of(args[0])
        if operation in VIEWING:
            return None if source is None else source.reshape(result.shape)
        if operation in _MOVING:
            return None if source is None else operation(source, *args[1:])
        if operation in _KEEPING:
            return source
        if torch.Tag.pointwise in operation.tags:
            same = [self.of(arg) for arg in args if isinstance(arg, Tensor) and arg.shape == result.shape]
            found = [one for one in same if one is not None]
            return found[0] if found and all(torch.equal(found[0], one) for one in found[1:]) else None
        return None


def in_rows(cells: Int[Tensor, "h w"]) -> bool:
    """Tell whether cells lie row by row: neither the row changes within one, nor the column within a column.

    >>> in_rows(torch.tensor([[0, 1], [_ROW, _ROW + 1]])), in_rows(torch.tensor([[0, _ROW], [1, _ROW + 1]]))
    (True, False)
    """
    rows, columns = cells // _ROW, cells % _ROW
    straight = bool((rows == rows[:, :1]).all() and (columns == columns[:1]).all())
    return straight and bool((rows.diff(dim=0) >= 0).all() and (columns.diff(dim=1) >= 0).all())
