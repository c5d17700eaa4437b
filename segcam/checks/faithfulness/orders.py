"""In which order pixels go: a map's, a random one, and one matched to a map in how much of the object it takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import booleans, integers, real
from segcam.errors import InputError
from segcam.scoring.grids import Grid, Placement, upsample
from segcam.streams import permutations

EQUAL = 2.0**-20
"""Up to which share of the largest value two values are the same."""

NO_ORDER = -1
"""What stands throughout in the place of pixels where there is no order."""


def undefined(maps: Float[Tensor, "b m h w"]) -> Bool[Tensor, "b m"]:
    """Return which maps say nothing: blank ones, zero or below everywhere, and those that hold NaN or infinity."""
    flat = stacked(maps).flatten(2)
    return (flat.amax(2) <= 0) | ~flat.isfinite().all(2)


def stacked(maps: Float[Tensor, "b m h w"], images: int | None = None) -> Float[Tensor, "b m h w"]:
    """Return maps in float32 at least.

    Raises:
        InputError: they are no numbers, no stack of maps for each image, or not of this number of images.
    """
    stack = real(maps, "maps")
    if stack.ndim != 4 or 0 in stack.shape[2:] or images not in (None, len(stack)):
        of = "images" if images is None else f"{images} images"
        raise InputError(
            f"maps are {tuple(stack.shape)}: ({of}, maps, h, w) is needed; for one map an image maps[:, None]"
        )
    return stack


def order(
    maps: Float[Tensor, "b m h w"], ids: Sequence[str], size: Grid, seed: int = 0, placement: Placement | None = None
) -> Int[Tensor, "b m n"]:
    """Return the pixels of each image from the map's highest to its lowest value.

    The map is upsampled bilinearly to the image. Equal values, of which a map after ReLU has many, are in a random
    order that is the same for all maps of an image, so that a uniform map gives a random order. Values are equal up to
    a millionth of the largest: upsampling makes a constant one only up to rounding, whose pattern is no order. Scale
    plays no part.

    Args:
        maps: on one grid, `m` for each image.
        ids: the images' names, which fix the order of equals.
        size: height and width of the images.
        seed: of the order of equals.
        placement: where the maps' grid lies on the images; None where it spans them.

    Returns:
        Numbers of pixels in rows, `n = H W`; -1 throughout for a map that is blank or not finite: it has no order.
    """
    n = size[0] * size[1]
    maps = wide = stacked(maps, len(ids))
    same = tuple(maps.shape[-2:]) == size and placement is None
    full = wide if same else upsample(wide, size, placement)
    first = permutations(ids, n, seed, "ties").to(maps.device)[:, None].expand(-1, maps.shape[1], -1)
    steps = (full / full.abs().amax((2, 3), keepdim=True) / EQUAL).round()
    values = steps.flatten(2).gather(2, first)
    ranked = first.gather(2, values.argsort(dim=2, descending=True, stable=True))
    return ranked.masked_fill(undefined(maps)[..., None], NO_ORDER)


def orders_of(orders: Int[Tensor, "b m n"], pixels: Bool[Tensor, "b H W"]) -> Int[Tensor, "b m n"]:
    """Return orders as they must be for images of these pixels: each pixel's number once, or -1 throughout.

    Raises:
        InputError: they are not; `order` makes them from maps.
    """
    numbers = integers(orders, "orders").to(pixels.device)
    shape = (len(pixels), pixels[0].numel()) if pixels.ndim == 3 and len(pixels) else (0, 0)
    fit = numbers.ndim == 3 and (numbers.shape[0], numbers.shape[2]) == shape
    if fit:
        ordered = numbers.sort(2).values
        fit = bool(((ordered == torch.arange(shape[1], device=pixels.device)) | (numbers == NO_ORDER)).all())
    if not fit:
        raise InputError(
            f"orders are {tuple(numbers.shape)} for images {tuple(pixels.shape)}: (images, maps, pixels) are needed, "
            "the number of each pixel once, as order(maps, ids, size) gives them"
        )
    return numbers


def random_order(ids: Sequence[str], size: Grid, seed: int = 0) -> Int[Tensor, "b 1 n"]:
    """Return a random order for each image: that of a uniform map."""
    return order(torch.ones(len(ids), 1, *size), ids, size, seed)


def area_matched(
    pixels: Int[Tensor, "b m n"], inside: Bool[Tensor, "b H W"], ids: Sequence[str], seed: int = 0
) -> Int[Tensor, "b m n"]:
    """Return random orders that take as many pixels of `inside` as the given ones at every step.

    What an order owes to taking the object first, whichever of its pixels, such an order has as well.

    Args:
        pixels: orders of all pixels; -1 where there is none, and none is given then.
        inside: the predicted set.
        ids: the images' names.
        seed: of the choice.

    Raises:
        InputError: the orders are not of these images' pixels.
    """
    inside = booleans(inside, "the predicted set")
    pixels = orders_of(pixels, inside)
    b, _, n = pixels.shape
    chance = permutations(ids, n, seed, "matched").to(pixels.device)
    orders = torch.full_like(pixels, NO_ORDER)
    flat = inside.flatten(1)
    for i in range(b):
        defined = pixels[i, :, 0] != NO_ORDER
        taken, drawn = flat[i][pixels[i, defined]], flat[i][chance[i]]
        matched = torch.empty_like(pixels[i, defined])
        for side in (True, False):
            matched[taken == side] = chance[i][drawn == side].repeat(len(matched))
        orders[i, defined] = matched
    return orders
