"""Centroids: where the evidence of a layer's cells comes from, measured by the input gradient."""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.scoring.grids import Placement


def of_middle_cells(
    maps: Float[Tensor, "b c h w"], images: Float[Tensor, "b ch H W"], seed: int
) -> Float[Tensor, "b n 2"]:
    """Return the centroids of the input gradients of the middle cells, relative to those of a stretched grid.

    Args:
        maps: what a layer gave for the images, with its graph; it is kept.
        images: the input, with its gradient.
        seed: of the random combination of channels that is differentiated.

    Returns:
        Down and across, in pixels, for each of one, two or four cells; NaN where the gradient is zero.
    """
    grid, size = ((int(t.shape[2]), int(t.shape[3])) for t in (maps, images))
    places = Placement.stretched(grid, size)
    random = torch.Generator().manual_seed(seed)
    offsets = []
    for i, j in product(*(sorted({(cells - 1) // 2, cells // 2}) for cells in grid)):
        weights = torch.randn(maps.shape[:2], generator=random).to(maps)
        score = (maps[:, :, i, j] * weights).sum()
        (gradient,) = torch.autograd.grad(score, images, retain_graph=True, allow_unused=True)
        steps = zip(places.origin, places.step, (i, j), strict=True)
        centre = torch.tensor([origin + step * n for origin, step, n in steps])
        offsets.append(measured(torch.zeros_like(images) if gradient is None else gradient) - centre)
    return torch.stack(offsets, 1)


def measured(gradients: Float[Tensor, "b ch H W"]) -> Float[Tensor, "b 2"]:
    """Return the centroid of each input gradient's magnitude, in pixels: where the evidence of a cell came from.

    Args:
        gradients: the derivatives of one cell's activations by the input.

    Returns:
        Row and column; NaN where the gradient is zero.
    """
    energy = gradients.detach().double().abs().sum(1)
    sides = [torch.arange(n, dtype=torch.float64, device=energy.device) for n in energy.shape[1:]]
    rows, columns = (energy.sum(2 - n) @ sides[n] for n in (0, 1))
    return (torch.stack([rows, columns], 1) / energy.sum((1, 2))[:, None]).cpu()
