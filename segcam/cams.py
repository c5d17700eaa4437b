"""Many gradient CAMs of one layer at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.layers import Layer
from segcam.methods import Method
from segcam.pairs import Pair, combined
from segcam.probe import Capture
from segcam.targets import at_least_float32

BLOCK = 2**20
"""How many activations to take at once on a processor: with temporaries of more, its memory sets the pace."""


def together(
    activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"], methods: Sequence[Method]
) -> tuple[Float[Tensor, "b m h w"], Float[Tensor, "b m h w"]]:
    """Compute the maps of several gradient methods for one layer, sharing what they have in common.

    Args:
        activations: `A`, a layer's output.
        gradients: `G`, the score's derivatives by it, of the same shape.
        methods: gradient methods, `m` of them.

    Returns:
        The maps before ReLU, signed, and the maps, in the order of `methods`; each is the method's own up to rounding.
        Of a method that tells no map before ReLU the map stands in both.

    Raises:
        InputError: a method is no gradient method.
    """
    wrong = [method.name for method in methods if method.gradient is None]
    if wrong:
        raise InputError(f"method {wrong[0]} is made from more than activations and gradients: leave it out")
    b, c, h, w = activations.shape
    signed, maps = (activations.new_empty(b, len(methods), h, w) for _ in range(2))
    images = max(1, BLOCK // max(1, c * h * w)) if activations.is_cpu else b
    for at in range(0, b, images):
        block = slice(at, at + images)
        _fill(Pair(activations[block], gradients[block]), methods, signed[block], maps[block])
    return signed, maps


def layer_maps(
    capture: Capture, layer: str | Layer, methods: Sequence[Method]
) -> tuple[Float[Tensor, "b m h w"], Float[Tensor, "b m h w"]]:
    """Return `together` of one captured layer, float32 or wider; NaN for images whose pixel set is empty.

    Args:
        capture: what a probe gave.
        layer: the layer, or its label.
        methods: gradient methods, `m` of them.
    """
    label = layer.label if isinstance(layer, Layer) else layer
    activations, gradients = (at_least_float32(s[label]) for s in (capture.activations, capture.gradients))
    signed, maps = together(activations, gradients, methods)
    empty = (capture.explained.pixels == 0).view(-1, 1, 1, 1)
    return signed.masked_fill_(empty, torch.nan), maps.masked_fill_(empty, torch.nan)


def _fill(
    pair: Pair, methods: Sequence[Method], signed: Float[Tensor, "b m h w"], maps: Float[Tensor, "b m h w"]
) -> None:
    """Write all methods' maps of a pair."""
    weighted = [i for i, method in enumerate(methods) if method.weights is not None]
    # Those that need no gradients first: what they derive from the activations makes others cheaper.
    weighted.sort(key=lambda i: methods[i].needs_gradients)
    if weighted:
        found = combined(
            pair.activations, torch.stack([weights(pair) for i in weighted if (weights := methods[i].weights)], 1)
        )
        for n, i in enumerate(weighted):
            signed[:, i] = found[:, n]
    for i, method in enumerate(methods):
        if method.before_relu is not None:
            signed[:, i] = method.before_relu(pair)
        elif method.weights is None:
            assert method.gradient is not None  # checked before
            signed[:, i] = method.gradient(pair.activations, pair.gradients)
    torch.clamp_min(signed, 0, out=maps)
    for i, method in enumerate(methods):
        if method.from_pair is not None:
            maps[:, i] = method.from_pair(pair)
        elif method.rectified:
            assert method.gradient is not None  # as above
            maps[:, i] = method.gradient(pair.activations, pair.gradients)
        elif method.weights is None and method.before_relu is None:
            maps[:, i] = signed[:, i]
