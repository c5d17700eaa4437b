"""Where a layer's grid lies on the image: composed over convolutions, pooling and upsampling, or measured.

Autograd's graph knows every step from the input to a layer, functional calls as well as modules: kernels, strides,
paddings, crops, upsamplings. Each of them moves the centre of cell 0 and stretches the step. Pointwise steps,
normalisations and attention leave both as they are: an output of attention lies where its query does. Where branches
meet that have come over grids of unlike coarseness, as a U-Net's skip connection and its upsampled features, the finer
one says where the grid lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from segcam.probe.steps import name_of
from segcam.scoring.grids import Grid, Placement

Pair = tuple[float, float]

Placing = Literal["stretched", "receptive_field"]
"""How maps are laid over the image: stretched over it, the paper's plain upsampling, or where their cells look."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a tensor lies on the input, and how it came there.

    Attributes:
        placement: of its grid.
        grid: rows and columns.
        shape: of the tensor.
        dims: which of its dimensions are rows and columns; None where they lie in one, or are not known.
        coarsest: the largest step on the way, in pixels: what was averaged there, no later step tells apart.
        agreed: whether all branches that met on the way agreed where the grid lies.
        exact: whether every step on the way was one whose geometry is known.
    """

    placement: Placement
    grid: Grid
    shape: tuple[int, ...]
    dims: tuple[int, int] | None
    coarsest: float
    agreed: bool = True
    exact: bool = True


def courses(outputs: Sequence[Tensor], source: Any, size: Grid) -> list[Course | None]:
    """Follow autograd's graph from the input to each output.

    Args:
        outputs: what a pass gave, with its graph.
        source: the graph's node that made the input.
        size: height and width of the input, in pixels.

    Returns:
        For each output where it lies; None where it does not come from the input.
    """
    start = Course(Placement((0.0, 0.0), (1.0, 1.0)), size, (1, 1, *size), (2, 3), 1.0)
    done: dict[Any, Course | None] = {source: start}
    found = []
    for output in outputs:
        course = None if output.grad_fn is None else _follow(output.grad_fn, done)
        found.append(None if course is None else _part(output.grad_fn, output.output_nr, course))
    return found


def on_grid(course: Course, grid: Grid) -> Placement:
    """Return the placement of a layer's maps on `grid`, whatever the tensor's shape said of it.

    Tokens made by reshaping, and windows put together again, come with another grid than they were followed with: they
    span the same pixels.
    """
    if course.grid == grid:
        return course.placement
    return _resized(course, grid, course.shape).placement


def _follow(last: Any, done: dict[Any, Course | None]) -> Course | None:
    waiting = [last]  # an explicit stack: graphs are deeper than Python's
    while waiting:
        node = waiting[-1]
        if node in done:
            waiting.pop()
            continue
        before = [one for one, _ in node.next_functions if one is not None]
        open_ = [one for one in before if one not in done]
        if open_:
            waiting += open_
            continue
        reads = ((one, nr, done[one]) for one, nr in node.next_functions if one is not None)
        known = [_part(one, nr, course) for one, nr, course in reads if course is not None]
        done[node] = _after(node, known) if known else None
        waiting.pop()
    return done[last]


def _after(node: Any, before: Sequence[Course]) -> Course:
    """Return where a step's result lies, given where what it reads does."""
    name = name_of(node)
    metadata = node._input_metadata  # of what the backward pass gets: the shape of the result
    shape = tuple(int(n) for n in metadata[0].shape) if metadata else before[0].shape
    product = name in ("Bmm", "Mm", "Baddbmm") or name.startswith("ScaledDotProduct")  # rows are those of the first
    course = before[0] if len(before) == 1 or product else _met(before, name == "Cat")
    step = _STEPS.get(name)
    if step is not None:
        return step(node, course, shape)
    return _inherited(course, shape)


