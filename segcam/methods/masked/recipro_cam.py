"""Recipro-CAM: a cell counts by the score that is left when all others of its layer are empty."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import method
from segcam.methods.material import channels
from segcam.methods.material.passes import numbered, score_each
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer
from segcam.probe.layouts import Layout
from segcam.scoring.grids import Grid

CELLS = 256
"""Cells of a layer that are kept one by one where nothing else is said; larger grids have windows instead."""


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["cells"])


@method("run", label="Recipro-CAM", family="perturbation", needs_gradients=False, passes=_passes, least={"cells": 1})
def recipro_cam(subject: Subject, layer: Layer, cells: int = CELLS) -> Float[Tensor, "b h w"]:
    """Score of the network with all but one cell of the layer empty, less the smallest.

    `L_ij = y_ij - min y`, `y_ij` the score with the layer's output kept at cell `(i, j)` and 0 at all others, in every
    channel. What bypasses the layer, over a skip connection, stays as it was, and so do tokens of no place. The paper
    divides by the largest value too, a change of scale alone.

    A grid of more than `cells` cells is divided into square windows, of which there are at most as many; a window's
    cells are kept together, and share a value.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score; zero everywhere (blank) where all
        cells leave the same score; NaN for images whose pixel set is empty.

    Raises:
        InputError: fewer than 1 cell is allowed.
        NotApplicableError: the layer's module runs more than once in a pass, or on windows of the images.

    Source: Byun and Lee, CVPR Workshops 2024 (Recipro-CAM), spatial masks of one cell; windows: segcam.
    """
    if cells < 1:
        raise InputError(f"cells is {cells}: a map needs 1 or more")
    module, layout = subject.module(layer), subject.layout(layer)
    grid = (int(layout.grid[0]), int(layout.grid[1]))
    windows = windows_of(grid, cells).to(subject.images.device)
    pixels, class_ids = subject.extra

    def kept(rows: Tensor, of: Tensor) -> Tensor:
        with channels.editing(module, lambda output: _only(output, windows == of[:, None, None], layout)):
            scores: Tensor = subject.objective(subject.images[rows], pixels[rows], class_ids[rows])
        return scores

    scores = score_each(subject, numbered(subject, int(windows.amax()) + 1), kept)
    maps = (scores - scores.amin(1, keepdim=True))[:, windows.flatten()]
    return undefined_where_empty(maps.view(-1, *grid), subject)


def windows_of(grid: Grid, most: int) -> Int[Tensor, "h w"]:
    """Number the windows of a grid, row by row: squares of the smallest side of which there are no more than so many.

    >>> windows_of((2, 3), 6).tolist(), windows_of((3, 3), 4).tolist()
    ([[0, 1, 2], [3, 4, 5]], [[0, 0, 1], [0, 0, 1], [2, 2, 3]])
    """
    side = next(n for n in range(1, max(grid) + 1) if -(-grid[0] // n) * -(-grid[1] // n) <= most)
    rows, columns = (torch.arange(length) // side for length in grid)
    return rows[:, None] * (int(columns[-1]) + 1) + columns


def _only(output: Float[Tensor, "n ..."], kept: Tensor, layout: Layout) -> Tensor:
    """Return a copy of a layer's output that is zero on the layer's grid but where it is kept."""
    left = output.clone()
    layout.maps(left).mul_(kept[:, None])  # a view
    return left
