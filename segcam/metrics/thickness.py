"""How thick the lines and patches of a map are, in input pixels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import full
from segcam.scoring.reference import Reference

HALF = 0.5 * (1 - 1e-4)
"""Share of the maximum at which the upper half begins: a half, but that rounding shall not decide where it is met."""


@metric(
    label="Edge thickness",
    direction="none",
    lower=0.5,
    upper=None,
    chance=None,
    unit="px",
    every_pixel=True,
    masks=False,
)
def edge_thickness(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Twice the area over the perimeter of the upsampled map's part at or above half of its maximum.

    It is the mean width of the map's upper half, in input pixels. The map is upsampled bilinearly to the image; its
    upper half are the pixels at or above half of the upsampled map's maximum (a line's full width at half maximum). The
    area is their number, the perimeter the number of pixel sides between them and other pixels or the image's frame. A
    line of width w and length l, along an axis, thus measures `w / (1 + w / l)`, a square half its side. Pixel sides
    are longer than a slanted outline by up to the root of two, which at 45 degrees makes a line measure that much
    thinner; a ragged outline counts in full.

    Args:
        maps: non-negative maps.
        reference: what they are measured against; the image's size alone plays a part.

    Returns:
        Widths from 1/2, a single pixel, to `H W / (H + W)`, the whole image. NaN for a blank or undefined map, and
        where sampling a grid finer than the image finds none of the map.
    """
    large = full(maps, reference)
    top = large.amax((2, 3), keepdim=True)
    inside = large >= HALF * top
    area = _count(inside)
    frame = _count(inside[:, :, [0, -1]]) + _count(inside[..., [0, -1]])
    between = _count(inside[:, :, 1:] ^ inside[:, :, :-1]) + _count(inside[..., 1:] ^ inside[..., :-1])
    width = (2 * area).to(large.dtype) / (frame + between)
    return width.masked_fill(~(top[..., 0, 0] > 0), torch.nan)


def _count(pixels: Bool[Tensor, "b m h w"]) -> Int[Tensor, "b m"]:
    return pixels.view(torch.uint8).sum((2, 3), dtype=torch.int32)  # several times faster than a sum of booleans
