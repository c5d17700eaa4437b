"""Geometry: how each of autograd's steps moves, stretches, cuts or scatters a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from segcam.probe.placement.course import Course, cut, dims_of, inherited, mirrored, moved, resized, rolled, spatial


def _convolution(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    kernel = [int(n) for n in node._saved_weight.shape[2:]]
    stride, padding, dilation = (list(getattr(node, f"_saved_{name}")) for name in ("stride", "padding", "dilation"))
    if len(kernel) not in (2, 3):
        along = inherited(course, shape)  # rows, columns, tokens or channels: which is not told
        return along if (kernel, stride) == ([1], [1]) else replace(along, exact=False)
    course = spatial(course)
    kernel, stride, padding, dilation = (values[-2:] for values in (kernel, stride, padding, dilation))
    centre = [dilation[n] * (kernel[n] - 1) / 2 - padding[n] for n in (0, 1)]
    if node._saved_transposed:
        back = [1 / stride[n] for n in (0, 1)]
        return moved(course, shape, (-centre[0] * back[0], -centre[1] * back[1]), (back[0], back[1]))
    return moved(course, shape, (centre[0], centre[1]), (stride[0], stride[1]))


def _pooling(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    course = spatial(course)
    kernel = _two(node._saved_kernel_size)
    stride, padding = _two(node._saved_stride or kernel), _two(node._saved_padding)
    dilation = _two(getattr(node, "_saved_dilation", (1, 1)))
    centre = [dilation[n] * (kernel[n] - 1) / 2 - padding[n] for n in (0, 1)]
    return moved(course, shape, (centre[0], centre[1]), stride)


def _patches(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    after = _pooling(node, course, shape)
    kernel, stride, padding, dilation = (
        _two(getattr(node, f"_saved_{name}")) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    rows, columns = (
        (course.grid[n] + 2 * padding[n] - dilation[n] * (kernel[n] - 1) - 1) // stride[n] + 1 for n in (0, 1)
    )
    return replace(after, grid=(rows, columns), dims=None)


def _upsampling(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    grid, course = (shape[-2], shape[-1]), spatial(course)
    if getattr(node, "_saved_align_corners", False):
        if 1 in course.grid or 1 in grid:
            return resized(course, grid, shape)
        stretch = [(before - 1) / (now - 1) for before, now in zip(course.grid, grid, strict=True)]
        return moved(course, shape, (0.0, 0.0), (stretch[0], stretch[1]))
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
    return moved(course, shape, (shifts[0], shifts[1]), (stretches[0], stretches[1]))


def _shuffled(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    return resized(spatial(course), (shape[-2], shape[-1]), shape)


def _padded(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    pads = [signed(n) for n in (node._saved_pad if hasattr(node, "_saved_pad") else node._saved_padding)]
    before = {len(shape) - 1 - n: pads[2 * n] for n in range(len(pads) // 2)}
    dims = course.dims
    if dims is None:
        return replace(course, shape=shape, exact=False)
    after = moved(course, shape, (-before.get(dims[0], 0), -before.get(dims[1], 0)), (1.0, 1.0))
    return replace(after, grid=(shape[dims[0]], shape[dims[1]]), dims=dims)


def _sliced(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    sizes, dim = node._saved_self_sym_sizes, signed(node._saved_dim)
    dim += len(shape) if dim < 0 else 0
    if course.dims is None or dim not in course.dims or len(sizes) != len(shape):
        return replace(course, shape=shape, exact=course.exact and (course.dims is not None or len(shape) < 4))
    start, step = signed(node._saved_start), int(node._saved_step)
    start = min(max(start + int(sizes[dim]) if start < 0 else start, 0), int(sizes[dim]))
    return cut(course, shape, course.dims.index(dim), start, step)


def _whole(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course of pieces before it is known which of them is read."""
    return replace(course, shape=course.shape if len(shape) == len(course.shape) else shape)


