"""Backward passes that leave out the zeros.

The gradient of one pixel's score is zero outside what that pixel sees: a few cells wide in a decoder. An ordinary
backward pass computes with all the zeros. Here the window outside which a gradient is zero, one an image, is followed
from operation to operation, and convolutions, normalisations and activations are computed on the window alone, until
it fills more than a quarter of the image. The gradients are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from segcam.probe.targets import Explained

FEW = 1 / 16
"""The largest share of an image's pixels in a set whose gradients are worth following."""


def convolves(model: nn.Module) -> bool:
    """Return whether a network is mostly convolutions, so that a pixel's gradient has zeros to leave out.

    Attention hands a gradient to every position: windows are full at once, and looking for them costs a twentieth.
    """
    modules = list(model.modules())
    linear = sum(isinstance(module, nn.Linear) for module in modules)
    return sum(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in modules) > linear


def gradients_of(
    explained: Explained, outputs: Sequence[Tensor], *, keep: bool = False, local: bool = True
) -> list[Tensor | None]:
    """Return the gradients of a target's scores by tensors of the graph, as `torch.autograd.grad` does.

    On a GPU and for large pixel sets it is that: the first was not measured, the second leave no zeros.

    Args:
        explained: the scores, and which pixels they are about.
        outputs: by what is differentiated; parameters must not want gradients.
        keep: whether the graph is needed again.
        local: whether zeros are worth looking for, see `convolves`.

    Returns:
        A gradient a tensor; None where it does not lead to the scores.
    """
    chosen, total = explained.chosen, explained.scores.sum()
    here = local and chosen.device.type == "cpu" and len(chosen) > 0
    if not here or int(explained.pixels.max()) > FEW * chosen[0].numel():
        return list(torch.autograd.grad(total, list(outputs), retain_graph=keep, allow_unused=True))
    with WithoutZeros() as mode:
        found = torch.autograd.grad(total, list(outputs), retain_graph=keep, allow_unused=True)
    return [None if gradient is None else mode.whole(gradient) for gradient in found]


@dataclass(slots=True)
class Known:
    """What is known of a gradient.

    Attributes:
        windows: outside these it is zero.
        layout: the memory format of the whole.
        parts: what is in the windows, where the tensor only stands for the gradient; None where it is the gradient.
        source: the tensor and the operation that this one is a view by, where it is one.
        real: the whole gradient, once something asked for it; it may have been written to since.
    """

    windows: Windows
    layout: torch.memory_format
    parts: Tensor | None = None
    source: tuple[Tensor, Callable[[Tensor], Tensor]] | None = None
    real: Tensor | None = None


