"""Sizes: which images a network does take, where it fails on those that it was given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segcam.errors import out_of_memory

MULTIPLES = (2, 4, 8, 16, 32, 64, 128, 14)
"""What networks want sides to be multiples of: mostly powers of two, and the patches of vision transformers."""
SIDES = (224, 256, 384, 512, 518, 640, 1024)
"""Sides of the images of networks that take one size alone."""


def sizes_taken(model: nn.Module, images: Tensor) -> str:
    """Say which sizes a network takes that has failed on images, and how to give it these; '' where that is not found.

    Args:
        model: the network, held still.
        images: what it has failed on.
    """
    rows, columns = int(images.shape[2]), int(images.shape[3])
    for multiple in MULTIPLES:
        size = (rows + -rows % multiple, columns + -columns % multiple)
        if size != (rows, columns) and _takes(model, images, size):
            return (
                f"; it takes {size[0]} x {size[1]}: resize images to multiples of {multiple}, or say "
                f"multiple = {multiple} of the network's inputs, by which they are padded (segcam.networks.prepare)"
            )
    for side in SIDES:
        if (side, side) != (rows, columns) and _takes(model, images, (side, side)):
            return f"; it takes {side} x {side}: resize images to that"
    return ""


def _takes(model: nn.Module, images: Tensor, size: tuple[int, int]) -> bool:
    try:
        with torch.no_grad():
            model(images.new_zeros((1, images.shape[1], *size)))
    except Exception as error:  # whatever a network raises: it does not take the size
        if out_of_memory(error):
            raise
        return False
    return True