def _rolled(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, exact=False)
    for dim, shift in zip(node._saved_dims, node._saved_shifts, strict=False):
        if (at := signed(dim) % len(shape)) in course.dims:
            course = rolled(course, shape, course.dims.index(at), signed(shift))
    return replace(course, shape=shape)


def _windowed(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    dim = signed(node._saved_dimension) % (len(shape) - 1)
    if course.dims is None or dim not in course.dims:
        return replace(course, shape=shape, exact=False)
    size, step = int(node._saved_size), int(node._saved_step)
    return cut(course, shape, course.dims.index(dim), (size - 1) / 2, step)


def _flipped(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, exact=False)
    for dim in node._saved_dims:
        if (at := signed(dim) % len(shape)) in course.dims:
            course = mirrored(course, shape, course.dims.index(at))
    return replace(course, shape=shape)


def _quarter_turned(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course after a turn by 90 degrees, which says of rows and columns alone that they lie otherwise."""
    down, across = course.mirrored
    turns = node._saved_k % 4
    flags = course.mirrored if turns == 0 else (not down, not across)
    return replace(inherited(course, shape), exact=course.exact and turns == 0, mirrored=flags)


def _selected(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    of_cells = course.dims is not None and signed(node._saved_dim) % (len(shape) + 1) in course.dims
    return replace(inherited(course, shape), exact=course.exact and not of_cells)


def _scattered(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course behind a step that moves cells in ways that are not followed."""
    return replace(inherited(course, shape), exact=False)


def _reduced(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course of a mean, sum or maximum; over all rows and columns it lies nowhere."""
    dims = getattr(node, "_saved_dim", ())
    over = {signed(n) % len(course.shape) for n in (dims if isinstance(dims, tuple) else (dims,))}
    after = inherited(course, shape)
    if course.dims is not None and (not over or set(course.dims) <= over):
        whole = max(s * n for s, n in zip(course.placement.step, course.grid, strict=True))
        return replace(after, coarsest=max(after.coarsest, whole))
    return after


def _permuted(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, dims=dims_of(course.grid, shape))
    order = [signed(n) % len(shape) for n in node._saved_dims]
    return replace(course, shape=shape, dims=(order.index(course.dims[0]), order.index(course.dims[1])))


def _transposed(node: Any, course: Course, shape: tuple[int, ...]) -> Course:
    if course.dims is None:
        return replace(course, shape=shape, dims=dims_of(course.grid, shape))
    one, other = (signed(n) % len(shape) for n in (node._saved_dim0, node._saved_dim1))
    swapped = {one: other, other: one}
    return replace(course, shape=shape, dims=tuple(swapped.get(d, d) for d in course.dims))  # type: ignore[arg-type]


def _reshaped(_: Any, course: Course, shape: tuple[int, ...]) -> Course:
    return replace(course, shape=shape, dims=dims_of(course.grid, shape))


def signed(number: int) -> int:
    """Return a number that autograd shows as unsigned: -1 as 2**64 - 1."""
    return int(number) - 2**64 if int(number) >= 2**63 else int(number)


def _two(values: Any) -> tuple[int, int]:
    numbers = [int(n) for n in values]
    return (numbers[0], numbers[-1])


STEPS: dict[str, Callable[[Any, Course, tuple[int, ...]], Course]] = {
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
    "Flip": _flipped,
    "Rot90": _quarter_turned,
    "Select": _selected,
    **dict.fromkeys(("GridSampler2D", "GridSampler", "Col2Im"), _scattered),
    **dict.fromkeys(("Index", "IndexSelect", "Gather", "CopySlices"), _scattered),
    **dict.fromkeys(("Mean", "Sum", "Std", "Var", "Amax", "Amin", "Logsumexp", "LinalgVectorNorm"), _reduced),
    "Permute": _permuted,
    "Transpose": _transposed,
    "T": _reshaped,
    **dict.fromkeys(("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze"), _reshaped),
}
"""What moves a grid, by autograd's name of the step; all else inherits."""
