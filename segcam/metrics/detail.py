"""How fine the detail of a map is: the share of its power at high spatial frequencies."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference

FINEST = 16
"""Length of the longest wave that counts as fine, in input pixels."""


@metric(label="Fine power", direction="none", lower=0.0, upper=1.0, chance=None, masks=False)
def fine_power(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Share of the map's spectral power above 1/16 cycles per input pixel, its mean left out.

    The spectrum is that of the map on the layer's own grid, by the cosine transform (DCT-II), which continues a map
    like a mirror beyond the frame: the Fourier transform would find a sharp edge there. With n cells of s pixels along
    an axis, wave k has `k / (2 n s)` cycles a pixel, below the grid's Nyquist frequency `1 / (2 s)`; a wave along both
    axes has the root of the sum of squares. Compare layers of one grid: waves between 1/16 and Nyquist are all that
    counts, and coarse cells hold fewer of them.

    Returns:
        0..1. NaN for a blank, undefined or constant map, and where cells are 8 px or wider along either axis: their
        grid's Nyquist frequency is 1/16 or less.

    Source: segcam; the transform is that of Ahmed et al., IEEE Trans. Computers 1974.
    """
    spans = _spans(reference)
    cells = unit(maps, reference)
    cells = cells - cells.mean((2, 3), keepdim=True)
    total = cells.square().sum((2, 3))
    n = cells.shape[2] * cells.shape[3]
    # Only the few slow waves are made; all others hold what they leave of the total (Parseval).
    down, across = (_slow_waves(*axis).to(cells) for axis in zip(reference.grid, spans, strict=True))
    slow = _slow(len(down), len(across), spans).to(cells)
    power = ((down @ cells @ across.T).square() * slow).sum((2, 3))
    noise = 8 * torch.finfo(cells.dtype).eps
    coarse = any(2 * span / count >= FINEST * (1 - 1e-9) for span, count in zip(spans, reference.grid, strict=True))
    undefined = (total / n <= noise**2) | coarse
    return (1 - power / total).clamp(0, 1).masked_fill(undefined, torch.nan)


def _spans(reference: Reference) -> tuple[float, float]:
    """Return the length of the grid along each axis, in pixels."""
    if reference.placement is None:
        return float(reference.size[0]), float(reference.size[1])
    down, across = reference.placement.step
    return down * reference.grid[0], across * reference.grid[1]


@lru_cache(maxsize=256)
def _slow_waves(cells: int, span: float) -> Float[Tensor, "k n"]:
    """Return the orthonormal cosines over `cells` of the waves of 16 pixels and longer."""
    count = min(cells, math.floor(2 * span / FINEST + 1e-9) + 1)
    wave, place = torch.arange(count, dtype=torch.float64)[:, None], torch.arange(cells, dtype=torch.float64) + 0.5
    waves = torch.cos(math.pi * wave * place / cells) * math.sqrt(2 / cells)
    waves[0] /= math.sqrt(2)
    return waves


def _slow(down: int, across: int, spans: tuple[float, float]) -> Float[Tensor, "k l"]:
    """Return 1 for waves of 16 pixels and longer, along both axes together; 0 for others."""
    y, x = torch.arange(down, dtype=torch.float64) / spans[0], torch.arange(across, dtype=torch.float64) / spans[1]
    return (torch.hypot(y[:, None], x[None, :]) <= 2 / FINEST * (1 + 1e-9)).double()
