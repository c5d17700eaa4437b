"""Places: which axes of a tensor run over rows and columns of the image, and which over queries that lie nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tag, Tensor, ops
from torch.utils.weak import WeakIdKeyDictionary

from segcam.probe.layouts.axes import VIEWING
from segcam.scoring.grids import Grid

_aten = ops.aten

Factor = tuple[int, str]
Axis = tuple[Factor, ...]
"""What an axis runs over, the outer first: `((8, "row"), (6, "column"))` for tokens of 8 x 6 cells, row by row.

Labels are 'row', 'column', 'constant' for what is of no place, as queries that are learnt, and '?'.
"""

_KEEPING = frozenset(
    {
        *(_aten.clone.default, _aten.detach.default, _aten.alias.default, _aten._to_copy.default),
        *(_aten._softmax.default, _aten.native_layer_norm.default, _aten.native_dropout.default),
        *(_aten._safe_softmax.default, _aten.native_batch_norm.default, _aten.native_group_norm.default),
    }
)
_RAW = _KEEPING | VIEWING | {_aten.expand.default, _aten.unsqueeze.default, _aten.permute.default, _aten.t.default}
_GRIDS = ("convolution", "upsample", "_upsample", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d")


@dataclass(slots=True)
class _Memory:
    """The numbers of a constant, which it shares with its views; and whether the images were written into them."""

    written: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a tensor: its axes; of a constant its memory too, and whether the network holds it as it is."""

    axes: tuple[Axis, ...]
    memory: _Memory | None = None
    raw: bool = False

    @property
    def constant(self) -> bool:
        """Whether it does not depend on the images."""
        return self.memory is not None and not self.memory.written


