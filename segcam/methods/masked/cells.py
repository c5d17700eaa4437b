"""Cells of the input that are masked together, and the maps that come of a number for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from segcam.errors import InputError
from segcam.methods.material.passes import numbered, score_masked
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.scoring.grids import upsample

CELLS = 8


def check(cells: int, subject: Subject) -> None:
    """See that the input can be divided into as many cells a side.

    Raises:
        InputError: it cannot.
    """
    side = min(subject.images.shape[2:])
    if not 1 <= cells <= side:
        raise InputError(f"cells is {cells}: the input's {side} pixels are divided into 1 to {side} cells a side")


def on_device(subject: Subject, drawn: Sequence[NDArray[Any]]) -> Float[Tensor, "b n d"]:
    """Return designs that were drawn, an array an image, as `score_designs` takes them."""
    return torch.from_numpy(np.stack(drawn)).to(subject.images.device, torch.float32)


def score_designs(
    subject: Subject, designs: Float[Tensor, "b n d"], behind: Float[Tensor, "b ch 1 1"] | None = None
) -> Float[Tensor, "b n"]:
    """Score each image with its cells dimmed as its designs say: `x` times a mask that is constant on every cell.

    Args:
        subject: the network and its images.
        designs: how much is seen of each of the `d` cells, 0..1, row by row of a square grid.
        behind: the colour that is seen in its place, as `score_masked` takes it.
    """
    side = round(designs.shape[2] ** 0.5)
    rows, columns = (owners(pixels, side, designs.device) for pixels in subject.images.shape[2:])

    def masks(images: Int[Tensor, " n"], numbers: Int[Tensor, " n"]) -> Float[Tensor, "n H W"]:
        return designs[images, numbers].view(-1, side, side)[:, rows][:, :, columns]

    return score_masked(subject, numbered(subject, designs.shape[1]), masks, behind)


def owners(pixels: int, cells: int, device: torch.device) -> Int[Tensor, " pixels"]:
    """Return the cell of each pixel along a side: the one that its centre lies in."""
    return (torch.arange(pixels, device=device) * 2 + 1) * cells // (2 * pixels)


def map_of(subject: Subject, values: Float[Tensor, "b d"]) -> Float[Tensor, "b H W"]:
    """Lay a number for each cell on the input's pixels, bilinearly; NaN for images whose pixel set is empty."""
    side = round(values.shape[1] ** 0.5)
    size = (int(subject.images.shape[2]), int(subject.images.shape[3]))
    return undefined_where_empty(upsample(values.view(-1, 1, side, side), size)[:, 0], subject)