def _met(before: Sequence[Course], cat: bool) -> Course:
    """Choose among branches that meet: the finest way; of equally fine ones their mean, as of interleaved slices."""
    finest = min(course.coarsest for course in before)
    finer = [course for course in before if course.coarsest <= finest * (1 + 1e-6)]
    largest = max(course.grid for course in finer)
    same = [course for course in finer if course.grid == largest]
    origin = tuple(sum(course.placement.origin[n] for course in same) / len(same) for n in (0, 1))
    apart = max(
        (abs(one.placement.origin[n] - origin[n]) for one in before if one.grid == largest for n in (0, 1)), default=0.0
    )
    sliced = cat and len(same) == len(before) and min(min(c.placement.step) for c in same) > 1
    agreed = all(course.agreed for course in before) and (sliced or apart < 1e-6)
    exact = all(course.exact for course in same)
    chosen = same[0]
    placement = Placement((origin[0], origin[1]), chosen.placement.step)
    return replace(chosen, placement=placement, agreed=agreed, exact=exact)


def _moved(course: Course, shape: tuple[int, ...], shift: Pair, stretch: Pair) -> Course:
    """Return the course after a step that shifts the first centre by `shift` cells and stretches the step."""
    (oy, ox), (sy, sx) = course.placement.origin, course.placement.step
    placement = Placement((oy + sy * shift[0], ox + sx * shift[1]), (sy * stretch[0], sx * stretch[1]))
    grid = (shape[-2], shape[-1]) if len(shape) >= 2 else course.grid
    dims = (len(shape) - 2, len(shape) - 1)
    return replace(
        course, placement=placement, grid=grid, shape=shape, dims=dims, coarsest=max(course.coarsest, *placement.step)
    )


def _resized(course: Course, grid: Grid, shape: tuple[int, ...]) -> Course:
    """Return the course after the grid was resized and spans what it did before."""
    stretch = (course.grid[0] / grid[0], course.grid[1] / grid[1])
    shift = ((stretch[0] - 1) / 2, (stretch[1] - 1) / 2)
    return replace(_moved(course, shape, shift, stretch), grid=grid)


