"""How images of any size become images of one: squashed, padded, or left as they are."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcam.channels import Channels
from segcam.samples import IGNORE

Resize = Literal["squash", "pad", "none"]
Box = tuple[int, int, int, int]
"""Top, left, height and width of a picture amid its padding."""
Array = npt.NDArray[Any]

RULES: dict[Resize, str] = {
    "squash": "squash to a square: photographs bilinear with antialias (PIL), masks nearest",
    "pad": "fit into a square, in its middle: photographs bilinear with antialias (PIL), masks nearest",
    "none": "as it is",
}


def resized(
    image: Image.Image | Array, mask: npt.NDArray[np.uint8], size: int, resize: Resize, fill: tuple[float, ...]
) -> tuple[Array, npt.NDArray[np.uint8], Box | None]:
    """Bring an image and its mask to a size.

    Args:
        image: mode RGB, or `(h, w, c)`.
        mask: class index a pixel, `(h, w)`.
        size: side of the square.
        resize: 'squash' gives up the aspect ratio; 'pad' keeps it, and ignores what is around the picture; 'none'
            leaves all as it is.
        fill: the value of each channel around the picture.

    Returns:
        The image `(H, W, c)`, its mask `(H, W)`, and where the picture is; None where it is everywhere.
    """
    if resize == "none":
        return np.asarray(image), mask, None
    rows, columns = mask.shape
    if resize == "squash" or rows == columns:
        return _scaled(image, (size, size)), _nearest(mask, (size, size)), None
    height, width = (max(1, round(size * side / max(rows, columns))) for side in (rows, columns))
    top, left = (size - height) // 2, (size - width) // 2
    picture = _scaled(image, (height, width))
    dtype = picture.dtype
    filling = np.rint(fill) if dtype.kind == "u" else np.array(fill)
    padded = np.empty((size, size, picture.shape[2]), dtype)
    padded[:] = filling.astype(dtype)
    labels = np.full((size, size), IGNORE, np.uint8)
    inside = slice(top, top + height), slice(left, left + width)
    padded[inside], labels[inside] = picture, _nearest(mask, (height, width))
    return padded, labels, None if (height, width) == (size, size) else (top, left, height, width)


def filling(channels: Channels) -> tuple[float, ...]:
    """Return the values around padded pictures: the mean, which networks see as about 0."""
    return tuple(channels.low + mean * (channels.high - channels.low) for mean in channels.mean)


def _scaled(image: Image.Image | Array, size: tuple[int, int]) -> Array:
    if isinstance(image, Image.Image):
        return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    kind = np.uint8 if image.dtype == np.uint8 else np.float32  # PIL resizes 16 bits in floating point alone
    bands = [Image.fromarray(np.ascontiguousarray(image[..., c].astype(kind))) for c in range(image.shape[2])]
    scaled = np.stack([np.asarray(b.resize(size[::-1], Image.Resampling.BILINEAR)) for b in bands], 2)
    return np.rint(scaled).astype(image.dtype) if image.dtype == np.uint16 else scaled


def _nearest(mask: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
