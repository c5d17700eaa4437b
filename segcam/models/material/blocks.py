"""Blocks of convolutions."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(8, channels), channels) if kind == "group" else nn.Identity()


class Block(nn.Module):
    """Two 3x3 convolutions with padding, each with its normalisation and ReLU."""

    def __init__(self, incoming: int, channels: int, norm: str) -> None:
        super().__init__()
        bias = norm == "none"  # a normalisation has its own shift
        self.conv1 = nn.Conv2d(incoming, channels, 3, padding=1, bias=bias)
        self.norm1 = _norm(norm, channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.norm2 = _norm(norm, channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return the block's features at the resolution of its input."""
        x = self.relu1(self.norm1(self.conv1(x)))
        out: Tensor = self.relu2(self.norm2(self.conv2(x)))
        return out
