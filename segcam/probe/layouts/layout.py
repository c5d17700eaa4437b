"""Layout: how a layer's output is laid out, and its feature maps `(b, c, h, w)`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import ProbeError
from segcam.probe.layers import Form, Layer
from segcam.probe.layouts.grids import of_tokens
from segcam.scoring.grids import Grid


@dataclass(frozen=True, slots=True)
class Windows:
    """How a block cut its grid into windows, all of which run as one batch.

    Attributes:
        size: rows and columns of a window.
        shift: by how many rows and columns the grid was turned before it was cut.
        pads_first: whether it was filled up to whole windows before it was turned, or after.
    """

    size: Grid
    shift: Grid
    pads_first: bool

    def counts(self, grid: Grid) -> Grid:
        """Return how many windows lie below and beside each other."""
        return -(-grid[0] // self.size[0]), -(-grid[1] // self.size[1])

    def filled(self, grid: Grid) -> Grid:
        """Return the rows and columns of all windows together."""
        down, across = self.counts(grid)
        return down * self.size[0], across * self.size[1]

    def joined(self, output: Float[Tensor, "n ..."], grid: Grid) -> Float[Tensor, "b h w c"]:
        """Put the windows `(b * windows, ..., c)` back to where they were."""
        (down, across), (rows, columns), channels = self.counts(grid), self.size, output.shape[-1]
        whole = output.reshape(-1, down, across, rows, columns, channels)
        whole = whole.transpose(2, 3).reshape(-1, down * rows, across * columns, channels)
        if not self.pads_first:
            whole = whole[:, : grid[0], : grid[1]]
        whole = torch.roll(whole, self.shift, (1, 2))
        return whole[:, : grid[0], : grid[1]]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a layer's output is laid out.

    Attributes:
        form: the order of its dimensions, see `Layer.form`.
        grid: rows and columns on which its cells lie.
        prefix: tokens before the image's own, which belong to no place.
        windows: how the grid was cut, where windows are folded into the batch.
    """

    form: Form
    grid: Grid
    prefix: int = 0
    windows: Windows | None = None

    @property
    def axis(self) -> int:
        """The axis of the channels."""
        return {"NCHW": 1, "NCL": 1, "NHWC": 3}.get(self.form, 2)

    def maps(self, output: Float[Tensor, ...]) -> Float[Tensor, "b c h w"]:
        """Return an output of the layer, or its gradient, as feature maps: a view, but for windows."""
        if self.windows is not None:
            return self.windows.joined(output, self.grid).permute(0, 3, 1, 2)
        if self.form == "NCHW":
            return output
        if self.form == "NHWC":
            return output.permute(0, 3, 1, 2)
        orders = {"NLC": (0, 2, 1), "LNC": (1, 2, 0), "NCL": (0, 1, 2)}
        tokens = output.permute(orders[self.form])
        cells = self.grid[0] * self.grid[1]
        return torch.unflatten(tokens[:, :, self.prefix : self.prefix + cells], 2, self.grid)


AS_IT_IS = Layout("NCHW", (0, 0))
"""The layout of tensors that stay as they are, whatever they hold."""


def of_known(layer: Layer, shape: tuple[int, ...], size: Grid) -> Layout:
    """Return the layout of a layer that is described in full, as those of the architectures here are.

    Args:
        layer: with its stride, and its form where that is not `(b, c, h, w)` or tokens `(b, n, c)`.
        shape: of its output; class and register tokens come first.
        size: height and width of the input, in pixels.

    Raises:
        ProbeError: its tokens fit no grid of its stride.
    """
    if len(shape) == 4:
        last = layer.form == "NHWC"
        return Layout("NHWC", (shape[1], shape[2])) if last else Layout("NCHW", (shape[2], shape[3]))
    grid = of_tokens(shape[1], size, layer.stride) if layer.stride else None
    if grid is None:
        raise ProbeError(
            f"layer '{layer.label}' gave {shape[1]} tokens, which fit no grid of stride {layer.stride} for an input of "
            f"{size[0]} x {size[1]}: correct the stride of its Layer"
        )
    return Layout("NLC", grid, shape[1] - grid[0] * grid[1])
