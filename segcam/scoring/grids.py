"""Between a layer's grid and the image: bilinear upsampling, its transpose, and area averaging, all separable.

Bilinear upsampling is linear, so it is a matrix an axis: `upsampled = Uy L Ux^T`. A sum of an upsampled map over a
mask is then a sum of the small map over the mask pulled back, `<Uy L Ux^T, F> = <L, Uy^T F Ux>`, and no map need ever
be upsampled to be scored.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

Grid = tuple[int, int]
"""Rows and columns, of a layer's output or of an image."""


def upsample(maps: Float[Tensor, "b m h w"], size: Grid) -> Float[Tensor, "b m H W"]:
    """Upsample maps to `size` bilinearly, pixel centres aligned at half pixels (`align_corners=False`).

    Works downwards as well, without antialiasing, for a grid finer than the image.
    """
    return nnf.interpolate(maps, size=size, mode="bilinear", align_corners=False)


@lru_cache(maxsize=512)
def upsampling_matrix(n_in: int, n_out: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "n_out n_in"]:
    """Return the matrix of linear interpolation from `n_in` cells to `n_out`; each row sums to one.

    It is torch's own interpolation of the identity, made once and shared: do not write into it.
    """
    with torch.inference_mode(False), torch.no_grad():
        basis = torch.eye(n_in, dtype=torch.float64, device="cpu")[None]
        matrix = nnf.interpolate(basis, size=n_out, mode="linear", align_corners=False)[0].T
        return matrix.contiguous().to(device, dtype)


@lru_cache(maxsize=512)
def averaging_matrix(n_in: int, n_out: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "n_out n_in"]:
    """Return the matrix that averages `n_in` pixels over `n_out` cells of equal length; each row sums to one.

    A pixel that a cell covers in part counts by the part covered, `|cell i & pixel j| * n_out / n_in`, so the mean
    over cells is the mean over pixels for every pair of lengths. Made once and shared: do not write into it.
    """
    with torch.inference_mode(False), torch.no_grad():
        # In units of 1 / n_out of a pixel all ends are whole numbers, and the overlaps exact.
        cells = torch.arange(n_out, dtype=torch.float64, device="cpu")[:, None] * n_in
        pixels = torch.arange(n_in, dtype=torch.float64, device="cpu")[None, :] * n_out
        overlap = torch.minimum(cells + n_in, pixels + n_out) - torch.maximum(cells, pixels)
        return (overlap.clamp(min=0) / n_in).to(device, dtype)


def pull_back(fields: Float[Tensor, "b k H W"], grid: Grid) -> Float[Tensor, "b k h w"]:
    """Apply transposed bilinear upsampling, `Uy^T f Ux`: `(pull_back(f) * L).sum() == (f * upsample(L)).sum()`.

    Fields at input resolution are brought to the layer's grid and keep their sum, since every row of `Uy` and `Ux` sums
    to one.
    """
    rows, columns = fields.shape[-2:]
    if (rows, columns) == grid:
        return fields
    across = upsampling_matrix(grid[1], columns, fields.device, fields.dtype)
    down = upsampling_matrix(grid[0], rows, fields.device, fields.dtype)
    return down.T @ (fields @ across)


def to_grid(fields: Float[Tensor, "b k H W"], grid: Grid) -> Float[Tensor, "b k h w"]:
    """Average fields over the area of each cell of `grid`; exact also where cells cut pixels.

    They keep their mean, and a constant stays one. (Adaptive pooling does neither where cells cut pixels.)
    """
    rows, columns = fields.shape[-2:]
    if (rows, columns) == grid:
        return fields
    across = averaging_matrix(columns, grid[1], fields.device, fields.dtype)
    down = averaging_matrix(rows, grid[0], fields.device, fields.dtype)
    return down @ (fields @ across.T)


def edge_strength(luminance: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Return the magnitude of the Sobel gradient, `sqrt(gx^2 + gy^2)`, in luminance a pixel.

    `gx` is the image correlated with `[1 2 1]^T [-1 0 1] / 8`, `gy` with its transpose; the eighth makes a ramp of
    slope s have strength s. The outermost pixels are repeated beyond the image (scipy's mode 'nearest').
    scikit-image's `filters.sobel` is this times the root of two.

    Returns:
        Strengths in the unit of the luminance, a pixel, not negative; 0 everywhere for a constant image.
    """
    padded = nnf.pad(luminance[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, :, 2:] - padded[:, :, :-2]
    down = padded[:, 2:] - padded[:, :-2]
    gx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    gy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return torch.hypot(gx, gy) / 8
