"""Rounding: sums that are zero but for it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import at_hand

CANCELLED = (
    "cancels: the sums that weigh the channels are zero but for rounding, as in front of a normalisation over "
    "positions (InstanceNorm, or GroupNorm with a channel a group); probe behind the normalisation instead"
)
"""The reason for a map that there is not because what it is made from cancels."""

Sums = Literal["gradients", "products"]
"""What a method sums over positions to weigh channels: gradients, or their products with the activations."""

SUMS = "sums"
"""The attribute by which a function of activations and gradients, or what it is a method of, says what it sums."""

FACTOR = 8
"""How many units of rounding a sum that is zero may be off at least."""


def cancels(terms: Float[Tensor, "b c h w"], dtype: torch.dtype | None = None) -> Bool[Tensor, " b"]:
    """Tell for each sample whether the sums over positions of all channels together are below rounding.

    A term is off by up to `eps |t|`, each in its own way, which adds up to `eps sqrt(sum t^2)`. What the terms have in
    common, such as the mean over n cells that a normalisation took off each, is a sum itself, in arithmetic of at least
    float32: it is off by about `sqrt(n) eps'`, which adds up to `sqrt(n) eps' sum |t|`. The sums are below rounding
    where

        sum_k |sum_ij t_kij| <= sum_k (8 eps sqrt(sum_ij t_kij^2) + max(8, 2 sqrt(n)) eps' sum_ij |t_kij|)

    Terms of random signs lie above that by a factor of about `1 / (8 eps + 2 n eps')`, 60 for 256 x 256 cells in
    float32 and 13 for small grids in bfloat16; those that lean to one sign by more.

    Args:
        terms: `t`, what is summed.
        dtype: in which they were computed, where that is not theirs.

    Returns:
        `(b,)`; False where all terms are zero.

    >>> gradients = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> gradients[1] -= gradients[1].mean((1, 2), keepdim=True)
    >>> cancels(gradients).tolist()
    [False, True]
    """
    dtype = dtype or terms.dtype
    if at_hand(terms) and _far_above(terms, dtype):
        return torch.zeros(len(terms), dtype=torch.bool)
    wide = terms.double().flatten(2)
    shared = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    each = torch.finfo(dtype).eps * torch.linalg.vector_norm(wide, dim=2)
    size = wide.abs().sum(2)
    sums = wide.sum(2).abs().sum(1)
    common = max(FACTOR, 2 * wide.shape[2] ** 0.5) * shared * size
    below: Tensor = (sums <= (FACTOR * each + common).sum(1)) & (size.sum(1) > 0)
    return below


def _far_above(stack: Float[Tensor, "b c h w"], dtype: torch.dtype) -> bool:
    """Tell whether the sums of all samples are far above rounding, or all terms zero: most are, and two reads tell.

    Four times the bound leaves room for rounding here. `sqrt(sum t^2)` is at most `sum |t|`, which will mostly do; and
    that is at most the root of the terms' number times their norm, which is read in memory's order, without a copy.
    """
    shared, own = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps, torch.finfo(dtype).eps
    terms = stack.flatten(2)
    sums, share = terms.sum(2).abs().sum(1), max(FACTOR, 2 * terms.shape[2] ** 0.5) * shared
    ordered = stack if stack.is_contiguous() else stack.permute(0, 2, 3, 1)
    if own <= shared and ordered.is_contiguous():
        number = math.prod(stack.shape[1:])
        lost = (number * torch.finfo(terms.dtype).tiny) ** 0.5  # squares of what is small may be nothing
        norm = torch.linalg.vector_norm(ordered.flatten(1), dim=1) + lost
        if bool((sums > 4 * (FACTOR * own + share) * number**0.5 * norm).all()):
            return True
    size = terms.abs().sum(2)
    common = share * size

    def far(length: Float[Tensor, "b c"]) -> bool:
        bound = (FACTOR * own * length + common).sum(1)
        return bool(((sums > 4 * bound) | (size.sum(1) == 0)).all())

    if far(size):
        return True
    scale = size.clamp_min(torch.finfo(size.dtype).tiny)
    return own > shared and far((terms / scale[..., None]).square().sum(2).sqrt() * size)
