"""Controls, against which every score is read: maps that know nothing of the network, or nothing of the target."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.methods import method
from segcam.methods.material.pair import Pair
from segcam.scoring.grids import Placement, to_grid
from segcam.scoring.reference import WIDTH, Reference
from segcam.streams import stream_seed


@method("control", label="Uniform")
def uniform(reference: Reference) -> Float[Tensor, "b h w"]:
    """The same value everywhere."""
    return torch.ones(len(reference.ids), *reference.grid, dtype=reference.dtype, device=reference.device)


@method("control", label="Random")
def random(reference: Reference) -> Float[Tensor, "b h w"]:
    """Independent uniform noise on the layer's grid, fixed by seed and image.

    The noise, on 0..1, is fixed by the scenery's seed and the image's name, whatever the batch, the machine and the
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


@method("control", label="Sobel")
def sobel(reference: Reference) -> Float[Tensor, "b h w"]:
    """The image's edge strength, averaged onto the layer's grid.

    Blank for an image of one colour.

    Source: segcam; the edge detector as a control follows Adebayo et al. 2018 (Sanity Checks for Saliency Maps).
    """
    return reference.edges


@method("control", label="Mask oracle", masks=True)
def mask_oracle(reference: Reference) -> Float[Tensor, "b h w"]:
    """The true mask, averaged onto the layer's grid.

    Blank for an image without foreground.
    """
    return reference.foreground_share


@method("control", label="Mask, half a cell off", masks=True)
def mask_displaced(reference: Reference) -> Float[Tensor, "b h w"]:
    """The true mask as a grid sees it that lies half a cell up and left of where it is taken to lie.

    What a perfect map scores whose placement is wrong by half a cell: the scale of errors by geometry alone. Behind
    convolutions of stride 2 with padding, maps that are stretched over the image are off by that much.
    """
    place = reference.placement or Placement.stretched(reference.grid, reference.size)
    (row, column), (down, across) = place.origin, place.step
    moved = Placement((row - down / 2, column - across / 2), place.step)
    return to_grid(reference.scenery.foreground[:, None].to(reference.dtype), reference.grid, moved)[:, 0]


@method("control", label="Centred Gaussian", least={"width": 1e-6})
def gaussian(reference: Reference, width: float = WIDTH) -> Float[Tensor, "b h w"]:
    """A Gaussian in the middle of the image, its deviation a quarter of each side, averaged onto the grid.

    Photographers centre what they show. `exp(-(y^2 + x^2) / (2 width^2))`, with `y` and `x` the distances of a pixel's
    centre from the image's centre, as shares of its height and of its width: on an image that is not square it is as
    elongated as the image.

    Args:
        reference: the images on the layer's grid; only their size plays a part.
        width: the standard deviation, as a share of the side.

    Raises:
        InputError: the width is not positive.

    Source: segcam; the centre as a baseline follows Judd et al. 2009 (Learning to Predict Where Humans Look).
    """
    if width <= 0:
        raise InputError(f"the Gaussian's width is {width}: it must be a positive share of the image's side")

    return reference.centre(width).expand(len(reference.ids), -1, -1).clone()


@method(label="Activation only", family="control", needs_gradients=False)
def activation(pair: Pair) -> Float[Tensor, "b c"]:
    """The channels' mean without any gradient, positive part.

    `ReLU(mean_k A_k)`, Grad-CAM with the same weight for each channel, in the units of `A`. What a method scores beyond
    it, it owes to the target: the map is the same for every class and pixel set.
    """
    shape = pair.activations.shape[:2]
    return pair.activations.new_full(shape, 1 / shape[1])
