"""Grad-CAM++."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.material.pair import Pair


@method(label="Grad-CAM++", family="cam")
def grad_cam_pp(pair: Pair) -> Float[Tensor, "b c"]:
    """Channels weighted by their positive gradients, cells by higher derivatives, positive part.

    `w_k = sum over cells of alpha_k ReLU(G_k)`, `L = ReLU(sum_k w_k A_k)`, `alpha = G^2 / (2 G^2 + S_k G^3)`, with
    `S_k` the sum of the channel's activations, and 0 where G is 0. Then `alpha ReLU(G) = R / (2 + S_k R)` with
    `R = ReLU(G)`, which is computed: it needs no epsilon, which other tools add to the denominator and which takes over
    where gradients are small, and no power of G that could overflow.

    The equation is made for activations after ReLU. Of signed activations `S_k` may be negative; then the denominator
    would be 0 at `G = -2 / S_k` and alpha negative beyond, and the map would hang on the rounding of the cells
    nearest to that pole. A negative `S_k` therefore counts as 0, so that alpha lies in 0..1/2 as it does in the paper.

    The map is zero everywhere where no gradient is positive. It is not free of the score's scale: with small gradients
    (`S_k G` much below 2) weights are half the sum of positive gradients; with large ones each cell of positive
    gradient adds `1 / S_k`.

    Source: Chattopadhay et al., WACV 2018 (Grad-CAM++), eq. 19; a negative sum of activations counts as 0.
    """
    totals = pair.total_activations.clamp_min(0)[:, :, None, None]
    positive = pair.positive_gradients
    denominators = torch.addcmul(totals.new_tensor(2.0), positive, totals)
    return torch.div(positive, denominators, out=denominators).sum((2, 3))
