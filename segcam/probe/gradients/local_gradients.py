"""Backward passes that leave out the zeros.

The gradient of one pixel's score is zero outside what that pixel sees: a few cells wide in a decoder. An ordinary
backward pass computes with all the zeros. Here the window outside which a gradient is zero, one an image, is followed
from operation to operation, and convolutions, normalisations and activations are computed on the window alone, until
it fills more than a quarter of the image. The gradients are the same up to rounding.

`grad` stands in for `torch.autograd.grad`; `pays` says where it is worth it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from segcam.probe.gradients.windows import Windows, nonzero
from segcam.probe.network.dispatch import PlainDispatchMode
from segcam.probe.targets import Explained

FEW = 1 / 16
"""The largest share of an image's pixels in a set whose gradients are worth following."""


def convolves(modules: Iterable[nn.Module]) -> bool:
    """Return whether these modules are mostly convolutions, so that a pixel's gradient has zeros to leave out.

    Attention hands a gradient to every position: windows are full at once, and looking for them costs a twentieth.
    """
    once = set(modules)
    linear = sum(isinstance(module, nn.Linear) for module in once)
    return sum(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in once) > linear


def pays(explained: Explained) -> bool:
    """Return whether pixel sets are small enough to leave zeros, on a processor; a GPU was not measured."""
    pixels = explained.chosen
    return pixels.is_cpu and len(pixels) > 0 and int(explained.pixels.max()) <= FEW * pixels[0].numel()


def grad(score: Float[Tensor, ""], inputs: Sequence[Tensor], retain_graph: bool) -> list[Tensor | None]:
    """Return the gradients of a score by tensors of its graph; None where one does not lead to the score.

    Parameters in the graph must not want gradients.
    """
    with LocalGradients() as mode:
        gradients = torch.autograd.grad(score, list(inputs), retain_graph=retain_graph, allow_unused=True)
    return [None if gradient is None else mode.dense(gradient) for gradient in gradients]


@dataclass(slots=True)
class Local:
    """A gradient of which the values in its windows are there.

    Attributes:
        windows: outside these it is zero.
        values: what is in them.
        layout: the memory format of the dense gradient.
        root: the gradient that this one is a view of, where it is one, and the view.
        dense: the gradient with its zeros, once something asked for it; it may have been written to since.
    """

    windows: Windows
    values: Tensor
    layout: torch.memory_format
    root: tuple[Tensor, Callable[[Tensor], Tensor]] | None = None
    dense: Tensor | None = None


