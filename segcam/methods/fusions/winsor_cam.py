"""Winsor-CAM: Grad-CAM of all layers, weighted by their importance, whose outliers are cut off."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.arrays import at_least_float32
from segcam.errors import InputError
from segcam.methods import METHODS, method
from segcam.methods.fusions.layered import maps_of, named, on_pixels, see_layers
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer

PERCENTILE = 90.0
LEAST = 0.1
"""The weight of the least important layer that has a say."""


@method("run", label="Winsor-CAM", family="cam", scope="input", fuses=True, least={"percentile": 0.0})
def winsor_cam(subject: Subject, _layer: Layer, percentile: float = PERCENTILE, of: str = "") -> Float[Tensor, "b H W"]:
    """Sum of the Grad-CAM maps of all layers, weighted by importances that are winsorised.

    `L = sum_l w_l U(N(L_l))`, `L_l` Grad-CAM of layer l, N scaling to 0..1 by its own extremes, U bilinear upsampling
    to the input. A layer's importance is the mean over its channels of Grad-CAM's weights, the mean gradients; one that
    is not positive has weight 0. Importances above their `percentile` are set to it, and what is left is scaled to
    0.1..1; where all are equal, and with a percentile of 0, they are 1. So the higher the percentile, the more the
    layers of the largest gradients say alone, which are often the late ones.

    The layers are those that `of` names, by labels or patterns parted by commas; all that are probed unless told. All
    come from the shared pass.

    Returns:
        `L` on the input's pixels, `(b, H, W)`, not negative; zero everywhere (blank) where no layer has a positive
        importance; NaN for images whose pixel set is empty.

    Raises:
        InputError: the percentile lies outside of 0 to 100, or fewer than two layers are there or named.

    Source: Wall et al., IEEE TPAMI 2026 (Winsor-CAM, arXiv:2507.10846); the means, 0.1 and bilinear upsampling as in
    the authors' code and its examples.
    """
    if not 0 <= percentile <= 100:
        raise InputError(f"percentile is {percentile}: a number from 0 to 100 is needed")
    capture = subject.capture
    layers = named(capture, of)
    see_layers(layers, "Winsor-CAM")
    gradients = [at_least_float32(capture.gradients[layer.label]) for layer in layers]
    importances = torch.stack([one.mean((1, 2, 3)) for one in gradients], 1).relu()
    weights = torch.stack([winsorised(one, percentile) for one in importances])
    total = weights.new_zeros(len(weights), *capture.size)
    for layer, weight in zip(layers, weights.unbind(1), strict=True):
        maps = maps_of(capture, layer, METHODS.get("grad_cam"))
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        scaled = (maps - low) / (high - low).masked_fill(high == low, torch.inf)
        total += weight[:, None, None] * on_pixels(scaled, layer, capture)
    return undefined_where_empty(total, subject)


def winsorised(importances: Float[Tensor, " l"], percentile: float) -> Float[Tensor, " l"]:
    """Return the weights of an image's layers: 0 for those of no importance, else 0.1..1."""
    positive = importances > 0
    if not positive.any():
        return importances
    own = importances[positive]
    own = own.clamp(max=torch.quantile(own, percentile / 100).item())
    low, high = own.amin(), own.amax()
    scaled = torch.ones_like(own) if high == low else LEAST + (1 - LEAST) * (own - low) / (high - low)
    return importances.masked_scatter(positive, scaled)
