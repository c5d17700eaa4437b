"""Seg-XRes-CAM."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import method
from segcam.methods.material.pair import Pair, over_channels
from segcam.scoring.grids import averaging_matrix

POOL = 2


@method(label="Seg-XRes-CAM", family="cam", least={"pool": 1})
def seg_xres_cam(pair: Pair, pool: int = POOL) -> Float[Tensor, "b h w"]:
    """Gradients averaged over windows, times activations, summed over channels, positive part.

    `L = ReLU(sum_k P(G_k) A_k)`, with P the mean over windows, given back to all their cells. An axis of h cells has
    `ceil(h / pool)` windows of equal length, at most `pool`. Where windows end within cells, a cell counts in each by
    the part of it that lies there, and gets their means back by the same parts; so the map of a mirrored layer is the
    mirrored map on every grid. With `pool` 1 it is HiResCAM, with one as large as the grid Grad-CAM.

    Returns:
        The map before ReLU, in the units of the score; zero everywhere where there is no gradient.

    Raises:
        InputError: `pool` is less than 1.

    The paper pools by mean or maximum and does not fix the size; its code upsamples by repetition, as here.

    Source: Hasany, Petitjean, Meriaudeau, CVPR Workshops 2023 (Seg-XRes-CAM), mean pooling.
    """
    if pool < 1:
        raise InputError(f"pool is {pool}: windows of 1 cell or more are needed")
    if pool == 1:
        return pair.attribution
    h, w = pair.activations.shape[2:]
    down, across = min(pool, h), min(pool, w)
    if h % down or w % across:
        return over_channels(_smoothed(pair.gradients, pool) * pair.activations)
    sums = _window_sums(_window_sums(pair.gradients, 2, down), 3, across)
    in_rows = nnf.interpolate(sums, size=(h // down, w), mode="nearest")
    product = torch.unflatten(pair.activations, 2, (-1, down)) * in_rows[:, :, :, None]
    return over_channels(product.flatten(2, 3)).div_(down * across)


def _window_sums(stack: Tensor, axis: int, length: int) -> Tensor:
    """Sum over windows along an axis; slice by slice, which is faster than `sum` where the channels lie last."""
    first, *others = torch.unflatten(stack, axis, (-1, length)).unbind(axis + 1)
    if not others:
        return first
    total: Tensor = first + others[0]
    for cells in others[1:]:
        total += cells
    return total


def _smoothed(gradients: Float[Tensor, "b c h w"], pool: int) -> Float[Tensor, "b c h w"]:
    """Average over windows and spread the means, for windows that end within cells; see `seg_xres_cam`."""
    h, w = gradients.shape[2:]
    matrix = partial(averaging_matrix, device=gradients.device, dtype=gradients.dtype)
    down, across = matrix(h, -(-h // pool)), matrix(w, -(-w // pool))
    # A cell's parts in the windows: the windows' parts in cells are `matrix`, and a window is h / len(matrix) cells.
    back_down, back_across = down.T * (h / len(down)), across.T * (w / len(across))
    return (back_down @ down) @ gradients @ (back_across @ across).T
