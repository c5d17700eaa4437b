"""RefineCAM: the product of several layers' maps, coarse ones that tell what and fine ones that tell where."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.fusions.layered import (
    deepest_of_each_grid,
    gradient_method,
    maps_of,
    named,
    on_pixels,
    see_layers,
    to_one,
)
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer


@method("run", label="RefineCAM", family="cam", scope="input", fuses=True)
def refine_cam(subject: Subject, _layer: Layer, of: str = "", base: str = "grad_cam_pp") -> Float[Tensor, "b H W"]:
    """Product of the maps of several layers, each scaled to a largest value of 1.

    `L = prod_l U(L_l / max L_l)`, `L_l` the map of layer l by the gradient method `base`, Grad-CAM++ unless told, and U
    bilinear upsampling to the input. A pixel is lit where all layers light it. The layers are those that `of` names, by
    labels or patterns parted by commas; unless told, of those probed the deepest of each resolution. All come from the
    shared pass.

    Where a layer's map is blank, so is the product. torch-cam subtracts each map's smallest value before it is scaled.
    So does pytorch-grad-cam, once it has enlarged the map; the scaling that it means to do after that has no effect,
    since it rebinds a loop variable.

    Returns:
        `L` on the input's pixels, `(b, H, W)`, not negative, at most 1; NaN for images whose pixel set is empty.

    Raises:
        InputError: fewer than two layers are there or named, or `base` is no gradient method.

    Source: Domeniconi et al. 2026 (How to Evaluate and Refine your CAM, arXiv:2605.14641), RefineCAM; the layers:
    segcam.
    """
    capture, fused = subject.capture, gradient_method(base)
    layers = named(capture, of)
    layers = layers if of else deepest_of_each_grid(capture, layers)
    see_layers(layers, "RefineCAM")
    maps = [on_pixels(to_one(maps_of(capture, layer, fused)), layer, capture) for layer in layers]
    return undefined_where_empty(torch.stack(maps).prod(0), subject)
