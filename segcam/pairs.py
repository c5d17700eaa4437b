"""Pair: the activations and gradients of one layer, and what several methods derive from them."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor


class Pair:
    """Activations `A` and gradients `G` of one layer.

    What several methods begin with is computed once, when first asked for; do not write into it.

    Args:
        activations: `(b, c, h, w)`.
        gradients: the score's derivatives by them, of the same shape.
    """

    def __init__(self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> None:
        self.activations = activations
        self.gradients = gradients

    @cached_property
    def product(self) -> Float[Tensor, "b c h w"]:
        """`G A`, cell by cell."""
        return self.gradients * self.activations

    @cached_property
    def attribution(self) -> Float[Tensor, "b h w"]:
        """`sum_k G_k A_k`: gradient times activation, signed."""
        return self.product.sum(1)

    @cached_property
    def total_activations(self) -> Float[Tensor, "b c"]:
        """The sum of each channel's activations."""
        return self.activations.sum((2, 3))

    def weighted(self, weights: Float[Tensor, "b c"]) -> Float[Tensor, "b h w"]:
        """Return `sum_k w_k A_k`: the channels' weighted sum, signed."""
        return torch.einsum("bchw,bc->bhw", self.activations, weights)
