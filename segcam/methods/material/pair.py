"""Pair: the activations and gradients of one layer, and what several methods derive from them."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.arrays import at_hand, real
from segcam.errors import InputError

SMALL = 2.0**-50
"""A norm below which the squares that it was made of may have been rounded to nothing in float32."""


class Pair:
    """Activations `A` and gradients `G` of one layer.

    What several methods begin with is computed once, when first asked for; do not write into it.

    Args:
        activations: `(b, c, h, w)`, numbers of any kind; half precision is computed with in float32.
        gradients: the score's derivatives by them, of the same shape.

    Raises:
        InputError: they are no numbers, differ in shape, or are no stacks of feature maps.
    """

    def __init__(self, activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> None:
        one, other = real(activations, "activations"), real(gradients, "gradients")
        if one.shape != other.shape or one.ndim != 4 or 0 in one.shape[1:]:
            raise InputError(
                f"activations are {tuple(one.shape)} and gradients {tuple(other.shape)}: feature maps of one shape, "
                "(images, channels, rows, columns), are needed"
            )
        wide = torch.promote_types(one.dtype, other.dtype)
        self.activations, self.gradients = one.to(wide).detach(), other.to(one.device, wide).detach()

    @cached_property
    def product(self) -> Float[Tensor, "b c h w"]:
        """`G A`, cell by cell."""
        return self.gradients * self.activations

    @cached_property
    def attribution(self) -> Float[Tensor, "b h w"]:
        """`sum_k G_k A_k`: gradient times activation, signed."""
        return over_channels(self.product)

    @cached_property
    def positive_gradients(self) -> Float[Tensor, "b c h w"]:
        """`ReLU(G)`."""
        return self.gradients.relu()

    @cached_property
    def total_activations(self) -> Float[Tensor, "b c"]:
        """The sum of each channel's activations."""
        return self.activations.sum((2, 3))

    @cached_property
    def total_product(self) -> Float[Tensor, "b c"]:
        """The sum of each channel's products of gradient and activation."""
        return self.product.sum((2, 3))

    @cached_property
    def gram(self) -> tuple[Float[Tensor, "b k k"], Float[Tensor, " b"]]:
        """The Gram matrix of the activations, see `gram_matrix`."""
        return gram_matrix(self.activations)

    @property
    def activation_norms(self) -> Float[Tensor, "b c"]:
        """The root of each channel's sum of squared activations; read off the Gram matrix where there is one."""
        if "gram" in vars(self) and self.gram[0].shape[1] == self.activations.shape[1]:
            gram, norm = self.gram
            return gram.diagonal(dim1=1, dim2=2).sqrt() * norm[:, None]
        if not at_hand(self.activations):
            scaled, scale = in_reach(self.activations)
            return scaled.square().sum((2, 3)).sqrt() * scale[:, None]
        norms = self.activations.square().sum((2, 3)).sqrt()
        top = norms.amax(1)
        unsafe = ~((top > SMALL) & top.isfinite())  # squares may have under- or overflowed
        if unsafe.any():
            scaled, scale = in_reach(self.activations[unsafe])
            norms[unsafe] = scaled.square().sum((2, 3)).sqrt() * scale[:, None]
        return norms

    def weighted(self, weights: Float[Tensor, "b c"]) -> Float[Tensor, "b h w"]:
        """Return `sum_k w_k A_k`: the channels' weighted sum, signed."""
        return combined(self.activations, weights[:, None])[:, 0]


def combined(stack: Float[Tensor, "b c h w"], weights: Float[Tensor, "b m c"]) -> Float[Tensor, "b m h w"]:
    """Return `sum_k w_mk X_k`: several weighted sums of a stack's channels in one product."""
    # The weights on the left: with channels last, the product with a column on the right is several times slower.
    return torch.bmm(weights, stack.flatten(2)).view(len(stack), -1, *stack.shape[2:])


def over_channels(stack: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Return the sum over channels; a matrix product with ones is faster than `sum` where the channels lie last."""
    return combined(stack, stack.new_ones(len(stack), 1, stack.shape[1]))[:, 0]


def gram_matrix(stack: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k k"], Float[Tensor, " b"]]:
    """Return the smaller Gram matrix of each sample's `(cells x channels)` matrix over its trace, and the trace's root.

    Channels by channels, or cells by cells where there are fewer. The root of the trace is the sample's norm. A sample
    so large or small that its squares would over- or underflow is scaled before. Of a blank one the norm is 0, and the
    matrix, which any will do for, has 1 in its first place.
    """
    flat = stack.flatten(2)

    def of(some: Float[Tensor, "b c n"]) -> Float[Tensor, "b k k"]:
        turned = some.transpose(1, 2)
        return torch.bmm(some, turned) if some.shape[1] <= some.shape[2] else torch.bmm(turned, some)

    if not at_hand(flat):
        scaled, scale = in_reach(flat)
        gram = of(scaled)
        gram[:, 0, 0].masked_fill_(scale == 0, 1)
        squares = trace(gram)
        return gram / squares[:, None, None], squares.sqrt() * scale
    gram = of(flat)
    squares = trace(gram)
    norm = squares.sqrt()
    info = torch.finfo(flat.dtype)
    safe = (squares > info.tiny / info.eps) & (squares < info.max * info.eps)
    if not safe.all():
        scaled, scale = in_reach(flat[~safe])
        again = of(scaled)
        norm[~safe] = trace(again).sqrt() * scale
        again[:, 0, 0].masked_fill_(scale == 0, 1)
        gram[~safe], squares[~safe] = again, trace(again)
    return gram.div_(squares[:, None, None]), norm


def in_reach(stack: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "b ..."], Float[Tensor, " b"]]:
    """Return each sample over its largest absolute value, whose squares neither over- nor underflow, and that value.

    A blank sample stays as it is.
    """
    scale = stack.flatten(1).abs().amax(1)
    return stack / scale.masked_fill(scale == 0, 1).view(-1, *[1] * (stack.ndim - 1)), scale


def trace(matrices: Float[Tensor, "b k k"]) -> Float[Tensor, " b"]:
    """Return the sum of each matrix's diagonal."""
    return matrices.diagonal(dim1=1, dim2=2).sum(1)
