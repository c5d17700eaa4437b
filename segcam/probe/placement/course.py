"""Course: where a tensor lies on the input, and how it lies after a step that moves, stretches or cuts its grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

from segcam.scoring.grids import Grid, Placement

Pair = tuple[float, float]


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
        size: height and width of the input, in pixels.
        mirrored: whether rows and columns run the other way than the input's; the placement is on an input that is
            mirrored as well.
        rolled: how far rolling the grid has moved the placement, in pixels.
    """

    placement: Placement
    grid: Grid
    shape: tuple[int, ...]
    dims: tuple[int, int] | None
    coarsest: float
    size: Grid
    agreed: bool = True
    exact: bool = True
    mirrored: tuple[bool, bool] = (False, False)
    rolled: Pair = (0.0, 0.0)


def of_input(size: Grid) -> Course:
    """Return the course of the input itself, of so many rows and columns."""
    return Course(Placement((0.0, 0.0), (1.0, 1.0)), size, (1, 1, *size), (2, 3), 1.0, size)


def on_grid(course: Course, grid: Grid) -> Placement:
    """Return the placement of a layer's maps on `grid`, whatever the tensor's shape said of it.

    Tokens made by reshaping, and windows put together again, come with another grid than they were followed with: they
    span the same pixels.
    """
    if course.grid == grid:
        return course.placement
    return resized(course, grid, course.shape).placement


def moved(course: Course, shape: tuple[int, ...], shift: Pair, stretch: Pair) -> Course:
    """Return the course after a step that shifts the first centre by `shift` cells and stretches the step."""
    (oy, ox), (sy, sx) = course.placement.origin, course.placement.step
    placement = Placement((oy + sy * shift[0], ox + sx * shift[1]), (sy * stretch[0], sx * stretch[1]))
    grid = (shape[-2], shape[-1]) if len(shape) >= 2 else course.grid
    dims = (len(shape) - 2, len(shape) - 1)
    return replace(
        course, placement=placement, grid=grid, shape=shape, dims=dims, coarsest=max(course.coarsest, *placement.step)
    )


def resized(course: Course, grid: Grid, shape: tuple[int, ...]) -> Course:
    """Return the course after the grid was resized and spans what it did before."""
    stretch = (course.grid[0] / grid[0], course.grid[1] / grid[1])
    shift = ((stretch[0] - 1) / 2, (stretch[1] - 1) / 2)
    return replace(moved(course, shape, shift, stretch), grid=grid)


def inherited(course: Course, shape: tuple[int, ...]) -> Course:
    """Return the course after a step that is not known to move anything; a spatial shape that changed was resized."""
    if course.dims is not None and len(shape) == len(course.shape) and max(course.dims) < len(shape):
        grid = (shape[course.dims[0]], shape[course.dims[1]])
        if grid == course.grid:
            return replace(course, shape=shape)
        if len(shape) == 4 and course.dims == (2, 3) and min(grid) > 0:
            return replace(resized(course, grid, shape), exact=False)
    return replace(course, shape=shape, dims=dims_of(course.grid, shape))


def dims_of(grid: Grid, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Find rows and columns again in a tensor that was reshaped."""
    places = [n for n in range(1, len(shape) - 1) if shape[n : n + 2] == grid]
    if len(shape) not in (4, 5) or len(places) != 1:
        return None  # rows and channels of one number cannot be told apart
    return places[0], places[0] + 1


def spatial(course: Course) -> Course:
    """Return the course of feature maps `(b, c, h, w)` with their own grid, should that have been lost on the way."""
    if len(course.shape) not in (4, 5) or course.shape[-2:] == course.grid:
        return course
    return resized(course, (course.shape[-2], course.shape[-1]), course.shape)


def cut(course: Course, shape: tuple[int, ...], axis: int, start: float, every: float = 1.0) -> Course:
    """Return the course of what begins `start` cells further on, of every so many cells, along rows or columns."""
    assert course.dims is not None
    first, steps = [0.0, 0.0], [1.0, 1.0]
    first[axis], steps[axis] = start, every
    after = moved(course, shape, (first[0], first[1]), (steps[0], steps[1]))
    return replace(after, grid=(shape[course.dims[0]], shape[course.dims[1]]), dims=course.dims)


def rolled(course: Course, shape: tuple[int, ...], axis: int, by: int) -> Course:
    """Return the course after rows or columns were rolled by so many cells; those that wrap around are forgotten."""
    way = [0.0, 0.0]
    way[axis] = -by * course.placement.step[axis]
    total = (course.rolled[0] + way[0], course.rolled[1] + way[1])
    return replace(cut(course, shape, axis, -by), rolled=total)


def in_place(course: Course, filled: Grid, grid: Grid) -> Course:
    """Return the course of windows that are put back: not rolled, and on the grid without what filled the last ones."""
    (oy, ox), (ry, rx) = course.placement.origin, course.rolled
    back = replace(course, placement=Placement((oy - ry, ox - rx), course.placement.step), rolled=(0.0, 0.0))
    return replace(back, grid=grid) if course.grid == filled else back


def mirrored(course: Course, shape: tuple[int, ...], axis: int) -> Course:
    """Return the course after rows or columns were put in reverse order: it goes on in an input that is mirrored."""
    origin, flags = list(course.placement.origin), list(course.mirrored)
    last = origin[axis] + course.placement.step[axis] * (course.grid[axis] - 1)
    origin[axis], flags[axis] = course.size[axis] - 1 - last, not flags[axis]
    placement = Placement((origin[0], origin[1]), course.placement.step)
    return replace(course, placement=placement, shape=shape, mirrored=(flags[0], flags[1]))