class Places:
    """What the axes of a pass's tensors run over, as far as that is known."""

    def __init__(self) -> None:
        self._tensors: MutableMapping[Tensor, _Known] = WeakIdKeyDictionary()

    def lies_nowhere(self, tensor: Tensor, *, raw: bool = True) -> None:
        """Take note of a tensor that does not depend on the images: a weight (`raw`), or another input."""
        self._tensors[tensor] = _constant(tensor, raw, _Memory())

    def of(self, tensor: object) -> tuple[Axis, ...] | None:
        """Return what the axes of a tensor run over; None where it is not known."""
        known = self._known(tensor) if isinstance(tensor, Tensor) else None
        return None if known is None else known.axes

    def grid(self, tensor: Tensor, axis: int) -> Grid | None:
        """Return rows and columns of the cells that an axis runs over, row by row; None where it does not."""
        axes = self.of(tensor)
        if axes is None or not merged(axes[axis]):
            return None
        return _side(axes[axis], "row"), _side(axes[axis], "column")

    def follow(self, operation: Any, args: Sequence[Any], out: Any) -> None:
        """Take note of what an operation's results run over."""
        tensors = list(_tensors(args))
        known = [self._known(one) for one in tensors]
        constant = operation is _aten.lift_fresh.default or all(one is not None and one.constant for one in known)
        raw = constant and operation in _RAW and all(one is not None and one.raw for one in known)
        for n, result in enumerate(_tensors([out])):
            if constant:
                self._tensors[result] = _constant(result, raw, self._memory(result, tensors))
                continue
            axes = self._after(operation, args, result) if n == 0 or operation in _PARTING else None
            before = self._tensors.pop(result, None)
            if before is not None and before.memory is not None:
                before.memory.written = True
            if axes is not None and _fits(axes, result):
                self._tensors[result] = _Known(axes)

    def _memory(self, result: Tensor, sources: Iterable[Tensor]) -> _Memory:
        """Return the memory of a constant: that of what it is a view of, or one of its own."""
        for source in sources:
            known = self._tensors.get(source)
            if known is not None and known.memory is not None and _storage(source) == _storage(result):
                return known.memory
        return _Memory()

    def _known(self, tensor: Tensor) -> _Known | None:
        """Return what is known of a tensor; nothing of a constant that the images were written into."""
        known = self._tensors.get(tensor)
        return None if known is None or (known.memory is not None and known.memory.written) else known

    def _after(self, operation: Any, args: Sequence[Any], result: Tensor) -> tuple[Axis, ...] | None:  # noqa: PLR0911
        name = operation.name().removeprefix("aten::")
        if result.ndim == 4 and name.startswith(_GRIDS):
            sides = ((result.shape[2], "row"), (result.shape[3], "column"))
            return (*_open(result.shape[:2]), *((side,) if side[0] > 1 else () for side in sides))
        if name == "cat":
            return self._joined(args[0], args[1] % result.ndim if len(args) > 1 else 0, result)
        source = self.of(args[0]) if args else None
        if operation in _KEEPING:
            return source
        if operation in VIEWING:
            return None if source is None else _viewed(source, result.shape)
        if Tag.pointwise in operation.tags or name.startswith("where"):
            return self._broadcast([one for one in _tensors(args) if one.ndim], result)
        if name.startswith("_scaled_dot_product"):
            values = self.of(args[2])
            return None if source is None or values is None else (*source[:-1], values[-1])
        if name in _PRODUCTS:
            return self._product(*args[_PRODUCTS[name] : _PRODUCTS[name] + 2])
        if name == "grid_sampler_2d":
            grid = self.of(args[1])
            return None if grid is None else (*_open(result.shape[:2]), grid[1], grid[2])
        return None if source is None else _moved(name, source, args, result)

    def _broadcast(self, sources: Iterable[Tensor], result: Tensor) -> tuple[Axis, ...] | None:
        """Return the axes of numbers made of several tensors' at the same places."""
        choices: list[list[Axis]] = [[] for _ in result.shape]
        for source in sources:
            axes = self.of(source) or _open(source.shape)
            for n in range(1, min(source.ndim, result.ndim) + 1):
                if source.shape[-n] == result.shape[-n]:
                    choices[-n].append(axes[-n])
        return tuple(_agreed(found, size) for found, size in zip(choices, result.shape, strict=True))

    def _product(self, first: Tensor, second: Tensor) -> tuple[Axis, ...]:
        """Return the axes of a product of matrices.

        An axis of a weight is unknown: where tokens are mixed, a linear layer gives the image's own again.
        """
        axes = []
        for matrix, axis in ((first, -2), (second, -1)):
            known = self._known(matrix)
            weight = known is not None and known.constant and (known.raw or matrix.ndim == 2)
            axes.append(_open([matrix.shape[axis]])[0] if known is None or weight else known.axes[axis])
        batch = (self.of(first) or self.of(second) or _open(first.shape))[:1] if first.ndim == 3 else ()
        return (*batch, *axes)

    def _joined(self, pieces: Sequence[Tensor], dim: int, result: Tensor) -> tuple[Axis, ...]:
        pieces = [piece for piece in pieces if piece.ndim == result.ndim]
        found = [self.of(piece) or _open(piece.shape) for piece in pieces]
        axes = [_agreed([one[n] for one in found], size) for n, size in enumerate(result.shape)]
        label = "constant" if all(map(nowhere, filter(None, (one[dim] for one in found)))) else "?"  # () is of one
        axes[dim] = ((result.shape[dim], label),) if result.shape[dim] > 1 else ()
        return tuple(axes)


def merged(axis: Axis) -> bool:
    """Tell whether one axis runs over rows and columns of a grid, row by row.

    >>> merged(((8, "row"), (6, "column"))), merged(((8, "row"),))
    (True, False)
    """
    return [label for _, label in axis] == ["row", "column"]


def nowhere(axis: Axis) -> bool:
    """Tell whether an axis is known to run over what lies nowhere on the image.

    >>> nowhere(((16, "constant"),)), nowhere(((16, "?"),)), nowhere(())
    (True, False, False)
    """
    return bool(axis) and all(label == "constant" for _, label in axis)


_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}
"""Products of matrices, and the place of the first among their arguments."""

