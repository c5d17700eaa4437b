"""Tokens become grids: feature maps `(b, c, h, w)` from whatever a layer gives."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from segcam.errors import ProbeError
from segcam.probe.layers import Layer

MOST_PREFIX = 16
"""Class and register tokens before the image's own; a network with more of them needs a stride in its `Layer`."""


def token_grid(tokens: int, size: tuple[int, int], stride: int = 0) -> tuple[int, int] | None:
    """Return the grid on which tokens lie, in rows and columns.

    With cells of `stride` pixels an image of `H x W` has `ceil(H / stride) x ceil(W / stride)` of them; tokens before
    these (class, registers) belong to no place. Without a stride only cells that divide the image are thought of: those
    that account for all tokens, else those that leave a few such tokens, fewer than the image's own, if they agree.

    Args:
        tokens: number of tokens.
        size: height and width of the input, in pixels.
        stride: input pixels a cell, 0 where unknown.

    Returns:
        Rows and columns; None where no grid, or more than one, fits.

    >>> token_grid(96, (128, 192), 16), token_grid(97, (128, 192)), token_grid(17, (96, 96))
    ((8, 12), (8, 12), None)
    """
    if stride:
        rows, columns = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        return (rows, columns) if 0 <= tokens - rows * columns <= min(MOST_PREFIX, rows * columns) else None
    common = math.gcd(*size)
    grids = [(size[0] // cell, size[1] // cell) for cell in range(1, common + 1) if common % cell == 0]
    left = {grid: tokens - grid[0] * grid[1] for grid in grids}
    exact = [grid for grid in grids if left[grid] == 0]
    fitting = exact or [(r, c) for r, c in grids if 0 < left[r, c] <= min(MOST_PREFIX, r * c - 1)]
    return fitting[0] if len(fitting) == 1 else None


def as_maps(output: Float[Tensor, ...], layer: Layer, size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """Return a layer's output, or its gradient, as feature maps.

    Args:
        output: `(b, c, h, w)`; `(b, h, w, c)` where the layer's `form` says 'NHWC'; or tokens `(b, n, c)`, row by row,
            any class or register tokens first.
        layer: where it comes from.
        size: height and width of the input, in pixels.

    Raises:
        ProbeError: the tokens fit no grid.
    """
    if output.ndim == 4:
        return output.permute(0, 3, 1, 2) if layer.form == "NHWC" else output
    count = output.shape[1]
    grid = token_grid(count, size, layer.stride)
    if grid is None:
        given = f"of stride {layer.stride}" if layer.stride else "of cells that divide it, or more than one,"
        raise ProbeError(
            f"layer '{layer.label}' gave {count} tokens, which fit no grid {given} for an input of {size[0]} x "
            f"{size[1]}: say how many pixels a token covers with Layer(module='{layer.module}', label=..., stride=...)"
        )
    rows, columns = grid
    placed = output[:, count - rows * columns :]
    return placed.transpose(1, 2).reshape(output.shape[0], output.shape[2], rows, columns)
