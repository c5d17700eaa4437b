"""Edge strength of an image: the Sobel magnitude of its luminance."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor


def edge_strength(luminance: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Return the magnitude of the Sobel gradient, `sqrt(gx^2 + gy^2)`, in luminance a pixel.

    `gx` is the image correlated with `[1 2 1]^T [-1 0 1] / 8`, `gy` with its transpose; the eighth makes a ramp of
    slope s have strength s. The outermost pixels are repeated beyond the image (scipy's mode 'nearest').
    scikit-image's `filters.sobel` is this times the root of two.

    Args:
        luminance: in any unit; the strength has the same, a pixel.

    Returns:
        Non-negative strengths; 0 everywhere for a constant image.
    """
    padded = nnf.pad(luminance[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, :, 2:] - padded[:, :, :-2]
    down = padded[:, 2:] - padded[:, :-2]
    gx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    gy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    return torch.hypot(gx, gy) / 8
