"""Grad-CAM."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segcam.methods import METHODS, method
from segcam.methods.material.pair import Pair
from segcam.probe.gradients.rounding import SUMS


@method(label="Grad-CAM", family="cam", name="grad_cam", sums="gradients")
def weights(pair: Pair) -> Float[Tensor, "b c"]:
    """Channels weighted by their mean gradient, positive part.

    `alpha_k = mean over positions of dY/dA_k`, `L = ReLU(sum_k alpha_k A_k)`.

    Source: Selvaraju et al., ICCV 2017, eq. 1-2.
    """
    return pair.gradients.mean((2, 3))


def grad_cam(activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Compute Grad-CAM: `alpha_k = mean over positions of dY/dA_k`, `L = ReLU(sum_k alpha_k A_k)`.

    Args:
        activations: `A`, a layer's output, `(b, c, h, w)`.
        gradients: `dY/dA`, of the same shape.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score; zero everywhere (blank) where
        no channel speaks for the target.

    Source: Selvaraju et al., ICCV 2017, equations 1 and 2; Park, Lee, Lee, equations 1 and 2.
    """
    return METHODS.get("grad_cam").maps(activations, gradients)


setattr(grad_cam, SUMS, "gradients")
