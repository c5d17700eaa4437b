"""Between a layer's grid and the image: bilinear upsampling, its transpose, and area averaging, all separable.

Bilinear upsampling is linear, so it is a matrix an axis: `upsampled = Uy L Ux^T`. A sum of an upsampled map over a
mask is then a sum of the small map over the mask pulled back, `<Uy L Ux^T, F> = <L, Uy^T F Ux>`, and no map need ever
be upsampled to be scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import real, whole
from segcam.errors import InputError, shown
from segcam.precision import in_full_precision

Grid = tuple[int, int]
"""Rows and columns, of a layer's output or of an image."""

Axis = tuple[float, float]
"""Where cells lie along one axis of an image: the centre of cell 0 and the step to the next, in pixels."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a grid lies on an image: the centre of cell `(i, j)` is `origin + step * (i, j)`.

    Pixel centres are whole numbers, from `(0, 0)`. A grid that is stretched over the image has the step
    `S = pixels / cells` and its first centre at `(S - 1) / 2`: what bilinear upsampling without aligned corners takes
    for granted. Behind a 3 x 3 convolution of stride 2 and padding 1 the first centre is at 0.

    Attributes:
        origin: row and column of the first cell's centre, in pixels.
        step: from one cell's centre to the next, down and across, in pixels.

    Raises:
        InputError: a number is not finite, or a step is not positive.
    """

    origin: tuple[float, float]
    step: tuple[float, float]

    def __post_init__(self) -> None:
        numbers = (*self.origin, *self.step)
        if not all(abs(number) < 1e9 for number in numbers) or min(self.step) <= 0:
            raise InputError(f"placement {self.origin}, {self.step}: finite pixels and positive steps are needed")

    @classmethod
    def stretched(cls, grid: Grid, size: Grid) -> Placement:
        """Return the placement of a grid that spans the image, `size` rows and columns."""
        down, across = size[0] / grid[0], size[1] / grid[1]
        return cls(((down - 1) / 2, (across - 1) / 2), (down, across))

    def offset(self, grid: Grid, size: Grid) -> tuple[float, float]:
        """Return how far the grid's middle lies from that of one stretched over the image, in pixels.

        >>> Placement((0, 0), (32, 32)).offset((8, 8), (256, 256))
        (-15.5, -15.5)
        """
        down, across = (
            origin + step * (cells - 1) / 2 - (pixels - 1) / 2
            for origin, step, cells, pixels in zip(self.origin, self.step, grid, size, strict=True)
        )
        return down, across

    def is_stretched(self, grid: Grid, size: Grid) -> bool:
        """Tell whether the grid spans the image, up to a millionth of a pixel."""
        other = Placement.stretched(grid, size)
        pairs = zip((*self.origin, *self.step), (*other.origin, *other.step), strict=True)
        return all(abs(one - two) < 1e-6 for one, two in pairs)

    def all_but_stretched(self, grid: Grid, size: Grid) -> bool:
        """Tell whether the outermost cells lie within half a cell of where stretching over the image puts them.

        Strides and patches that do not divide an image leave no more; a missing padding, or one that is cropped later,
        does, and the grid then spans another part of the image.
        """
        other = Placement.stretched(grid, size)
        for number in (0, 1):
            (one, step), (two, wide) = self.axis(number), other.axis(number)
            last = one + step * (grid[number] - 1) - two - wide * (grid[number] - 1)
            if max(abs(one - two), abs(last)) > step / 2 + 1e-6:
                return False
        return True

    def axis(self, number: int) -> Axis:
        """Return the placement along the rows (0) or the columns (1)."""
        return self.origin[number], self.step[number]

    def spans(self, grid: Grid, size: Grid) -> bool:
        """Tell whether the cells reach the image's ends, up to a cell a side: networks without padding leave more."""
        ends = zip(self.origin, self.step, grid, size, strict=True)
        return all(o - s < 0.5 and o + s * n > pixels - 1.5 for o, s, n, pixels in ends)

    def covered(self, grid: Grid, size: Grid) -> Bool[Tensor, "H W"]:
        """Return the pixels that lie within the cells."""
        sides = []
        for number in (0, 1):
            origin, step = self.axis(number)
            places = torch.arange(size[number], dtype=torch.float64)
            end = origin + step * (grid[number] - 0.5)
            sides.append((places > origin - step / 2 - 1e-6) & (places < end + 1e-6))
        return sides[0][:, None] & sides[1][None, :]