def _inherited(course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course after a step that is not known to move anything; a spatial shape that changed was resized."""
    if course.dims is not None and len(shape) == len(course.shape) and max(course.dims) < len(shape):
        grid = (shape[course.dims[0]], shape[course.dims[1]])
        if grid == course.grid:
            return replace(course, shape=shape)
        if len(shape) == 4 and course.dims == (2, 3) and min(grid) > 0:
            return replace(_resized(course, grid, shape), exact=False)
    return replace(course, shape=shape, dims=_dims(course.grid, shape))


def _dims(grid: Grid, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Find rows and columns again in a tensor that was reshaped."""
    places = [n for n in range(1, len(shape) - 1) if shape[n : n + 2] == grid]
    if len(shape) not in (4, 5) or len(places) != 1:
        return None  # rows and channels of one number cannot be told apart
    return places[0], places[0] + 1


def _spatial(course: Course) -> Course:
    """Return the course of feature maps `(b, c, h, w)` with their own grid, should that have been lost on the way."""
    if len(course.shape) not in (4, 5) or course.shape[-2:] == course.grid:
        return course
    return _resized(course, (course.shape[-2], course.shape[-1]), course.shape)


def _convolution(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    kernel = [int(n) for n in node._saved_weight.shape[2:]]
    stride, padding, dilation = (list(getattr(node, f"_saved_{name}")) for name in ("stride", "padding", "dilation"))
    if len(kernel) not in (2, 3):
        return _inherited(course, shape)
    course = _spatial(course)
    kernel, stride, padding, dilation = (values[-2:] for values in (kernel, stride, padding, dilation))
    centre = [dilation[n] * (kernel[n] - 1) / 2 - padding[n] for n in (0, 1)]
    if node._saved_transposed:
        back = [1 / stride[n] for n in (0, 1)]
        return _moved(course, shape, (-centre[0] * back[0], -centre[1] * back[1]), (back[0], back[1]))
    return _moved(course, shape, (centre[0], centre[1]), (stride[0], stride[1]))


def _pooling(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    course = _spatial(course)
    kernel = _two(node._saved_kernel_size)
    stride, padding = _two(node._saved_stride or kernel), _two(node._saved_padding)
    dilation = _two(getattr(node, "_saved_dilation", (1, 1)))
    centre = [dilation[n] * (kernel[n] - 1) / 2 - padding[n] for n in (0, 1)]
    return _moved(course, shape, (centre[0], centre[1]), stride)


def _patches(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    moved = _pooling(node, course, shape)
    kernel, stride, padding, dilation = (
        _two(getattr(node, f"_saved_{name}")) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    rows, columns = (
        (course.grid[n] + 2 * padding[n] - dilation[n] * (kernel[n] - 1) - 1) // stride[n] + 1 for n in (0, 1)
    )
    return replace(moved, grid=(rows, columns), dims=None)


def _upsampling(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    grid, course = (shape[-2], shape[-1]), _spatial(course)
    if getattr(node, "_saved_align_corners", False):
        if 1 in course.grid or 1 in grid:
            return _resized(course, grid, shape)
        stretch = [(before - 1) / (now - 1) for before, now in zip(course.grid, grid, strict=True)]
        return _moved(course, shape, (0.0, 0.0), (stretch[0], stretch[1]))
    shifts, stretches = [], []
    given = (node._saved_scales_h, node._saved_scales_w) if hasattr(node, "_saved_scales_h") else (None, None)
    for before, now, scale in zip(course.grid, grid, given, strict=True):
        stretch_ = before / now if scale is None else 1 / scale  # torch goes by the factor that was given
        shift = (stretch_ - 1) / 2
        if "Nearest" in node.name():
            half = 0.5 if "Exact" in node.name() else 0.0
            shift = sum(min(int((n + half) * stretch_ + 1e-6), before - 1) - n * stretch_ for n in range(now)) / now
        shifts.append(shift)
        stretches.append(stretch_)
    return _moved(course, shape, (shifts[0], shifts[1]), (stretches[0], stretches[1]))


def _shuffled(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    return _resized(_spatial(course), (shape[-2], shape[-1]), shape)


def _padded(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    pads = [_signed(n) for n in (node._saved_pad if hasattr(node, "_saved_pad") else node._saved_padding)]
    before = {len(shape) - 1 - n: pads[2 * n] for n in range(len(pads) // 2)}
    dims = course.dims
    if dims is None:
        return replace(course, shape=shape, exact=False)
    moved = _moved(course, shape, (-before.get(dims[0], 0), -before.get(dims[1], 0)), (1.0, 1.0))
    return replace(moved, grid=(shape[dims[0]], shape[dims[1]]), dims=dims)


def _sliced(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    sizes, dim = node._saved_self_sym_sizes, _signed(node._saved_dim)
    dim += len(shape) if dim < 0 else 0
    if course.dims is None or dim not in course.dims or len(sizes) != len(shape):
        return replace(course, shape=shape, exact=course.exact and (course.dims is not None or len(shape) < 4))
    start, step = _signed(node._saved_start), int(node._saved_step)
    start = min(max(start + int(sizes[dim]) if start < 0 else start, 0), int(sizes[dim]))
    return _cut(course, shape, course.dims.index(dim), start, step)


def _part(node: Any, number: int, course: Course) -> Course:
    """Return the course of one of a step's results, where it has several: the pieces of a split."""
    if name_of(node) not in ("Split", "UnsafeSplit", "SplitWithSizes"):
        return course
    dim = _signed(node._saved_dim) % len(course.shape)
    sizes = node._saved_split_sizes if hasattr(node, "_saved_split_sizes") else None
    size = int(sizes[number]) if sizes is not None else int(node._saved_split_size)
    start = sum(map(int, sizes[:number])) if sizes is not None else number * size
    shape = tuple(min(size, n - start) if i == dim else n for i, n in enumerate(course.shape))
    if course.dims is None or dim not in course.dims:
        return replace(course, shape=shape)
    return _cut(course, shape, course.dims.index(dim), start)


def _cut(course: Course, shape: tuple[int, ...], axis: int, start: float, every: float = 1.0) -> Course:
    """Return the course of what begins `start` cells further on, of every so many cells, along rows or columns."""
    assert course.dims is not None
    first, steps = [0.0, 0.0], [1.0, 1.0]
    first[axis], steps[axis] = start, every
    moved = _moved(course, shape, (first[0], first[1]), (steps[0], steps[1]))
    return replace(moved, grid=(shape[course.dims[0]], shape[course.dims[1]]), dims=course.dims)


def _whole(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course of pieces before it is known which of them is read."""
    return replace(course, shape=course.shape if len(shape) == len(course.shape) else shape)


def _rolled(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, exact=False)
    for dim, shift in zip(node._saved_dims, node._saved_shifts, strict=False):
        if (at := _signed(dim) % len(shape)) in course.dims:
            course = _cut(course, shape, course.dims.index(at), -_signed(shift))
    return replace(course, shape=shape)


def _windowed(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    dim = _signed(node._saved_dimension) % (len(shape) - 1)
    if course.dims is None or dim not in course.dims:
        return replace(course, shape=shape, exact=False)
    size, step = int(node._saved_size), int(node._saved_step)
    return _cut(course, shape, course.dims.index(dim), (size - 1) / 2, step)


def _scattered(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course behind a step that moves cells in ways that are not followed."""
    return replace(_inherited(course, shape), exact=False)


def _reduced(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course of a mean, sum or maximum; over all rows and columns it lies nowhere."""
    dims = getattr(node, "_saved_dim", ())
    over = {_signed(n) % len(course.shape) for n in (dims if isinstance(dims, tuple) else (dims,))}
    after = _inherited(course, shape)
    if course.dims is not None and (not over or set(course.dims) <= over):
        whole = max(s * n for s, n in zip(course.placement.step, course.grid, strict=True))
        return replace(after, coarsest=max(after.coarsest, whole))
    return after


def _permuted(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, dims=_dims(course.grid, shape))
    order = [_signed(n) % len(shape) for n in node._saved_dims]
    return replace(course, shape=shape, dims=(order.index(course.dims[0]), order.index(course.dims[1])))


def _transposed(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, dims=_dims(course.grid, shape))
    one, other = (_signed(n) % len(shape) for n in (node._saved_dim0, node._saved_dim1))
    swapped = {one: other, other: one}
    return replace(course, shape=shape, dims=tuple(swapped.get(d, d) for d in course.dims))  # type: ignore[arg-type]


def _reshaped(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    return replace(course, shape=shape, dims=_dims(course.grid, shape))


def _two(values: Any) -> tuple[int, int]:
    numbers = [int(n) for n in values]
    return (numbers[0], numbers[-1])


def _signed(number: int) -> int:
    """Return a number that autograd shows as unsigned: -1 as 2**64 - 1."""
    return int(number) - 2**64 if int(number) >= 2**63 else int(number)


_STEPS: dict[str, Callable[[Any, Course, tuple[int, ...]], Course]] = {
    **dict.fromkeys(("Convolution", "SlowConv2D"), _convolution),
    **dict.fromkeys(("MaxPool2DWithIndices", "MaxPool2D", "AvgPool2D"), _pooling),
    "Im2Col": _patches,
    **dict.fromkeys(
        ("UpsampleNearest2D", "UpsampleNearestExact2D", "UpsampleBilinear2D", "UpsampleBicubic2D"), _upsampling
    ),
    **dict.fromkeys(("UpsampleBilinear2DAa", "UpsampleBicubic2DAa"), _upsampling),
    **dict.fromkeys(("AdaptiveAvgPool2D", "AdaptiveMaxPool2D", "PixelShuffle", "PixelUnshuffle"), _shuffled),
    **dict.fromkeys(("ConstantPadNd", "ReflectionPad2D", "ReplicationPad2D"), _padded),
    "Slice": _sliced,
    **dict.fromkeys(("Split", "UnsafeSplit", "SplitWithSizes"), _whole),
    "Roll": _rolled,
    "Unfold": _windowed,
    **dict.fromkeys(("Flip", "Rot90", "GridSampler2D", "GridSampler"), _scattered),
    **dict.fromkeys(("Index", "IndexSelect", "Gather", "CopySlices", "Col2Im"), _scattered),
    **dict.fromkeys(("Mean", "Sum", "Std", "Var", "Amax", "Amin", "Logsumexp", "LinalgVectorNorm"), _reduced),
    "Permute": _permuted,
    "Transpose": _transposed,
    "T": _reshaped,
    **dict.fromkeys(("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze"), _reshaped),
}
"""What moves a grid, by autograd's name of the step; all else inherits."""
