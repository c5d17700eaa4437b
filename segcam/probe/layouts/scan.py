"""Scan: one more forward pass, of a batch of another size, which tells what the shapes of one pass leave open."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from segcam.probe.layers import Layer
from segcam.probe.layouts.axes import Axes
from segcam.probe.layouts.cells import Cells
from segcam.probe.layouts.places import Axis, Places
from segcam.probe.network.dispatch import PlainDispatchMode
from segcam.probe.targets.outputs import tensor_of
from segcam.scoring.grids import Grid

Shape = tuple[int, ...]

CHANNELS_FIRST = (
    *(_ConvNd, _BatchNorm, nn.GroupNorm, nn.Upsample, nn.PixelShuffle),
    *(_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd),
)
"""Modules in whose output `(b, c, ...)` the channels come right after the batch."""


@dataclass(frozen=True, slots=True)
class Extras:
    """Tokens of no place among those of the image: how many come before them, and how many after."""

    before: int
    after: int


@dataclass(slots=True)
class Scan:
    """What a pass told.

    Attributes:
        batch: the number of its images.
        shapes: of the layers' outputs, by label and call.
        axes: 'first' or 'last' for where the channels lie in layers' outputs, by label, where the module's class tells,
            or the operations between it and one whose class does.
        first: shapes without the batch of outputs whose channels are known to come first.
        last: of those whose channels are known to come last.
        turned: of those whose axes were put in another order.
        cells: which cells the first channel of layers' outputs belongs to, by label and call; None where not known.
        places: what the axes of layers' outputs run over, by label and call; None where not known.
        grids: rows and columns of feature maps whose axes are known.
        pooled: of what was pooled to a given number of cells, whatever their stride.
        tokens: by the number of tokens, and whether they lie last, what was joined to the image's own; None where that
            is not told.
        parts: by the same, the grids whose tokens were joined, each behind so many tokens; None where that differs.
        output: 'first' or 'last' for where the classes lie in the network's output, where it is a module's; or ''.
        blocks: rows and columns of what went into blocks that cut it into windows, by path.
    """

    batch: int
    shapes: dict[str, list[Shape]] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    first: set[Shape] = field(default_factory=set)
    last: set[Shape] = field(default_factory=set)
    turned: set[Shape] = field(default_factory=set)
    cells: dict[str, list[Tensor | None]] = field(default_factory=dict)
    places: dict[str, list[tuple[Axis, ...] | None]] = field(default_factory=dict)
    grids: set[Grid] = field(default_factory=set)
    pooled: set[Grid] = field(default_factory=set)
    tokens: dict[tuple[int, bool], Extras | None] = field(default_factory=dict)
    parts: dict[tuple[int, bool], tuple[tuple[int, Grid], ...] | None] = field(default_factory=dict)
    output: str = ""
    blocks: dict[str, Grid] = field(default_factory=dict)

    def joined(self, axis: int, lengths: Sequence[int], varies: Sequence[bool]) -> None:
        """Take note of tokens that were joined along an axis.

        The image's own are those that differ between images; single ones, class tokens, may do so as well.
        """
        last = axis == 2
        own = [n for n, (length, differs) in enumerate(zip(lengths, varies, strict=True)) if differs and length > 1]
        if not own:
            return
        cells = {rows * columns for rows, columns in self.grids}
        if len(own) > 1:
            placed = [n for n in own if lengths[n] in cells or (lengths[n], last) in self.tokens]
            own = placed if len(placed) == 1 else []
        key = (sum(lengths), last)
        extras = None
        if own:
            inner = self.tokens.get((lengths[own[0]], last), Extras(0, 0))
            before, after = sum(lengths[: own[0]]), sum(lengths[own[0] + 1 :])
            extras = None if inner is None else Extras(before + inner.before, inner.after + after)
        self.tokens[key] = extras if self.tokens.get(key, extras) == extras else None

    def of_grids(self, axis: int, lengths: Sequence[int], grids: Sequence[Grid | None]) -> None:
        """Take note of the tokens of several grids that were joined along an axis."""
        starts = [sum(lengths[:n]) for n in range(len(lengths))]
        parts = tuple((start, grid) for start, grid in zip(starts, grids, strict=True) if grid is not None)
        if len(parts) > 1:
            key = (sum(lengths), axis == 2)
            self.parts[key] = parts if self.parts.get(key, parts) == parts else None


def channels_of(module: nn.Module) -> str:
    """Return where a module's class says that the channels of its output lie: 'first', 'last' or ''."""
    if isinstance(module, CHANNELS_FIRST):
        return "first"
    norms = (nn.LayerNorm, nn.RMSNorm)
    for norm in norms:
        if isinstance(module, norm) and type(module).forward is norm.forward and len(module.normalized_shape) == 1:
            return "last"
    return ""