@in_full_precision
def upsample(
    maps: Float[Tensor, "b m h w"], size: Grid, placement: Placement | None = None
) -> Float[Tensor, "b m H W"]:
    """Upsample maps to `size` bilinearly, pixel centres aligned at half pixels (`align_corners=False`).

    Works downwards as well, without antialiasing, for a grid finer than the image. With a `placement` the cells lie
    where it says, and pixels beyond the outermost centres have their cell's value.

    Raises:
        InputError: the maps are none, the size is no height and width, or the placement is something else.
    """
    if not isinstance(placement, Placement | None):
        raise InputError(
            f"the placement is {shown(placement)}: a Placement is needed, such as capture.placements[label], or None"
        )
    maps, size = _planes(maps, 4), _sides(size)
    if placement is None:
        return nnf.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    h, w = maps.shape[-2:]
    down = upsampling_matrix(h, size[0], maps.device, maps.dtype, placement.axis(0))
    across = upsampling_matrix(w, size[1], maps.device, maps.dtype, placement.axis(1))
    return down @ (maps @ across.T)


@lru_cache(maxsize=512)
def upsampling_matrix(
    n_in: int, n_out: int, device: torch.device, dtype: torch.dtype, axis: Axis | None = None
) -> Float[Tensor, "n_out n_in"]:
    """Return the matrix of linear interpolation from `n_in` cells to `n_out` pixels; each row sums to one.

    Without an `axis` the cells span the pixels: it is torch's own interpolation of the identity. Else they lie where it
    says, and pixels beyond the outermost centres have their cell's value. Made once and shared: do not write into it.
    """
    with torch.inference_mode(False), torch.no_grad():
        if axis is None:
            basis = torch.eye(n_in, dtype=torch.float64, device="cpu")[None]
            matrix = nnf.interpolate(basis, size=n_out, mode="linear", align_corners=False)[0].T
            return matrix.contiguous().to(device, dtype)
        origin, step = axis
        pixels = torch.arange(n_out, dtype=torch.float64, device="cpu")
        places = ((pixels - origin) / step).clamp(0, n_in - 1)
        cells = torch.arange(n_in, dtype=torch.float64, device="cpu")
        return (1 - (places[:, None] - cells).abs()).clamp(min=0).to(device, dtype)  # a hat around each centre


@lru_cache(maxsize=512)
def averaging_matrix(
    n_in: int, n_out: int, device: torch.device, dtype: torch.dtype, axis: Axis | None = None
) -> Float[Tensor, "n_out n_in"]:
    """Return the matrix that averages `n_in` pixels over `n_out` cells; each row sums to one.

    A pixel that a cell covers in part counts by the part covered, `|cell i & pixel j| / |cell i|`. Without an `axis`
    the cells are of equal length and span the pixels, so the mean over cells is the mean over pixels for every pair of
    lengths. With one, each pixel belongs to the nearest centre; a cell that has none takes the pixel at the image's
    end. Made once and shared: do not write into it.
    """
    with torch.inference_mode(False), torch.no_grad():
        if axis is None:
            # In units of 1 / n_out of a pixel all ends are whole numbers, and the overlaps exact.
            cells = torch.arange(n_out, dtype=torch.float64, device="cpu")[:, None] * n_in
            pixels = torch.arange(n_in, dtype=torch.float64, device="cpu")[None, :] * n_out
            overlap = torch.minimum(cells + n_in, pixels + n_out) - torch.maximum(cells, pixels)
            return (overlap.clamp(min=0) / n_in).to(device, dtype)
        origin, step = axis
        inner = (origin + step * (torch.arange(1, n_out, dtype=torch.float64, device="cpu") - 0.5)).clamp(0, None)
        ends = nnf.pad(inner + 0.5, (1, 0)).clamp(max=n_in)  # counted from the image's edge: pixel j is from j to j + 1
        ends = torch.cat([ends, ends.new_tensor([n_in])])
        lows, highs = ends[:-1, None], ends[1:, None]
        pixels = torch.arange(n_in, dtype=torch.float64, device="cpu")[None, :]
        overlap = (torch.minimum(highs, pixels + 1) - torch.maximum(lows, pixels)).clamp(min=0)
        none = overlap.sum(1) < 1e-9
        nearest = (origin + step * torch.arange(n_out, dtype=torch.float64, device="cpu")).round().clamp(0, n_in - 1)
        overlap[none] = nnf.one_hot(nearest.long(), n_in).double()[none]
        return (overlap / overlap.sum(1, keepdim=True)).to(device, dtype)