_PARTING = frozenset({_aten.split.Tensor, _aten.split_with_sizes.default, _aten.unbind.int})


def _constant(tensor: Tensor, raw: bool, memory: _Memory) -> _Known:
    return _Known(tuple(((size, "constant"),) if size > 1 else () for size in tensor.shape), memory, raw)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _open(sizes: Iterable[int]) -> tuple[Axis, ...]:
    return tuple(((size, "?"),) if size > 1 else () for size in sizes)


def _side(axis: Axis, label: str) -> int:
    return math.prod(size for size, one in axis if one == label)


def _fits(axes: tuple[Axis, ...], result: Tensor) -> bool:
    return [math.prod(size for size, _ in axis) for axis in axes] == list(result.shape)


def _agreed(found: Sequence[Axis], size: int) -> Axis:
    """Return what an axis runs over of which several tensors tell: a place where one does, no place where all do."""
    placed = {axis for axis in found if axis and any(label in ("row", "column") for _, label in axis)}
    if len(placed) == 1:
        return placed.pop()
    return found[0] if found and not placed and all(map(nowhere, found)) else _open([size])[0]


def _viewed(axes: tuple[Axis, ...], shape: Sequence[int]) -> tuple[Axis, ...] | None:
    """Return the axes of the same numbers in another shape; what a part of a side is, is not known."""
    left = [factor for axis in axes for factor in axis][::-1]
    result: list[Axis] = []
    for size in shape:
        axis: list[Factor] = []
        wanted = size
        while wanted > 1:
            if not left:
                return None
            length, label = left.pop()
            if wanted % length == 0:
                axis.append((length, label))
                wanted //= length
            elif length % wanted == 0:
                part = label if label == "constant" else "?"
                axis.append((wanted, part))
                left.append((length // wanted, part))
                wanted = 1
            else:
                return None
        result.append(tuple(axis))
    return tuple(result)


def _moved(name: str, axes: tuple[Axis, ...], args: Sequence[Any], result: Tensor) -> tuple[Axis, ...] | None:
    """Return the axes behind an operation that moves, leaves out or repeats numbers of one tensor."""
    at = list(axes)
    dim = args[1] % len(at) if len(args) > 1 and isinstance(args[1], int) and at else 0
    found: list[Axis] | None = None
    if name == "permute":
        found = [at[n] for n in args[1]]
    elif name in ("transpose.int", "t"):
        found, other = list(at), args[2] % len(at) if name != "t" else len(at) - 1
        found[dim], found[other] = at[other], at[dim]
    elif name == "unsqueeze":
        dim = args[1] % (len(at) + 1)
        found = [*at[:dim], (), *at[dim:]]
    elif name in ("select.int", "unbind.int", "squeeze.dim"):
        found = at[:dim] + at[dim + 1 :] if result.ndim < len(at) else at
    elif name in ("sum.dim_IntList", "mean.dim", "amax", "squeeze.dims"):
        gone = {n % len(at) for n in args[1]} if args[1] else set(range(len(at)))
        kept = [() if n in gone else axis for n, axis in enumerate(at)]
        found = kept if result.ndim == len(at) else [axis for n, axis in enumerate(kept) if n not in gone]
    elif name in _RESIZING and result.ndim == len(at):
        found = [_resized(axis, size) for axis, size in zip(at, result.shape, strict=True)]
    return None if found is None else tuple(found)


_RESIZING = frozenset(
    "slice.Tensor index_select expand roll flip constant_pad_nd split.Tensor split_with_sizes".split()  # noqa: SIM905
)


def _resized(axis: Axis, size: int) -> Axis:
    if math.prod(length for length, _ in axis) == size:
        return axis
    single = axis[0][1] if len(axis) == 1 else "?"
    return ((size, single),) if size > 1 else ()


def _tensors(args: Iterable[Any]) -> Iterable[Tensor]:
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, (tuple, list)):
            yield from _tensors(arg)
