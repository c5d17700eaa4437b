"""Maps of layers on the input's pixels, and which layers are taken."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError, unknown
from segcam.methods import METHODS, Method
from segcam.probe.captures import Capture
from segcam.probe.layers import Layer
from segcam.scoring.grids import upsample


def named(capture: Capture, names: str) -> tuple[Layer, ...]:
    """Return the captured layers of some names: labels, module paths or patterns of them, parted by commas; all for ''.

    Raises:
        InputError: a name is none of theirs.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(_is(layer, name) for layer in capture.layers):
            raise unknown("layer", name, [layer.label for layer in capture.layers])
    return tuple(layer for layer in capture.layers if not wanted or any(_is(layer, name) for name in wanted))


def _is(layer: Layer, name: str) -> bool:
    return any(fnmatch.fnmatchcase(own, name) for own in (layer.label, layer.module))


def deepest_of_each_grid(capture: Capture, layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return of layers whose maps have as many cells the deepest, from the coarsest to the finest."""
    deepest: dict[int, Layer] = {}
    for layer in sorted(layers, key=lambda layer: layer.depth):
        deepest[capture.activations[layer.label][0, 0].numel()] = layer
    return tuple(deepest[cells] for cells in sorted(deepest))


def gradient_method(name: str) -> Method:
    """Return the gradient method whose maps of layers are fused.

    Raises:
        InputError: there is none of that name.
    """
    gradient = {method.name: method for method in METHODS if method.gradient is not None}
    if name not in gradient:
        raise unknown("gradient method", name, gradient)
    return gradient[name]


def on_pixels(maps: Float[Tensor, "b h w"], layer: Layer, capture: Capture) -> Float[Tensor, "b H W"]:
    """Lay a layer's maps over the input's pixels, where its cells lie."""
    return upsample(maps[:, None], capture.size, capture.placements.get(layer.label))[:, 0]


def to_one(maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Scale maps that are not negative to a largest value of 1; blank ones stay."""
    top = maps.amax((1, 2), keepdim=True)
    return maps / top.masked_fill(top == 0, 1)


def maps_of(capture: Capture, layer: Layer, method: Method) -> Float[Tensor, "b h w"]:
    """Return a gradient method's maps of a layer, positive part; 0 where they are undefined, as no layer's say then."""
    return torch.nan_to_num(capture.maps(method.maps, layer), nan=0.0).relu()


def see_layers(layers: Sequence[Layer], what: str) -> None:
    """See that there are layers to fuse.

    Raises:
        InputError: there is one alone.
    """
    if len(layers) < 2:
        raise InputError(f"{what} fuses layers, and there is one alone: probe or name more")