class WithoutZeros(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context for backward passes on the CPU.

    Gradients with small windows go from rule to rule as their windows' values; the tensors that autograd hands on only
    stand for them, and hold NaN in a single cell. Whatever has no rule gets whole tensors. The first convolution's
    gradient is searched for its windows; behind an operation without a rule the next one's is again, until one is full.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._search = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation by its rule, or as it is on whole tensors."""
        if not self._search and not len(self._known):  # nothing is left of the windows
            return func(*args, **(kwargs or {}))
        rule = _RULES.get(func)
        found = NotImplemented if rule is None else rule(self, func, args, kwargs or {})
        if found is not NotImplemented:
            return found
        given = [self._given(value) for value in args]
        named = {name: self._given(value) for name, value in (kwargs or {}).items()}
        out = func(*given, **named)
        if func._schema.is_mutable:
            for real in (*given, *named.values()):
                self._forget(real)
        return out

    def _given(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.whole(value)
        return [self._given(v) for v in value] if isinstance(value, (list, tuple)) else value

    def _forget(self, written: Any) -> None:
        """Forget the windows of a gradient that was written to, and of those that share its memory."""
        if isinstance(written, Tensor):
            place = written.untyped_storage().data_ptr()
            for other in [t for t in self._known if t.untyped_storage().data_ptr() == place]:
                del self._known[other]

    def of(self, gradient: Tensor) -> Known | None:
        """Return what is known of a gradient; nothing once the whole may have been written to."""
        known: Known | None = self._known.get(gradient)  # type: ignore[no-untyped-call]
        return None if known is None or self._realised(known) else known

    def _realised(self, known: Known) -> bool:
        if known.source is not None and known.real is None:
            root: Known = self._known[known.source[0]]
            return self._realised(root)
        return known.real is not None

    def searched(self, gradient: Tensor) -> Known | None:
        """Return what is known of a convolution's gradient, which is looked at where nothing is."""
        known = self.of(gradient)
        if known is None and self._search:
            gradient = self.whole(gradient)
            windows = nonzero(gradient)
            self._search = windows.small_in(gradient.shape)
            known = Known(windows, _layout(gradient), cut(gradient, windows) if self._search else None)
        return known

    def whole(self, gradient: Tensor) -> Tensor:
        """Return the gradient itself where the tensor only stands for it."""
        known: Known | None = self._known.get(gradient)  # type: ignore[no-untyped-call]
        if known is None or known.parts is None:
            return gradient
        if known.real is None and known.source is not None:
            root, view = known.source
            known.real = view(self.whole(root))
        elif known.real is None:
            known.real = laid(known.parts, known.windows, gradient.shape, known.layout)
        return known.real

    def note(self, gradient: Tensor, windows: Windows | None) -> Tensor:
        """Remember the windows of a whole gradient, and return it."""
        if windows is not None:
            self._known[gradient] = Known(windows, _layout(gradient))
        return gradient

    def standing_for(self, parts: Tensor, like: Known, windows: Windows, shape: Sequence[int]) -> Tensor:
        """Return a tensor that stands for a gradient, of which only the values in its windows are there."""
        place = torch.full((), torch.nan, dtype=parts.dtype).expand(tuple(shape))
        self._known[place] = Known(windows, like.layout, parts)
        return place

    def view(self, parts: Tensor, known: Known, gradient: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a tensor that stands for a view of a gradient."""
        place = torch.full((), torch.nan, dtype=parts.dtype).expand(len(parts), parts.shape[1], *gradient.shape[2:])
        self._known[place] = Known(known.windows, known.layout, parts, (gradient, view))
        return place


def _layout(stack: Tensor) -> torch.memory_format:
    last = stack.ndim == 4 and stack.is_contiguous(memory_format=torch.channels_last) and not stack.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _convolution(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Convolve the windows the other way round; what reaches beyond an edge came from the padding."""
    gradient, stack, weight, _, stride, padding, dilation, transposed, more, groups, wanted = args
    if gradient.ndim != 4 or list(wanted) != [True, False, False]:
        return NotImplemented
    if transposed and (
        any(padding) or any(more) or any(d != 1 for d in dilation) or list(stride) != list(weight.shape[2:])
    ):
        return NotImplemented  # upsampling with kernels that overlap
    known = mode.searched(gradient)
    if known is None:
        return NotImplemented
    windows, (rows, columns), kernel = known.windows, stack.shape[2:], weight.shape[2:]
    if transposed:
        down, height = cells_below(windows.tops, windows.height, stride[0], rows)
        across, width = cells_below(windows.lefts, windows.width, stride[1], columns)
        around = Windows(down, across, height, width)
        source = around.times(stride[0], stride[1])
        reach: tuple[Sequence[int], Sequence[int]] = (down, across)
    else:
        first, second = zip(*(tuple(v) for v in (kernel, stride, padding, dilation)), strict=True)
        above, tops, height = cells_reached(windows.tops, windows.height, rows, *first)
        before, lefts, width = cells_reached(windows.lefts, windows.width, columns, *second)
        around, source, reach = Windows(tops, lefts, height, width), windows, (above, before)
    if known.parts is None or not source.small_in(gradient.shape):
        return mode.note(func(mode.whole(gradient), *args[1:], **kwargs)[0], around), None, None
    values = moved(known.parts, windows.tops, windows.lefts, source)
    parts = _convolve(values, weight, None, stride, [0, 0], dilation, not transposed, [0, 0], groups)
    like = Known(around, _layout(stack))
    return mode.standing_for(moved(parts, *reach, around), like, around, stack.shape), None, None


def _norm(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Scale by weight over standard deviation: all that a batch normalisation in eval mode does to a gradient."""
    gradient, _, weight, _, variance, _, _, training, eps, wanted = args
    if training or list(wanted) != [True, False, False]:
        return NotImplemented
    known = mode.of(gradient)
    windows, parts = (known.windows, known.parts) if known else (None, None)
    if parts is None and gradient.dtype not in (torch.float32, torch.float64):  # the product has another type
        return mode.note(func(mode.whole(gradient), *args[1:], **kwargs)[0], windows), None, None
    scale = torch.rsqrt(variance + eps) if weight is None else torch.rsqrt(variance + eps) * weight
    scale = scale.view(1, -1, *[1] * (gradient.ndim - 2))
    if known is None or parts is None:
        return mode.note(mode.whole(gradient) * scale, windows), None, None
    return mode.standing_for((parts * scale).to(gradient.dtype), known, known.windows, gradient.shape), None, None


def _pointwise(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation that keeps zeros, cell by cell, on the windows of all that has the gradient's shape."""
    gradient = args[0]
    known = mode.of(gradient)
    if known is None:
        return NotImplemented
    if known.parts is None:
        return mode.note(func(*args, **kwargs), known.windows)
    others = [cut(a, known.windows) if isinstance(a, Tensor) and a.shape == gradient.shape else a for a in args[1:]]
    return mode.standing_for(func(known.parts, *others, **kwargs), known, known.windows, gradient.shape)


def _copied(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Copy the gradient, if in another type."""
    gradient, known = args[0], mode.of(args[0])
    if known is None or (func is _aten.constant_pad_nd.default and any(args[1])):
        return NotImplemented
    if known.parts is None:
        return mode.note(func(*args, **kwargs), known.windows)
    parts = known.parts.to(kwargs.get("dtype") or gradient.dtype, copy=True)
    return mode.standing_for(parts, known, known.windows, gradient.shape)


def _seen(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """View the gradient as it is, or some channels, which is what concatenation does backwards."""
    gradient, known = args[0], mode.of(args[0])
    if known is None or gradient.ndim != 4:
        return NotImplemented
    same = func not in _RESHAPING or list(args[1]) == list(gradient.shape)
    if not same or (func is _aten.slice.Tensor and (len(args) < 2 or args[1] != 1)):
        return NotImplemented
    if known.parts is None:
        return mode.note(func(*args, **kwargs), known.windows)
    parts = func(known.parts, *args[1:], **kwargs) if func is _aten.slice.Tensor else known.parts
    return mode.view(parts, known, gradient, lambda whole: func(whole, *args[1:], **kwargs))


def _add(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Add the gradients of two branches."""
    first, second = args[:2]
    a, b = mode.of(first), mode.of(second) if isinstance(second, Tensor) else None
    if a is None or b is None or first.shape != second.shape or kwargs:
        return NotImplemented
    around = hull(a.windows, b.windows)
    if a.parts is None or b.parts is None or not around.small_in(first.shape):
        return mode.note(func(mode.whole(first), mode.whole(second)), around)
    one = moved(a.parts, a.windows.tops, a.windows.lefts, around)
    other = moved(b.parts, b.windows.tops, b.windows.lefts, around)
    return mode.standing_for(one + other, a, around, first.shape)


def _pool(mode: WithoutZeros, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand the gradient to the cells that were the largest."""
    gradient, stack, kernel, stride, padding, dilation = args[:6]
    known = mode.of(gradient)
    if known is None:
        return NotImplemented
    (rows, columns), windows = stack.shape[2:], known.windows
    first, second = zip(*((v[0], v[-1]) for v in (kernel, stride or kernel, padding, dilation)), strict=True)
    _, tops, height = cells_reached(windows.tops, windows.height, rows, *first)
    _, lefts, width = cells_reached(windows.lefts, windows.width, columns, *second)
    return mode.note(func(mode.whole(gradient), *args[1:], **kwargs), Windows(tops, lefts, height, width))


_aten = torch.ops.aten
_convolve = _aten.convolution.default
_KEEP_ZEROS = ("threshold", "gelu", "silu", "hardtanh", "hardswish", "leaky_relu")
_RESHAPING = (_aten.view.default, _aten._unsafe_view.default)
_COPYING = (_aten.clone.default, _aten._to_copy.default, _aten.constant_pad_nd.default)
_RULES: dict[object, Callable[[WithoutZeros, Any, tuple[Any, ...], dict[str, Any]], Any]] = {
    _aten.convolution_backward.default: _convolution,
    _aten.native_batch_norm_backward.default: _norm,
    _aten.max_pool2d_with_indices_backward.default: _pool,
    _aten.add.Tensor: _add,
    **{getattr(_aten, f"{name}_backward").default: _pointwise for name in _KEEP_ZEROS},
    **dict.fromkeys(_COPYING, _copied),
    **dict.fromkeys((_aten.alias.default, _aten.detach.default, _aten.slice.Tensor, *_RESHAPING), _seen),
}


SMALL = 1 / 4
"""The largest share of a gradient's cells in a window that is computed alone."""


@dataclass(frozen=True)
class Windows:
    """A window in each image of a batch, all of one size and inside the tensor; outside there are only zeros."""

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    height: int
    width: int

    def small_in(self, shape: Sequence[int]) -> bool:
        """Return whether it is worth while to compute on the windows alone in a gradient `(b, c, h, w)`."""
        return self.height * self.width <= SMALL * shape[2] * shape[3]

    def times(self, rows: int, columns: int) -> Windows:
        """Return the windows on a grid of which each cell here is `rows x columns`."""
        tops, lefts = tuple(i * rows for i in self.tops), tuple(i * columns for i in self.lefts)
        return Windows(tops, lefts, self.height * rows, self.width * columns)

    @cached_property
    def cells(self) -> tuple[Int[Tensor, "b 1 1"], Int[Tensor, "b h 1"], Int[Tensor, "b 1 w"]]:
        """The images, rows and columns of the windows' cells, as indices."""
        rows = torch.tensor(self.tops)[:, None] + torch.arange(self.height)
        columns = torch.tensor(self.lefts)[:, None] + torch.arange(self.width)
        return torch.arange(len(self.tops))[:, None, None], rows[:, :, None], columns[:, None]


def nonzero(gradient: Float[Tensor, "b c h w"]) -> Windows:
    """Return the smallest windows that hold all that is not zero; of one cell where there is nothing."""
    hot = (gradient != 0).any(1)
    some = hot.flatten(1).any(1)
    tops, height = _spans(hot.any(2), some)
    lefts, width = _spans(hot.any(1), some)
    return Windows(tops, lefts, height, width)


def _spans(hot: Tensor, some: Tensor) -> tuple[tuple[int, ...], int]:
    cells = hot.shape[1]
    first = hot.byte().argmax(1)
    end = cells - hot.flip(1).byte().argmax(1)
    size = max(1, int(((end - first) * some).max()))
    return tuple(first.clamp(max=cells - size).tolist()), size


def cut(stack: Float[Tensor, "b c h w"], windows: Windows) -> Float[Tensor, "b c h2 w2"]:
    """Return the windows of a stack, in its memory format."""
    parts = stack.permute(0, 2, 3, 1)[windows.cells].permute(0, 3, 1, 2)
    return parts.contiguous() if stack.is_contiguous() else parts


def laid(
    parts: Float[Tensor, "b c h2 w2"], windows: Windows, shape: Sequence[int], layout: torch.memory_format
) -> Float[Tensor, "b c h w"]:
    """Return zeros of the shape with the parts laid in."""
    whole = torch.empty(tuple(shape), dtype=parts.dtype, memory_format=layout).zero_()
    whole.permute(0, 2, 3, 1)[windows.cells] = parts.permute(0, 2, 3, 1)
    return whole


def moved(
    parts: Float[Tensor, "b c h2 w2"],
    tops: Sequence[int],
    lefts: Sequence[int],
    to: Windows,
) -> Float[Tensor, "b c h w"]:
    """Return what other windows see of parts whose corners lie at `tops` and `lefts`; zeros where there are none."""
    size = (*parts.shape[:2], to.height, to.width)
    if tuple(tops) == to.tops and tuple(lefts) == to.lefts and parts.shape[2:] == size[2:]:
        return parts
    layout = torch.contiguous_format if parts.is_contiguous() else torch.channels_last
    seen = torch.empty(size, dtype=parts.dtype, memory_format=layout).zero_()
    for n, part in enumerate(parts):
        down, across = tops[n] - to.tops[n], lefts[n] - to.lefts[n]
        y, x = max(down, 0), max(across, 0)
        inside = part[:, max(-down, 0) : to.height - down, max(-across, 0) : to.width - across]
        seen[n, :, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
    return seen


def hull(a: Windows, b: Windows) -> Windows:
    """Return the smallest windows of one size around two."""
    tops, height = _around(a.tops, a.height, b.tops, b.height)
    lefts, width = _around(a.lefts, a.width, b.lefts, b.width)
    return Windows(tops, lefts, height, width)


def _around(a: Sequence[int], a_size: int, b: Sequence[int], b_size: int) -> tuple[tuple[int, ...], int]:
    first = [min(i, j) for i, j in zip(a, b, strict=True)]
    end = [max(i + a_size, j + b_size) for i, j in zip(a, b, strict=True)]
    size = max(j - i for i, j in zip(first, end, strict=True))
    last = max(end)  # an edge is not known here, but no window ended beyond this
    return tuple(min(i, last - size) for i in first), size


def cells_reached(
    starts: Sequence[int], size: int, cells: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[list[int], tuple[int, ...], int]:
    """Return which cells of its input a window of a convolution's or pool's output came from, along one side.

    Returns:
        Where the cells start, also before the edge; where windows inside the edges start, and their size.
    """
    reach = [start * stride - padding for start in starts]
    most = min((size - 1) * stride + dilation * (kernel - 1) + 1, cells)
    return reach, tuple(min(max(start, 0), cells - most) for start in reach), most


def cells_below(starts: Sequence[int], size: int, stride: int, cells: int) -> tuple[tuple[int, ...], int]:
    """Return which cells of an upsampled stack a window of the result came from, along one side."""
    most = max((start + size - 1) // stride - start // stride + 1 for start in starts)
    return tuple(min(start // stride, cells - most) for start in starts), most
