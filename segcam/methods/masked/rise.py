"""RISE: the mean of random masks, each weighted by the score of the image seen through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import method
from segcam.methods.material.passes import numbered, score_masked
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer
from segcam.scoring.grids import Grid, upsampling_matrix

MASKS = 1000
CELLS = 7
VISIBLE = 0.5
TOGETHER = 64
"""Masks that are held at once when the map is summed up."""


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["masks"])


@method(
    "run",
    label="RISE",
    family="perturbation",
    scope="input",
    signed=True,
    needs_gradients=False,
    passes=_passes,
    least={"masks": 2, "cells": 1, "visible": 0.01},
)
def rise(
    subject: Subject, _layer: Layer, masks: int = MASKS, cells: int = CELLS, visible: float = VISIBLE
) -> Float[Tensor, "b H W"]:
    """Random masks averaged with the score of the image seen through each as weight; signed.

    `S = sum_i (f_i - mean f) M_i / (p N)`, `f_i` the score of the image times mask `M_i`, N masks. A mask begins as
    `cells x cells` cells, each 1 with probability p (`visible`) and else 0, is upsampled bilinearly to one cell more a
    side, and a random part of the image's size is cut out. What is masked fades to the input's zero.

    The paper weights by `f_i` itself, a probability. A logit has an offset that belongs to no place, and would be
    spread over the map by how often each pixel happened to be seen. Here the mean score is taken off first, which
    changes the paper's map, `E[f M] / p`, by the constant `E[f]`: above 0 lie the pixels whose sight raises the score.

    Masks are fixed by the scenery's seed and the image's name.

    Returns:
        `S` on the input's pixels, `(b, H, W)`, signed, in the units of the score; NaN for images whose pixel set is
        empty.

    Raises:
        InputError: there are fewer than 2 masks or 1 cell, or `visible` is not between 0 and 1.

    Source: Petsiuk et al., BMVC 2018 (RISE), section 3, the Monte Carlo sum and the masks; without the mean: segcam.
    """
    if masks < 2 or cells < 1 or not 0 < visible < 1:
        raise InputError(
            f"masks is {masks}, cells is {cells} and visible is {visible}: at least 2 masks of 1 cell, and a share "
            "between 0 and 1, are needed"
        )
    drawn = [draw(np.random.default_rng(subject.seed(i)), masks, cells, visible) for i in range(len(subject.images))]
    size = (int(subject.images.shape[2]), int(subject.images.shape[3]))
    cuts = Cuts.of(drawn, size, subject.images)
    scores = score_masked(subject, numbered(subject, masks), cuts.masks)
    weights = (scores - scores.mean(1, keepdim=True)) / (visible * masks)
    return undefined_where_empty(cuts.summed(weights), subject)


def draw(random: np.random.Generator, masks: int, cells: int, visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw masks: which of their cells are seen, `(masks, cells, cells)`, and where they are cut, `(masks, 2)`.

    A cut is the share of a cell, 0..1, by which it is moved down and across.
    """
    return random.random((masks, cells, cells)) < visible, random.random((masks, 2))


@dataclass(frozen=True, eq=False)
class Cuts:
    """Masks, made when they are needed: bilinear upsampling is a matrix an axis, and a cut takes some of its rows.

    Attributes:
        grids: the cells, `(b, n, s, s)`.
        rows: the first row of the upsampled grid that is seen, `(b, n)`, and of columns the first one.
        down: upsampling along the columns, `(up, s)`, and across along the rows.
    """

    grids: Float[Tensor, "b n s s"]
    rows: Int[Tensor, "b n H"]
    columns: Int[Tensor, "b n W"]
    down: Float[Tensor, "up s"]
    across: Float[Tensor, "wide s"]

    @classmethod
    def of(cls, drawn: list[tuple[np.ndarray, np.ndarray]], size: Grid, like: Tensor) -> Cuts:
        """Lay masks that were drawn on images of a size, on the device of a tensor."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        grids, cuts = (np.stack(values) for values in zip(*drawn, strict=True))
        cells = grids.shape[-1]
        sides = [-(-side // cells) for side in size]  # pixels of a cell
        first = torch.from_numpy(np.floor(cuts * sides).astype(np.int64)).to(like.device)
        matrices = [upsampling_matrix(cells, (cells + 1) * side, like.device, dtype) for side in sides]
        places = [first[..., axis, None] + torch.arange(size[axis], device=like.device) for axis in (0, 1)]
        return cls(torch.from_numpy(grids).to(like.device, dtype), *places, *matrices)

    def masks(self, images: Int[Tensor, " n"], numbers: Int[Tensor, " n"]) -> Float[Tensor, "n H W"]:
        """Return some masks of some images."""
        down, across = self.down[self.rows[images, numbers]], self.across[self.columns[images, numbers]]
        return down @ self.grids[images, numbers] @ across.transpose(1, 2)

    def summed(self, weights: Float[Tensor, "b n"]) -> Float[Tensor, "b H W"]:
        """Return the weighted sum of each image's masks."""
        numbers = torch.arange(weights.shape[1], device=weights.device)
        return torch.stack([self._summed(i, weights[i], numbers) for i in range(len(weights))])

    def _summed(self, image: int, weights: Float[Tensor, " n"], numbers: Int[Tensor, " n"]) -> Float[Tensor, "H W"]:
        total = weights.new_zeros(self.rows.shape[2], self.columns.shape[2])
        for some in torch.split(numbers, TOGETHER):
            masks = self.masks(torch.full_like(some, image), some)
            total += torch.tensordot(weights[some].to(masks.dtype), masks, 1).to(total.dtype)
        return total
