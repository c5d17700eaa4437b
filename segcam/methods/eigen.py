"""Eigen-CAM, Eigen-Grad-CAM and Seg-Eigen-CAM: projection on the first principal direction of the channels."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.arrays import at_hand
from segcam.methods import method
from segcam.methods.material.pair import Pair, combined, gram_matrix, trace

SQUARINGS = 40
"""Squarings at most: each squares the ratio of the two largest eigenvalues, so few are needed unless they are equal."""

UNASKED = 24
"""Squarings where nothing is asked in between: eigenvalues that differ by a millionth are then far apart."""

SQUARING = 0.6
"""What squaring a matrix costs, in products with as many vectors as it has rows; it spares two of them at most."""

OVERLAP = 1e-4
"""The first eigenvector's share of the vector that products start from, at least; less only costs digits."""


@method(label="Eigen-CAM", family="cam", needs_gradients=False)
def eigen_cam(pair: Pair) -> Float[Tensor, "b c"]:
    """Activations projected on their first principal direction, positive part.

    `L = ReLU(X v)`, X the activations, cells by channels, v its first right singular vector. X is not centred. A
    singular vector's sign is arbitrary; here the projection's sum over cells is positive, and where that is 0 up to
    rounding, the weight in v of largest magnitude (the first of such channels).

    The map is in the units of the activations, zero everywhere where they are zero. Where the largest singular values
    are equal, v is one of their vectors; where they differ by no more than rounding, so does what can be said of v.

    Source: Muhammad and Yeasin, IJCNN 2020 (Eigen-CAM): projection on the first eigenvector; sign and ReLU: segcam.
    """
    return principal_direction(pair.activations, pair.gram, pair.total_activations)


@method(label="Eigen-Grad-CAM", family="cam")
def eigen_grad_cam(pair: Pair) -> Float[Tensor, "b h w"]:
    """Gradient times activation projected on its first principal direction, positive part.

    As `eigen_cam`, with `G A` in the place of A; in the units of the score.

    Source: pytorch-grad-cam (EigenGradCAM), after Muhammad and Yeasin, IJCNN 2020; sign: positive sum.
    """
    direction = principal_direction(pair.product, gram_matrix(pair.product), pair.total_product)
    return combined(pair.product, direction[:, None])[:, 0]


@method(label="Seg-Eigen-CAM", family="cam")
def seg_eigen_cam(pair: Pair) -> Float[Tensor, "b h w"]:
    """Activation times the gradient's size projected on its first principal direction, positive part.

    `L = ReLU(s X v)`, X the products `|G| A`, cells by channels, v its first right singular vector. Of the two signs s
    that is taken with which the projection's largest value is at least as far from 0 as its smallest; where they are
    equally far up to rounding, the one with which the weight in v of largest magnitude is positive.

    The map is in the units of the score, zero everywhere where there is no gradient. X is not centred, as in
    `eigen_cam`.

    Source: Chung and Ying, Applied Sciences 2025 (Seg-Eigen-CAM), eq. 10-13; not centred: segcam.
    """
    stack = pair.gradients.abs() * pair.activations
    matrices = gram_matrix(stack)
    v = leading_direction(stack, matrices)
    projection = combined(stack, v[:, None])[:, 0]
    side = projection.amax((1, 2)) + projection.amin((1, 2))
    # One cell's value is at most the matrix's norm; this much of that may be rounding.
    side = _or_heaviest(side, v, 8 * torch.finfo(v.dtype).eps * matrices[1])
    return projection * side.sign()[:, None, None]


