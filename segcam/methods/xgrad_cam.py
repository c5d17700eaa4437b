"""XGrad-CAM."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.methods import METHODS, Method
from segcam.methods.material.pair import Pair


def xgrad_cam(activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Compute XGrad-CAM: `w_k = sum over cells of G_k A_k / sum over cells of A_k`, `L = ReLU(sum_k w_k A_k)`.

    Args:
        activations: `A`, a layer's output, `(b, c, h, w)`.
        gradients: `G = dY/dA`, of the same shape.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score. A channel whose activations sum
        to 0, up to rounding, has weight 0. The equation is made for activations after ReLU: of signed ones the sum
        may be near 0 and the weight very large.

    Source: Fu et al., BMVC 2020 (Axiom-based Grad-CAM), the weights that meet sensitivity and conservation best.
    """
    pair = Pair(activations, gradients)
    return pair.weighted(weights(pair)).relu()


def weights(pair: Pair) -> Float[Tensor, "b c"]:
    """Return `w_k`: the mean of the channel's gradients, weighted by its activations."""
    totals = pair.total_activations
    cells = pair.activations.shape[2] * pair.activations.shape[3]
    rounding = 8 * torch.finfo(totals.dtype).eps * cells**0.5 * pair.activation_norms
    return (pair.total_product / totals).masked_fill(totals.abs() <= rounding, 0)


METHODS.add(
    Method(
        name="xgrad_cam",
        label="XGrad-CAM",
        summary="channels weighted by their mean gradient, cells by their activation, positive part",
        source="Fu et al., BMVC 2020 (Axiom-based Grad-CAM), its weights",
        gradient=xgrad_cam,
        weights=weights,
        family="cam",
    )
)
