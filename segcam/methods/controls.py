"""Controls, against which every score is read: maps that know nothing of the network, or nothing of the target."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import METHODS, Method
from segcam.methods.material.pair import Pair
from segcam.scoring.reference import Reference
from segcam.streams import stream_seed

WIDTH = 0.25
"""Standard deviation of the centred Gaussian, as a share of the image's side."""


def uniform(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return maps of ones."""
    return torch.ones(len(reference.ids), *reference.grid, dtype=reference.dtype, device=reference.device)


def random(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return independent noise, uniform on 0..1, a number a cell.

    An image's noise is fixed by the scenery's seed and the image's name, whatever the batch, the machine and the
    device: one stream an image, of which every grid takes the first `h w` numbers.
    """
    h, w = reference.grid
    scenery = reference.scenery
    length = max(h * w, reference.size[0] * reference.size[1])

    def draw() -> Float[Tensor, "b n"]:
        streams = [np.random.Generator(np.random.PCG64(stream_seed(scenery.seed, i))) for i in scenery.ids]
        return torch.from_numpy(np.stack([s.random(length) for s in streams])).to(reference.device, reference.dtype)

    noise = scenery.once(f"random {length}", draw)
    return noise[:, : h * w].reshape(-1, h, w)


def sobel(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return the image's edge strength, averaged over each cell; blank for an image of one colour."""
    return reference.edges


def mask_oracle(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return the share of foreground in each cell; blank for an image without foreground."""
    return reference.foreground_share


def gaussian(reference: Reference, width: float = WIDTH) -> Float[Tensor, "b h w"]:
    """Return a Gaussian in the middle of the image, averaged over each cell: photographers centre what they show.

    `exp(-(y^2 + x^2) / (2 width^2))`, with `y` and `x` the distances of a pixel's centre from the image's centre, as
    shares of its height and of its width: on an image that is not square it is as elongated as the image.

    Args:
        reference: the images on the layer's grid; only their size plays a part.
        width: the standard deviation, as a share of the side.

    Raises:
        InputError: the width is not positive.
    """
    if width <= 0:
        raise InputError(f"the Gaussian's width is {width}: it must be a positive share of the image's side")

    def make() -> Float[Tensor, "1 h w"]:
        sides = []
        for side in reference.size:
            at = (torch.arange(side, dtype=torch.float64) + 0.5) / side - 0.5
            sides.append(torch.exp(-at.square() / (2 * width**2)))
        return reference.pool(torch.outer(*sides)[None].to(reference.device))

    return reference.once(f"gaussian {width}", make).expand(len(reference.ids), -1, -1).clone()


def activation_weights(pair: Pair) -> Float[Tensor, "b c"]:
    """Return the same weight for each channel, `1 / c`."""
    shape = pair.activations.shape[:2]
    return pair.activations.new_full(shape, 1 / shape[1])


def activation(activations: Float[Tensor, "b c h w"], gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    """Compute the activation without any gradient: `ReLU(mean_k A_k)`, Grad-CAM with the same weight for each channel.

    What a method scores beyond it, it owes to the target: the map is the same for every class and pixel set.

    Args:
        activations: `A`, a layer's output, `(b, c, h, w)`.
        gradients: play no part.

    Returns:
        The map on the layer's grid, `(b, h, w)`, not negative, in the units of `A`; blank where the mean is nowhere
        positive.
    """
    pair = Pair(activations, gradients)
    return pair.weighted(activation_weights(pair)).relu()


METHODS.add(
    Method(
        name="uniform",
        label="Uniform",
        summary="the same value everywhere",
        source="segcam",
        control=uniform,
        passes=0,
    )
)

METHODS.add(
    Method(
        name="random",
        label="Random",
        summary="independent uniform noise on the layer's grid, fixed by seed and image",
        source="segcam",
        control=random,
        passes=0,
    )
)

METHODS.add(
    Method(
        name="sobel",
        label="Sobel",
        summary="the image's edge strength, averaged onto the layer's grid",
        source="segcam; the edge detector as a control follows Adebayo et al. 2018 (Sanity Checks for Saliency Maps)",
        control=sobel,
        passes=0,
    )
)

METHODS.add(
    Method(
        name="mask_oracle",
        label="Mask oracle",
        summary="the true mask, averaged onto the layer's grid",
        source="segcam",
        control=mask_oracle,
        passes=0,
    )
)

METHODS.add(
    Method(
        name="gaussian",
        label="Centred Gaussian",
        summary="a Gaussian in the middle of the image, its deviation a quarter of each side, averaged onto the grid",
        source="segcam; the centre as a baseline follows Judd et al. 2009 (Learning to Predict Where Humans Look)",
        control=gaussian,
        passes=0,
        parameters={"width": WIDTH},
    )
)

METHODS.add(
    Method(
        name="activation",
        label="Activation only",
        summary="the channels' mean without any gradient, positive part",
        source="segcam",
        gradient=activation,
        weights=activation_weights,
        needs_gradients=False,
        family="control",
    )
)
