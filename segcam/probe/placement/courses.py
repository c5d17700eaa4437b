"""Where a layer's grid lies on the image: composed over convolutions, pooling and upsampling, or measured.

Autograd's graph knows every step from the input to a layer, functional calls as well as modules: kernels, strides,
paddings, crops, upsamplings. Each of them moves the centre of cell 0 and stretches the step. Pointwise steps,
normalisations and attention leave both as they are: an output of attention lies where its query does. Where branches
meet that have come over grids of unlike coarseness, as a U-Net's skip connection and its upsampled features, the finer
one says where the grid lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from segcam.probe.network.steps import name_of
from segcam.probe.placement.course import Course, cut, inherited, of_input
from segcam.probe.placement.geometry import STEPS, signed
from segcam.scoring.grids import Grid, Placement

Placing = Literal["stretched", "receptive_field"]
"""How maps are laid over the image: stretched over it, the paper's plain upsampling, or where their cells look."""


def courses(outputs: Sequence[Tensor], source: Any, size: Grid) -> list[Course | None]:
    """Follow autograd's graph from the input to each output.

    Args:
        outputs: what a pass gave, with its graph.
        source: the graph's node that made the input.
        size: height and width of the input, in pixels.

    Returns:
        For each output where it lies; None where it does not come from the input.
    """
    done: dict[Any, Course | None] = {source: of_input(size)}
    found = []
    for output in outputs:
        course = None if output.grad_fn is None else _follow(output.grad_fn, done)
        found.append(None if course is None else _part(output.grad_fn, output.output_nr, course))
    return found


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
    step = STEPS.get(name)
    if step is not None:
        return step(node, course, shape)
    return inherited(course, shape)


def _met(before: Sequence[Course], cat: bool) -> Course:
    """Choose among branches that meet: the finest way; of equally fine ones their mean, as of interleaved slices."""
    finest = min(course.coarsest for course in before)
    finer = [course for course in before if course.coarsest <= finest * (1 + 1e-6)]
    largest = max(course.grid for course in finer)
    same = [course for course in finer if course.grid == largest]
    same = [course for course in same if course.mirrored == same[0].mirrored]
    origin = tuple(sum(course.placement.origin[n] for course in same) / len(same) for n in (0, 1))
    apart = max(
        (abs(one.placement.origin[n] - origin[n]) for one in before if one.grid == largest for n in (0, 1)), default=0.0
    )
    sliced = cat and len(same) == len(before) and min(min(c.placement.step) for c in same) > 1
    alike = all(course.mirrored == same[0].mirrored for course in before)
    agreed = alike and all(course.agreed for course in before) and (sliced or apart < 1e-6)
    exact = all(course.exact for course in same)
    chosen = same[0]
    placement = Placement((origin[0], origin[1]), chosen.placement.step)
    return replace(chosen, placement=placement, agreed=agreed, exact=exact)


def _part(node: Any, number: int, course: Course) -> Course:
    """Return the course of one of a step's results, where it has several: the pieces of a split."""
    if name_of(node) not in ("Split", "UnsafeSplit", "SplitWithSizes"):
        return course
    dim = signed(node._saved_dim) % len(course.shape)
    sizes = node._saved_split_sizes if hasattr(node, "_saved_split_sizes") else None
    size = int(sizes[number]) if sizes is not None else int(node._saved_split_size)
    start = sum(map(int, sizes[:number])) if sizes is not None else number * size
    shape = tuple(min(size, n - start) if i == dim else n for i, n in enumerate(course.shape))
    if course.dims is None or dim not in course.dims:
        return replace(course, shape=shape)
    return cut(course, shape, course.dims.index(dim), start)