def scan(
    model: nn.Module,
    layers: Sequence[Layer],
    blocks: Mapping[str, Callable[..., Grid]],
    run: Callable[[], object],
    batch: int,
    inputs: Iterable[Tensor] = (),
) -> Scan:
    """Run a network and note what its modules and operators tell of layouts.

    Args:
        model: the network.
        layers: those whose shapes are wanted.
        blocks: by the path of a block that cuts its input into windows, how to read rows and columns off its arguments.
        run: runs the network.
        batch: on how many images.
        inputs: what it is given that lies nowhere on the images, as prompts do.
    """
    seen = Scan(batch, {layer.label: [] for layer in layers})
    labels: dict[str, list[str]] = {}
    for layer in layers:
        labels.setdefault(layer.module, []).append(layer.label)
    axes, cells, places = Axes(), Cells(), Places()
    seen.turned = axes.turned
    for tensor in (*model.parameters(), *model.buffers()):
        places.lies_nowhere(tensor)
    for tensor in inputs:
        places.lies_nowhere(tensor, raw=False)
    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(_images(cells)).remove)
        for path, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                hook = _shapes(seen, labels.get(path, []), axes, cells, places)
                stack.callback(module.register_forward_hook(hook).remove)
            if path in blocks:
                read = _grids(seen, path, blocks[path])
                stack.callback(module.register_forward_pre_hook(read, with_kwargs=True).remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(_eager())
        stack.enter_context(_Operations(seen, axes, cells, places))
        seen.output = axes.side(tensor_of(run()))
    return seen


def _shapes(
    seen: Scan, labels: Sequence[str], axes: Axes, cells: Cells, places: Places
) -> Callable[[nn.Module, tuple[object, ...], object], None]:
    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(first, Tensor):
            return
        shape, known = tuple(first.shape), channels_of(module)
        _note(module, inputs[0] if inputs else None, first, (axes, cells))
        axis = axes.side(first)
        for label in labels:
            seen.shapes[label].append(shape)
            seen.axes[label] = axis
            seen.cells.setdefault(label, []).append(_of_a_channel(first, axes, cells))
            seen.places.setdefault(label, []).append(places.of(first))
        if known == "first":
            seen.first.add(shape[1:])
            if len(shape) == 4:
                seen.grids.add((shape[2], shape[3]))
        elif known or (isinstance(module, nn.Linear) and axis == "last"):
            seen.last.add(shape[1:])
            if len(shape) == 4 and known:
                seen.grids.add((shape[1], shape[2]))

    return hook


def _note(module: nn.Module, source: object, first: Tensor, known: tuple[Axes, Cells]) -> None:
    """Take note of what a module's class tells of its output."""
    (axes, cells), side = known, channels_of(module)
    before = axes.of(source)
    if side:
        axes.put(first, 1 if side == "first" else first.ndim - 1)
    elif isinstance(module, nn.Linear):  # it may run along rows, columns or tokens, as mixers do
        axes.put(first, first.ndim - 1 if before is None else before)
        if axes.side(first) == "last":
            cells.projected(first, source)
    elif isinstance(module, _InstanceNorm) and before is not None:
        axes.put(first, before)
    if side == "first" and first.ndim == 4:
        cells.lie_on_grid(first, source)


def _of_a_channel(output: Tensor, axes: Axes, cells: Cells) -> Tensor | None:
    """Return the cells of an output's first channel, which is kept; None where they are not known."""
    axis, found = axes.of(output), cells.of(output)
    return None if axis is None or found is None else found.narrow(axis, 0, 1).clone()


def _images(cells: Cells) -> Callable[..., None]:
    """Take note of the images' own order: what is made of them mirrored, and turned back, lies row by row."""

    def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor) and args[0].ndim == 4:
            cells.lie_on_grid(args[0], None)

    return hook


def _grids(seen: Scan, path: str, read: Callable[..., Grid]) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.blocks[path] = read(*args, **kwargs)

    return hook


@contextmanager
def _eager() -> Iterator[None]:
    """Run compiled networks as they are written, so that each operator is seen."""
    compiled = "torch._dynamo" in sys.modules  # it takes seconds to import, and nothing is compiled without it
    with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        yield


class _Operations(PlainDispatchMode):
    """Sees which tokens are joined with others, what is pooled, and where channels and cells go."""

    def __init__(self, seen: Scan, axes: Axes, cells: Cells, places: Places) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen, self.axes, self.cells, self.places = seen, axes, cells, places

    def __torch_dispatch__(
        self, func: Any, _types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation."""
        out = func(*args, **(kwargs or {}))
        self.axes.follow(func, args, out)
        self.cells.follow(func, args, out)
        self.places.follow(func, args, out)
        if func is _aten.cat.default:
            axis = (args[1] if len(args) > 1 else (kwargs or {}).get("dim", 0)) % max(1, out.ndim)
            self._join(axis, [piece for piece in args[0] if piece.ndim == out.ndim], out)
        elif func is _aten.constant_pad_nd.default and out.ndim == 3 and any(args[1]):
            self._pad(args[0], args[1], out)
        elif func in _POOLING:
            pooled = out[0] if isinstance(out, tuple) else out
            if pooled.ndim == 4:
                self.seen.pooled.add((pooled.shape[2], pooled.shape[3]))
        return out

    def _join(self, axis: int, pieces: Sequence[Tensor], out: Tensor) -> None:
        if out.ndim == 3 and out.shape[1 if axis == 0 else 0] == self.seen.batch:  # else images are joined
            lengths = [piece.shape[axis] for piece in pieces]
            self.seen.joined(axis, lengths, [_varies(piece, 1 if axis == 0 else 0) for piece in pieces])
            self.seen.of_grids(axis, lengths, [self.places.grid(piece, axis) for piece in pieces])

    def _pad(self, tokens: Tensor, pads: Sequence[int], out: Tensor) -> None:
        for axis in range(3):
            before, after = [*pads[2 * (2 - axis) : 2 * (2 - axis) + 2], 0, 0][:2]
            if before or after:
                lengths = [before, tokens.shape[axis], after]
                if min(lengths) >= 0 and sum(lengths) == out.shape[axis]:
                    self.seen.joined(axis, lengths, [False, _varies(tokens, 1 if axis == 0 else 0), False])


def _varies(tokens: Tensor, batch: int) -> bool:
    """Return whether tokens differ between images."""
    images = tokens.unbind(batch)
    return any(not torch.equal(images[0], image) for image in images[1:])


_aten = torch.ops.aten
_POOLING = frozenset({_aten._adaptive_avg_pool2d.default, _aten.adaptive_max_pool2d.default, _aten.mean.dim})
