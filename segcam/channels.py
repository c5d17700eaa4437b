"""Channels: what an image's numbers mean, how networks take them, and how people see them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from segcam.errors import InputError, shown

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)

Pixels = UInt8[Tensor, "b c h w"] | Float[Tensor, "b c h w"]
"""Images as they were read: uint8, or float32 for what has more bits."""


@dataclass(frozen=True, slots=True)
class Channels:
    """What an image's channels hold, and with which mean and deviation networks take them.

    Values are brought from `low`..`high` to 0..1 first: `mean` and `std` are shares of that range, as ImageNet's are.
    Three channels are taken for red, green and blue.

    Attributes:
        mean: mean of each channel, in 0..1.
        std: standard deviation of each channel, in 0..1.
        low: the lowest value that a pixel may have.
        high: the highest.

    Raises:
        InputError: mean and deviation differ in number, are no numbers, or a deviation or the range is empty.
    """

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    low: float = 0.0
    high: float = 255.0

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise InputError(f"{len(self.mean)} means and {len(self.std)} deviations: a channel has one of each")
        if not all(math.isfinite(v) for v in (*self.mean, *self.std, self.low, self.high)):
            raise InputError(f"channels {shown(self)}: mean, deviation and range must be finite")
        if min(self.std) <= 0:
            raise InputError(f"deviations {shown(self.std)}: each must be greater than 0")
        if self.low >= self.high:
            raise InputError(f"range {self.low:g} to {self.high:g}: the first must be the smaller one")

    def __len__(self) -> int:
        """Return the number of channels."""
        return len(self.mean)

    def scaled(self, images: Pixels) -> Float[Tensor, "b c h w"]:
        """Bring values from `low`..`high` to 0..1, in float32."""
        values = images.float()
        return ((values - self.low) if self.low else values) / (self.high - self.low)

    def normalised(self, images: Pixels) -> Float[Tensor, "b c h w"]:
        """Return images as networks take them: scaled, less the mean, over the deviation; float32."""
        mean = torch.tensor(self.mean, device=images.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, -1, 1, 1)
        return (self.scaled(images) - mean) / std

    def luminance(self, images: Pixels) -> Float[Tensor, "b h w"]:
        """Return luminance in 0..1: of three channels by ITU-R BT.601's weights, of others their mean."""
        weights = LUMA if len(self) == 3 else (1 / len(self),) * len(self)
        factors = torch.tensor(weights, device=images.device).view(1, -1, 1, 1) / (self.high - self.low)
        values = images.float()
        return (((values - self.low) if self.low else values) * factors).sum(1)

    def displayed(self, images: Pixels) -> UInt8[Tensor, "b 3 h w"]:
        """Return images to look at, RGB.

        RGB of 8 bits stays as it is. Of other images the range becomes 0..255: one channel is grey, of two the first is
        red and the second green, of more than three the first three are red, green and blue: false colours.
        """
        if images.dtype == torch.uint8 and len(self) == 3 and (self.low, self.high) == (0, 255):
            return images
        pictures = (self.scaled(images).clamp(0, 1) * 255).round().to(torch.uint8)
        if len(self) == 1:
            return pictures.expand(-1, 3, -1, -1)
        if len(self) == 2:
            return torch.cat([pictures, torch.zeros_like(pictures[:, :1])], 1)
        return pictures[:, :3]


RGB = Channels()
"""Photographs of 8 bits, taken with ImageNet's mean and deviation."""
