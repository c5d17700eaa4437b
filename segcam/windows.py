"""Windows of gradients: where, in each image of a batch, a gradient is not zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

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