class LocalGradients(PlainDispatchMode):
    """A context for backward passes.

    Gradients with small windows go from rule to rule as their windows' values; the tensors that autograd hands on only
    stand for them, and hold NaN in a single cell. Whatever has no rule gets dense gradients. The first convolution's
    gradient is searched for its windows; behind an operation without a rule the next one's is again, until one is full.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._locals: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._ids: set[int] = set()  # of all that ever were in it: most tensors never were, and a look here is quick
        self._search = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation by its rule, or as it is on dense gradients."""
        rule = _RULES.get(func)
        out = NotImplemented if rule is None else rule(self, func, args, kwargs or {})
        if out is not NotImplemented:
            return out
        named = {name: self._dense(value) for name, value in (kwargs or {}).items()}
        return func(*(self._dense(value) for value in args), **named)

    def _dense(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.dense(value)
        return [self._dense(v) for v in value] if isinstance(value, (list, tuple)) else value

    def dense(self, gradient: Tensor) -> Tensor:
        """Return the gradient itself where the tensor only stands for it."""
        local = self._known(gradient)
        if local is None:
            return gradient
        if local.dense is None and local.root is not None:
            root, view = local.root
            local.dense = view(self.dense(root))
        elif local.dense is None:
            local.dense = local.windows.lay(local.values, gradient.shape, local.layout)
        return local.dense

    def local(self, gradient: object) -> Local | None:
        """Return the windows of a gradient; nothing once its dense form, or its root's, may have been written to."""
        local = self._known(gradient) if isinstance(gradient, Tensor) else None
        root = local if local is None or local.root is None else self._locals[local.root[0]]
        return local if root is not None and root.dense is None else None

    def _known(self, gradient: Tensor) -> Local | None:
        return self._locals.get(gradient) if id(gradient) in self._ids else None  # type: ignore[no-untyped-call]

    def searched(self, gradient: Tensor) -> Local | None:
        """Return the windows of a convolution's gradient, which is looked at where nothing is known."""
        local = self.local(gradient)
        if local is not None or not self._search:
            return local
        gradient = self.dense(gradient)
        windows = nonzero(gradient)
        return Local(windows, windows.cut(gradient), _layout(gradient)) if self.worth(windows, gradient.shape) else None

    def worth(self, windows: Windows, shape: Sequence[int]) -> bool:
        """Return whether windows are small; where they are not, they grow from there on and are not searched for."""
        small = windows.small_in(shape)
        self._search &= small
        return small

    def stand_in(self, local: Local, shape: Sequence[int]) -> Tensor:
        """Return a tensor that stands for a gradient of the shape."""
        tensor = torch.full((), torch.nan, dtype=local.values.dtype, device=local.values.device).expand(tuple(shape))
        self._locals[tensor] = local
        self._ids.add(id(tensor))
        return tensor


def _layout(stack: Tensor) -> torch.memory_format:
    last = stack.ndim == 4 and stack.is_contiguous(memory_format=torch.channels_last) and not stack.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _convolution(mode: LocalGradients, _func: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """Convolve the windows the other way round; what reaches beyond an edge came from the padding."""
    gradient, stack, weight, _, stride, padding, dilation, transposed, more, groups, output_mask = args
    if gradient.ndim != 4 or list(output_mask) != [True, False, False]:
        return NotImplemented
    kernel, sides = weight.shape[2:], stack.shape[2:]
    if transposed and (any(padding) or any(more) or any(d != 1 for d in dilation) or list(stride) != list(kernel)):
        return NotImplemented  # upsampling with kernels that overlap
    local = mode.searched(gradient)
    if local is None:
        return NotImplemented
    windows = local.windows
    if transposed:
        rows = windows.rows.upsampled_from(stride[0], sides[0])
        columns = windows.columns.upsampled_from(stride[1], sides[1])
        source = Windows(rows.times(stride[0]), columns.times(stride[1]))
        tops: Sequence[int] = rows.starts
        lefts: Sequence[int] = columns.starts
    else:
        first, second = zip(*(tuple(v) for v in (kernel, stride, padding, dilation)), strict=True)
        tops, rows = windows.rows.read_by(sides[0], *first)
        lefts, columns = windows.columns.read_by(sides[1], *second)
        source = windows
    if not mode.worth(source, gradient.shape):
        return NotImplemented
    values = source.see(local.values, windows.rows.starts, windows.columns.starts)
    values = _convolve(values, weight, None, stride, [0, 0], dilation, not transposed, [0, 0], groups)
    around = Windows(rows, columns)
    return mode.stand_in(Local(around, around.see(values, tops, lefts), _layout(stack)), stack.shape), None, None


def _norm(mode: LocalGradients, _func: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """Scale by weight over standard deviation: all that a batch normalisation in eval mode does to a gradient."""
    gradient, _, weight, _, variance, _, _, training, eps, output_mask = args
    local = mode.local(gradient)
    if training or list(output_mask) != [True, False, False]:
        return NotImplemented
    if local is None and gradient.dtype not in (torch.float32, torch.float64):  # the product has another type
        return NotImplemented
    scale = torch.rsqrt(variance + eps) if weight is None else torch.rsqrt(variance + eps) * weight
    scale = scale.view(1, -1, *[1] * (gradient.ndim - 2))
    if local is None:
        return mode.dense(gradient) * scale, None, None
    values = (local.values * scale).to(gradient.dtype)
    return mode.stand_in(Local(local.windows, values, local.layout), gradient.shape), None, None


def _pointwise(mode: LocalGradients, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation that keeps zeros, cell by cell, on the windows of all that has the gradient's shape."""
    gradient, local = args[0], mode.local(args[0])
    if local is None:
        return NotImplemented
    windows = local.windows
    others = [windows.cut(a) if isinstance(a, Tensor) and a.shape == gradient.shape else a for a in args[1:]]
    values = func(local.values, *others, **kwargs)
    return mode.stand_in(Local(windows, values, local.layout), gradient.shape)


def _copy(mode: LocalGradients, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Copy the gradient, if in another type."""
    gradient, local = args[0], mode.local(args[0])
    if local is None or (func is _aten.constant_pad_nd.default and any(args[1])):
        return NotImplemented
    values = local.values.to(kwargs.get("dtype") or gradient.dtype, copy=True)
    return mode.stand_in(Local(local.windows, values, local.layout), gradient.shape)


def _view(mode: LocalGradients, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """View the gradient as it is, or some channels, which is what concatenation does backwards."""
    gradient, local = args[0], mode.local(args[0])
    if local is None or gradient.ndim != 4 or (func in _RESHAPING and list(args[1]) != list(gradient.shape)):
        return NotImplemented
    sliced = func is _aten.slice.Tensor
    if sliced and (len(args) < 2 or args[1] != 1):
        return NotImplemented

    def view(stack: Tensor) -> Tensor:
        seen: Tensor = func(stack, *args[1:], **kwargs)
        return seen

    # A view of a view is one of the root, so that a write through any of them is seen by all.
    root, first = local.root or (gradient, None)
    values = view(local.values) if sliced else local.values
    shared = Local(local.windows, values, local.layout, (root, lambda s: view(first(s) if first else s)))
    return mode.stand_in(shared, (len(values), values.shape[1], *gradient.shape[2:]))


def _add(mode: LocalGradients, _func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Add the gradients of two branches."""
    a, b = mode.local(args[0]), mode.local(args[1])
    if a is None or b is None or args[0].shape != args[1].shape or kwargs:
        return NotImplemented
    around = a.windows.hull(b.windows)
    if not mode.worth(around, args[0].shape):
        return NotImplemented
    one, other = (around.see(g.values, g.windows.rows.starts, g.windows.columns.starts) for g in (a, b))
    return mode.stand_in(Local(around, one + other, a.layout), args[0].shape)


_aten = torch.ops.aten
_convolve = _aten.convolution.default
_KEEP_ZEROS = ("threshold", "gelu", "silu", "hardtanh", "hardswish", "leaky_relu")
_RESHAPING = (_aten.view.default, _aten._unsafe_view.default)
_COPYING = (_aten.clone.default, _aten._to_copy.default, _aten.constant_pad_nd.default)
_RULES: dict[object, Callable[[LocalGradients, Any, tuple[Any, ...], dict[str, Any]], Any]] = {
    _aten.convolution_backward.default: _convolution,
    _aten.native_batch_norm_backward.default: _norm,
    _aten.add.Tensor: _add,
    **{getattr(_aten, f"{name}_backward").default: _pointwise for name in _KEEP_ZEROS},
    **dict.fromkeys(_COPYING, _copy),
    **dict.fromkeys((_aten.alias.default, _aten.detach.default, _aten.slice.Tensor, *_RESHAPING), _view),
}
