"""Gradient CAMs that weight each cell by itself: HiResCAM, LayerCAM and gradient times activation.

Their maps are zero everywhere where there is no gradient, and in the units of the score.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.material.pair import Pair, over_channels


@method(label="HiResCAM", family="cam")
def hires_cam(pair: Pair) -> Float[Tensor, "b h w"]:
    """Gradient times activation, summed over channels, positive part.

    `L = ReLU(sum_k G_k A_k)`.

    Source: Draelos and Carin 2020 (Use HiResCAM instead of Grad-CAM), the definition of HiResCAM; ReLU as in Grad-CAM.
    """
    return pair.attribution


@method(label="LayerCAM", family="cam")
def layer_cam(pair: Pair) -> Float[Tensor, "b h w"]:
    """Positive gradient times activation, summed over channels, positive part.

    `L = ReLU(sum_k ReLU(G_k) A_k)`.

    Source: Jiang et al., IEEE TIP 2021 (LayerCAM), the weights `ReLU(g)` and the map made with them.
    """
    return over_channels(pair.positive_gradients * pair.activations)


@method(label="Gradient x activation", family="cam")
def element_wise(pair: Pair) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Positive part of gradient times activation, summed over channels.

    `L = sum_k ReLU(G_k A_k)`. Before ReLU it is `sum_k G_k A_k`, the same as HiResCAM's: the two differ in whether
    channels that speak against the target count against those that speak for it.

    Source: Shrikumar et al. 2016 (Not Just a Black Box), gradient x input, of a layer; 'GradCAMElementWise' of
    pytorch-grad-cam.
    """
    return pair.attribution, over_channels(pair.product.relu())
