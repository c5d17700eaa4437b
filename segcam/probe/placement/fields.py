"""Effective receptive fields: how wide the part of the input is that a layer's cells answer to."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.scoring.grids import Grid


def places(grid: Grid, cells: int) -> list[tuple[int, int]]:
    """Return `cells x cells` cells spread evenly over a grid, each once: those at the middle of as many equal parts."""
    rows, columns = (sorted({int((n + 0.5) / cells * side) for n in range(cells)}) for side in grid)
    return [(i, j) for i in rows for j in columns]


def of_cells(
    maps: Float[Tensor, "b c h w"], images: Float[Tensor, "b ch H W"], cells: int, seed: int
) -> Float[Tensor, "b n"]:
    """Return the widths of the input gradients of some cells, see `width`.

    Args:
        maps: what a layer gave for the images, with its graph; it is kept.
        images: the input, with its gradient.
        cells: along each axis, spread evenly.
        seed: of the random combination of channels that is differentiated: the same for layers of as many channels.

    Returns:
        Pixels, for each image and its `n` cells; NaN where the gradient is zero.
    """
    random = torch.Generator().manual_seed(seed)
    widths = []
    for i, j in places((int(maps.shape[2]), int(maps.shape[3])), cells):
        weights = torch.randn(maps.shape[:2], generator=random).to(maps)
        score = (maps[:, :, i, j] * weights).sum()
        (gradient,) = torch.autograd.grad(score, images, retain_graph=True, allow_unused=True)
        widths.append(width(torch.zeros_like(images) if gradient is None else gradient))
    return torch.stack(widths, 1)


def width(gradients: Float[Tensor, "b ch H W"]) -> Float[Tensor, " b"]:
    """Return how wide each input gradient's magnitude is spread: the side of an even square that is as wide.

    `sqrt(1 + 6 sum_p g_p |p - c|^2 / sum_p g_p)`, with g the sum of the absolute gradients over channels and c its
    centroid: of a square of S x S pixels that count alike, S.

    Returns:
        Pixels, from 1; NaN where the gradient is zero.
    """
    energy = gradients.detach().double().abs().sum(1)
    energy = energy / energy.sum((1, 2), keepdim=True)
    squares = torch.zeros(len(energy), dtype=torch.float64, device=energy.device)
    for axis in (1, 2):
        along = energy.sum(3 - axis)
        at = torch.arange(along.shape[1], dtype=torch.float64, device=energy.device)
        centre = along @ at
        squares += (along * (at - centre[:, None]).square()).sum(1)
    return (1 + 6 * squares).sqrt().cpu()
