"""Gradient CAMs that weight each cell by itself: HiResCAM, LayerCAM and gradient times activation."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segcam.methods import METHODS, Method
from segcam.methods.material.pair import Pair, over_channels


def hires_cam(activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Compute HiResCAM: `L = ReLU(sum_k G_k A_k)`.

    Args:
        activations: `A`, a layer's output, `(b, c, h, w)`.
        gradients: `G = dY/dA`, of the same shape.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score; zero everywhere where there is
        no gradient.

    Source: Draelos and Carin 2020 (Use HiResCAM instead of Grad-CAM), the definition of HiResCAM; ReLU as in
    Grad-CAM.
    """
    return Pair(activations, gradients).attribution.relu()


def layer_cam(activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Compute LayerCAM: `L = ReLU(sum_k ReLU(G_k) A_k)`.

    Args:
        activations: `A`, a layer's output, `(b, c, h, w)`.
        gradients: `G = dY/dA`, of the same shape.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score; zero everywhere where no
        gradient is positive.

    Source: Jiang et al., IEEE TIP 2021 (LayerCAM), the weights `ReLU(g)` and the map made with them.
    """
    return _positively_weighted(Pair(activations, gradients)).relu()


def element_wise(activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Compute gradient times activation, channel by channel: `L = sum_k ReLU(G_k A_k)`.

    Before ReLU it is `sum_k G_k A_k`, the same as HiResCAM's: the two differ in whether channels that speak against
    the target count against those that speak for it.

    Args:
        activations: `A`, a layer's output, `(b, c, h, w)`.
        gradients: `G = dY/dA`, of the same shape.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of the score; zero everywhere where there is
        no gradient.

    Source: Shrikumar et al. 2016 (Not Just a Black Box), gradient x input, of a layer; 'GradCAMElementWise' of
    pytorch-grad-cam.
    """
    return _rectified(Pair(activations, gradients))


def _rectified(pair: Pair) -> Float[Tensor, "b h w"]:
    return over_channels(pair.product.relu())


def _positively_weighted(pair: Pair) -> Float[Tensor, "b h w"]:
    return over_channels(pair.positive_gradients * pair.activations)


def _attribution(pair: Pair) -> Float[Tensor, "b h w"]:
    return pair.attribution


METHODS.add(
    Method(
        name="hires_cam",
        label="HiResCAM",
        summary="gradient times activation, summed over channels, positive part",
        source="Draelos and Carin 2020 (HiResCAM), its definition",
        gradient=hires_cam,
        before_relu=_attribution,
        family="cam",
    )
)

METHODS.add(
    Method(
        name="layer_cam",
        label="LayerCAM",
        summary="positive gradient times activation, summed over channels, positive part",
        source="Jiang et al., IEEE TIP 2021 (LayerCAM), weights ReLU(g)",
        gradient=layer_cam,
        before_relu=_positively_weighted,
        family="cam",
    )
)

METHODS.add(
    Method(
        name="element_wise",
        label="Gradient x activation",
        summary="positive part of gradient times activation, summed over channels",
        source="Shrikumar et al. 2016 (Not Just a Black Box), gradient x input, of a layer",
        gradient=element_wise,
        before_relu=_attribution,
        rectified=True,
        from_pair=_rectified,
        family="cam",
    )
)
