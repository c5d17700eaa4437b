"""Survey: where the grids of a network's layers, and of its output, lie on inputs of one size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from segcam.errors import ProbeError
from segcam.probe.chosen import MIRRORED, NOT_FROM_INPUT, LeftOut
from segcam.probe.placement.course import Course, on_grid
from segcam.scoring.grids import Grid, Placement


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a layer's grid lies on the input.

    Attributes:
        placement: by the steps that lead to the layer.
        offset: how far the grid's middle lies from that of one stretched over the input, down and across, in pixels.
        agreed: whether all branches that meet on the way agree; where they do not, the finer ones count, and evidence
            from the coarser ones lies elsewhere.
        exact: whether the geometry of every step on the way is known.
    """

    placement: Placement
    offset: tuple[float, float]
    agreed: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """What following a pass back to its input has shown.

    Attributes:
        size: height and width of the input, in pixels.
        courses: of each layer, by label; None where it does not come from the input.
        grids: of the layers' maps.
        output: of the network's output.
        end: the last step of the pass, see `segcam.probe.targets.outputs.last_step`.
    """

    size: Grid
    courses: Mapping[str, Course | None]
    grids: Mapping[str, Grid]
    output: Course | None
    end: str

    def nowhere(self, label: str) -> LeftOut | None:
        """Return why a layer lies nowhere on the input; None where it does."""
        course = self.courses[label]
        if course is None:
            return NOT_FROM_INPUT
        return MIRRORED if any(course.mirrored) else None

    def placed(self, label: str) -> Placed:
        """Return where a layer lies.

        Raises:
            ProbeError: it does not come from the input, or lies mirrored on it.
        """
        course, nowhere = self.courses[label], self.nowhere(label)
        if nowhere is not None:
            raise ProbeError(f"layer '{label}' {nowhere.reason}: {nowhere.cure}")
        assert course is not None
        placement = on_grid(course, self.grids[label])
        return Placed(placement, placement.offset(self.grids[label], self.size), course.agreed, course.exact)

    def unless_stretched(self, label: str) -> Placement | None:
        """Return where a layer lies; None where that is what stretching it over the input says.

        Raises:
            ProbeError: see `placed`.
        """
        placement = self.placed(label).placement
        return None if placement.is_stretched(self.grids[label], self.size) else placement

    def if_elsewhere(self, label: str) -> Placement | None:
        """Return where a layer lies if stretching it over the input is off by more than half a cell; else None."""
        course, grid = self.courses[label], self.grids[label]
        if course is None or not course.exact:
            return None
        placement = on_grid(course, grid)
        return None if placement.all_but_stretched(grid, self.size) else placement

    def of_output(self, grid: Grid) -> Placement | None:
        """Return where an output on `grid` lies on the input; None where it spans it, up to half a cell a side.

        Raises:
            ProbeError: that cannot be told, and the sizes have neither a factor nor a constant between them.
        """
        if self.output is not None and self.output.exact:
            placement = on_grid(self.output, grid)
            return None if placement.all_but_stretched(grid, self.size) else placement
        if divides(grid, self.size):
            return None
        missing = (self.size[0] - grid[0], self.size[1] - grid[1])
        if missing[0] == missing[1] > 0:
            return Placement((missing[0] / 2, missing[1] / 2), (1.0, 1.0))
        raise ProbeError(
            f"the network's output is {grid[0]} x {grid[1]} for an input of {self.size[0]} x {self.size[1]}: they "
            "differ by neither a factor nor a constant, so that no one knows where it lies; wrap the network in a "
            "Module that returns an output of the input's size"
        )


def divides(grid: Grid, size: Grid) -> bool:
    """Tell whether cells of a whole number of pixels make this grid of an input, up to a last one that is not full."""
    return all(_factor(one, other) for one, other in zip(size, grid, strict=True))


def _factor(pixels: int, cells: int) -> bool:
    """Tell whether one side is a whole multiple of the other, up to a last cell that is not full."""
    if cells >= pixels:
        return cells % pixels == 0
    factor = pixels / cells
    factors = {max(math.floor(factor), 2), max(math.ceil(factor), 2)}
    return any(cells in (pixels // one, math.ceil(pixels / one)) for one in factors)