@in_full_precision
def pull_back(
    fields: Float[Tensor, "b k H W"], grid: Grid, placement: Placement | None = None
) -> Float[Tensor, "b k h w"]:
    """Apply transposed bilinear upsampling, `Uy^T f Ux`: `(pull_back(f) * L).sum() == (f * upsample(L)).sum()`.

    Fields at input resolution are brought to the layer's grid and keep their sum, since every row of `Uy` and `Ux` sums
    to one.
    """
    fields = _planes(fields, 4)
    rows, columns = fields.shape[-2:]
    if (rows, columns) == grid and placement is None:
        return fields
    axes = (None, None) if placement is None else (placement.axis(0), placement.axis(1))
    across = upsampling_matrix(grid[1], columns, fields.device, fields.dtype, axes[1])
    down = upsampling_matrix(grid[0], rows, fields.device, fields.dtype, axes[0])
    return down.T @ (fields @ across)


@in_full_precision
def to_grid(
    fields: Float[Tensor, "b k H W"], grid: Grid, placement: Placement | None = None
) -> Float[Tensor, "b k h w"]:
    """Average fields over the area of each cell of `grid`; exact also where cells cut pixels.

    They keep their mean where the grid spans the image, and a constant stays one. (Adaptive pooling does neither where
    cells cut pixels.)
    """
    fields = _planes(fields, 4)
    rows, columns = fields.shape[-2:]
    if (rows, columns) == grid and placement is None:
        return fields
    axes = (None, None) if placement is None else (placement.axis(0), placement.axis(1))
    across = averaging_matrix(columns, grid[1], fields.device, fields.dtype, axes[1])
    down = averaging_matrix(rows, grid[0], fields.device, fields.dtype, axes[0])
    return down @ (fields @ across.T)


def edge_strength(luminance: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Return the magnitude of the Sobel gradient, `sqrt(gx^2 + gy^2)`, in luminance a pixel.

    `gx` is the image correlated with `[1 2 1]^T [-1 0 1] / 8`, `gy` with its transpose; the eighth makes a ramp of
    slope s have strength s. The outermost pixels are repeated beyond the image (scipy's mode 'nearest').
    scikit-image's `filters.sobel` is this times the root of two.

    Returns:
        Strengths in the unit of the luminance, a pixel, not negative; 0 everywhere for a constant image.
    """
    luminance = _planes(luminance, 3)
    padded = nnf.pad(luminance[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, :, 2:] - padded[:, :, :-2]
    down = padded[:, 2:] - padded[:, :-2]
    gx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    gy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return torch.hypot(gx, gy) / 8


def _sides(size: object) -> Grid:
    sides = size if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2:
        raise InputError(f"the size is {shown(size)}: height and width in pixels are needed, such as (256, 256)")
    height, width = whole(sides[0], "the height"), whole(sides[1], "the width")
    if min(height, width) < 1:
        raise InputError(f"the size is {height} x {width}: at least 1 x 1 pixel is needed")
    return height, width


def _planes(values: Float[Tensor, ...], ndim: int) -> Float[Tensor, ...]:
    """Return values on pixels or cells in float32 at least.

    Raises:
        InputError: they are no numbers, or not on rows and columns.
    """
    planes = real(values, "values")
    if planes.ndim != ndim or 0 in planes.shape[-2:]:
        raise InputError(f"values are {tuple(planes.shape)}: {ndim} dimensions, rows and columns last, are needed")
    return planes
