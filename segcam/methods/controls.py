"""Controls: maps that know nothing of the network, against which every score is read."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from segcam.methods import METHODS, Method
from segcam.reference import Reference


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


def stream_seed(seed: int, image_id: str) -> int:
    """Return the seed of an image's random stream: 128 bits of a hash that is the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:16], "big")


def sobel(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return the image's edge strength, averaged over each cell; blank for an image of one colour."""
    return reference.edges


def mask_oracle(reference: Reference) -> Float[Tensor, "b h w"]:
    """Return the share of foreground in each cell; blank for an image without foreground."""
    return reference.once("mask_oracle", lambda: reference.pool(reference.scenery.foreground))


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
