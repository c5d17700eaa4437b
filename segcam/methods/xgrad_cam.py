"""XGrad-CAM."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.material.pair import Pair


@method(label="XGrad-CAM", family="cam", sums="products")
def xgrad_cam(pair: Pair) -> Float[Tensor, "b c"]:
    """Channels weighted by their mean gradient, cells by their activation, positive part.

    `w_k = sum over cells of G_k A_k / sum over cells of A_k`, `L = ReLU(sum_k w_k A_k)`. A channel whose activations
    sum to 0, up to rounding, has weight 0. The equation is made for activations after ReLU: of signed ones the sum may
    be near 0 and the weight very large.

    Source: Fu et al., BMVC 2020 (Axiom-based Grad-CAM), the weights that meet sensitivity and conservation best.
    """
    totals = pair.total_activations
    cells = pair.activations.shape[2] * pair.activations.shape[3]
    rounding = 8 * torch.finfo(totals.dtype).eps * cells**0.5 * pair.activation_norms
    return (pair.total_product / totals).masked_fill(totals.abs() <= rounding, 0)