def principal_direction(
    stack: Float[Tensor, "b c h w"],
    gram: tuple[Float[Tensor, "b k k"], Float[Tensor, " b"]],
    totals: Float[Tensor, "b c"],
) -> Float[Tensor, "b c"]:
    """Return the first right singular vector of each sample's `(cells x channels)` matrix.

    It is made from the first eigenvector of the smaller Gram matrix; a decomposition would find all the others as well
    and take many times longer.

    Args:
        stack: the matrices.
        gram: their `gram_matrix`.
        totals: the sum of each channel, which decides on the sign; see `eigen_cam`.

    Returns:
        Vectors of length 1; 0 for a blank sample.
    """
    v = leading_direction(stack, gram)
    # The projection's sum is at most sqrt(n) times the matrix's norm; this much of that may be rounding.
    cells = stack.shape[2] * stack.shape[3]
    side = _or_heaviest((totals * v).sum(1), v, 8 * torch.finfo(v.dtype).eps * cells**0.5 * gram[1])
    signed: Tensor = v * side.sign()[:, None]
    return signed


def leading_direction(
    stack: Float[Tensor, "b c h w"], gram: tuple[Float[Tensor, "b k k"], Float[Tensor, " b"]]
) -> Float[Tensor, "b c"]:
    """Return `principal_direction` with either sign."""
    v = _first_eigenvector(gram[0])
    tiny = torch.finfo(v.dtype).tiny
    if v.shape[1] != stack.shape[1]:
        top = stack.abs().amax((1, 2, 3)).clamp_min(tiny)[:, None, None]
        v = torch.bmm(v[:, None], (stack.flatten(2) / top).transpose(1, 2))[:, 0]
    unit: Tensor = v / torch.linalg.vector_norm(v, dim=1, keepdim=True).clamp_min(tiny)
    return unit


def _or_heaviest(
    side: Float[Tensor, " b"], v: Float[Tensor, "b c"], rounding: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """Return what decides on a sign, or the weight of largest magnitude, the first of such, where that is rounding."""
    unsure = side.abs() <= rounding
    if not at_hand(v) or unsure.any():
        heaviest = v.gather(1, v.abs().argmax(1, keepdim=True))[:, 0]
        side = torch.where(unsure, heaviest, side)
    return side


def _first_eigenvector(gram: Float[Tensor, "b k k"]) -> Float[Tensor, "b k"]:
    """Return the first eigenvector, of any length, of positive semidefinite matrices of trace 1.

    Products with a vector bring it out, and squaring the matrices first, their trace made 1 again, halves the number of
    products: as often as that pays. What is done to samples that are ready before others changes nothing, so samples
    do not mix.
    """
    size = gram.shape[1]
    power = gram
    if not at_hand(gram):  # asking how far it is would take longer than squaring on
        for _ in range(UNASKED):
            power = torch.bmm(power, power)
            power = power / trace(power)[:, None, None]
        return torch.bmm(torch.bmm(_start(size, gram.dtype, gram.device).expand(len(gram), 1, size), power), gram)[:, 0]
    for _ in range(SQUARINGS):
        purity = power.square().sum((1, 2))
        products = _products(float(purity.amin()), gram.dtype)
        if products <= max(8, SQUARING * size):
            break
        power = torch.bmm(power, power).div_(purity[:, None, None])
    v = _start(size, gram.dtype, gram.device).expand(len(gram), 1, size)
    for _ in range(int(min(products, size))):
        v = torch.bmm(v, power)
    return torch.bmm(v, gram)[:, 0]


def _products(purity: float, dtype: torch.dtype) -> float:
    """Return how many products bring the first eigenvector out of a matrix of trace 1 with this trace of its square.

    Of eigenvalues 1 and x it is `(1 + x^2) / (1 + x)^2`, and of more eigenvalues less: x is not larger than this gives.
    """
    if purity <= 0.5:
        return math.inf
    x = (purity - math.sqrt(2 * purity - 1)) / (1 - purity) if purity < 1 else 0.0
    return math.ceil(math.log(OVERLAP * torch.finfo(dtype).eps) / math.log(x)) if x > 0 else 1


@lru_cache(maxsize=64)
def _start(size: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " k"]:
    """Return a vector that no eigenvector met in practice is perpendicular to: fixed random numbers."""
    with torch.inference_mode(False), torch.no_grad():
        generator = torch.Generator().manual_seed(size)
        return torch.randn(size, generator=generator, dtype=torch.float64).to(device, dtype)
