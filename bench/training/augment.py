"""Augmentation of training batches: flip, scale, rotation, shift, brightness, contrast and saturation, by sample.

The whole batch is transformed at once. torchvision's and kornia's transforms do the same operations one by one and
took several times longer, as long as the network's own step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from segcam.channels import LUMA, RGB, Channels, Pixels
from segcam.samples import IGNORE


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far training images may be moved and recoloured; zeros leave them as they are.

    Attributes:
        flip: probability of a left-right flip.
        rotation: largest rotation either way, in degrees.
        scale: largest change of size, as a factor: 1.3 draws from 1/1.3 to 1.3.
        shift: largest shift either way, as a share of the side.
        colour: largest relative change of brightness, contrast and saturation.
    """

    flip: float = 0.5
    rotation: float = 15.0
    scale: float = 1.3
    shift: float = 0.1
    colour: float = 0.3

    def __call__(
        self, images: Pixels, masks: UInt8[Tensor, "b h w"], generator: Generator, channels: Channels = RGB
    ) -> tuple[Float[Tensor, "b c h w"], UInt8[Tensor, "b h w"]]:
        """Return normalised network inputs and their masks; what comes in from outside an image is ignored.

        Args:
            images: as they were read.
            masks: class index a pixel.
            generator: a CPU generator; the same one gives the same batch on every device.
            channels: what the images' channels hold; saturation is changed where there are three.
        """
        grid = F.affine_grid(self._transforms(len(images), generator).to(images.device), list(images.shape), False)
        mean = torch.tensor(channels.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(channels.std, device=images.device).view(1, -1, 1, 1)
        coloured = self._recoloured(channels.scaled(images), generator)
        moved = F.grid_sample((coloured - mean) / std, grid, align_corners=False)
        lifted = masks[:, None].float() - IGNORE  # so that the zeros sampled outside mean 'ignore'
        labels = F.grid_sample(lifted, grid, mode="nearest", align_corners=False) + IGNORE
        return moved, labels[:, 0].round().to(torch.uint8)

    def _transforms(self, count: int, generator: Generator) -> Float[Tensor, "b 2 3"]:
        """Draw the maps from output to input coordinates, both in -1..1."""

        def draw(reach: float) -> Tensor:
            return (2 * torch.rand(count, generator=generator) - 1) * reach

        angle = draw(math.radians(self.rotation))
        factor = torch.exp(draw(math.log(self.scale)))
        flips = 1 - 2 * (torch.rand(count, generator=generator) < self.flip).float()
        cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
        rows = torch.stack([cos * flips, -sin, draw(2 * self.shift), sin * flips, cos, draw(2 * self.shift)], 1)
        return rows.view(count, 2, 3)

    def _recoloured(self, images: Float[Tensor, "b c h w"], generator: Generator) -> Float[Tensor, "b c h w"]:
        factors = 1 + (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1) * self.colour
        brightness, contrast, saturation = factors.to(images.device)
        images = images * brightness
        if images.shape[1] == 3:
            luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
            grey = (images * luma).sum(1, keepdim=True)
            images = grey + (images - grey) * saturation
        else:
            grey = images.mean(1, keepdim=True)
        level = grey.mean((2, 3), keepdim=True)
        contrasted: Tensor = level + (images - level) * contrast
        return contrasted.clamp_(0, 1)
