"""Windows of a batch's gradients outside which there are only zeros, and what operations make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

SMALL = 1 / 4
"""The largest share of a gradient's cells in a window that is computed alone."""


class Spans(NamedTuple):
    """A range of cells along one side, for each image of a batch: all of one size and inside the tensor."""

    starts: tuple[int, ...]
    size: int

    def times(self, stride: int) -> Spans:
        """Return the ranges on a grid of which `stride` cells lie in one of these."""
        return Spans(tuple(start * stride for start in self.starts), self.size * stride)

    def hull(self, other: Spans) -> Spans:
        """Return the smallest ranges of one size around two."""
        starts = [min(pair) for pair in zip(self.starts, other.starts, strict=True)]
        ends = [max(a + self.size, b + other.size) for a, b in zip(self.starts, other.starts, strict=True)]
        size = max(end - start for start, end in zip(starts, ends, strict=True))
        last = max(ends)  # the tensor's edge is not known here, but no range ended beyond this
        return Spans(tuple(min(start, last - size) for start in starts), size)

    def read_by(self, cells: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[list[int], Spans]:
        """Return where the input cells begin that a convolution reads for these, and the ranges inside 0..cells."""
        starts = [start * stride - padding for start in self.starts]
        size = min((self.size - 1) * stride + dilation * (kernel - 1) + 1, cells)
        return starts, Spans(tuple(min(max(start, 0), cells - size) for start in starts), size)

    def upsampled_from(self, stride: int, cells: int) -> Spans:
        """Return from which of the `cells` cells an upsampling by `stride` made these."""
        size = max((start + self.size - 1) // stride - start // stride + 1 for start in self.starts)
        return Spans(tuple(min(start // stride, cells - size) for start in self.starts), size)


@dataclass(frozen=True)
class Windows:
    """A window in each image of a batch; outside there are only zeros."""

    rows: Spans
    columns: Spans

    def small_in(self, shape: Sequence[int]) -> bool:
        """Return whether it is worth while to compute on the windows alone in a gradient `(b, c, h, w)`."""
        return self.rows.size * self.columns.size <= SMALL * shape[2] * shape[3]

    def hull(self, other: Windows) -> Windows:
        """Return the smallest windows of one size around two."""
        return Windows(self.rows.hull(other.rows), self.columns.hull(other.columns))

    @cached_property
    def cells(self) -> tuple[Int[Tensor, "b 1 1"], Int[Tensor, "b h 1"], Int[Tensor, "b 1 w"]]:
        """The images, rows and columns of the windows' cells, as indices."""
        rows, columns = (
            torch.tensor(spans.starts)[:, None] + torch.arange(spans.size) for spans in (self.rows, self.columns)
        )
        return torch.arange(len(rows))[:, None, None], rows[:, :, None], columns[:, None]

    def cut(self, stack: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Return the windows of a stack, in its memory format."""
        values = stack.permute(0, 2, 3, 1)[self.cells].permute(0, 3, 1, 2)
        return values.contiguous() if stack.is_contiguous() else values

    def lay(
        self, values: Float[Tensor, "b c h2 w2"], shape: Sequence[int], layout: torch.memory_format
    ) -> Float[Tensor, "b c h w"]:
        """Return zeros of the shape with the values laid into the windows."""
        stack = torch.empty(tuple(shape), dtype=values.dtype, device=values.device, memory_format=layout).zero_()
        stack.permute(0, 2, 3, 1)[self.cells] = values.permute(0, 2, 3, 1)
        return stack

    def see(
        self, values: Float[Tensor, "b c h2 w2"], tops: Sequence[int], lefts: Sequence[int]
    ) -> Float[Tensor, "b c h w"]:
        """Return what these windows see of values whose corners lie at `tops` and `lefts`; zeros beside them."""
        size = (*values.shape[:2], self.rows.size, self.columns.size)
        if tuple(tops) == self.rows.starts and tuple(lefts) == self.columns.starts and values.shape == size:
            return values
        layout = torch.contiguous_format if values.is_contiguous() else torch.channels_last
        stack = torch.empty(size, dtype=values.dtype, device=values.device, memory_format=layout).zero_()
        for n, image in enumerate(values):
            down, across = tops[n] - self.rows.starts[n], lefts[n] - self.columns.starts[n]
            y, x = max(down, 0), max(across, 0)
            inside = image[:, max(-down, 0) : size[2] - down, max(-across, 0) : size[3] - across]
            stack[n, :, y : y + inside.shape[1], x : x + inside.shape[2]] = inside
        return stack


def nonzero(gradient: Float[Tensor, "b c h w"]) -> Windows:
    """Return the smallest windows that hold all that is not zero; of one cell where there is nothing."""
    hot = (gradient != 0).any(1)
    return Windows(_spans(hot.any(2)), _spans(hot.any(1)))


def _spans(hot: Tensor) -> Spans:
    cells = hot.shape[1]
    first = hot.byte().argmax(1)
    end = cells - hot.flip(1).byte().argmax(1)
    size = max(1, int(((end - first) * hot.any(1)).max()))
    return Spans(tuple(first.clamp(max=cells - size).tolist()), size)
