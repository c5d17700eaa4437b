"""What callers hand in as photographs, maps and masks, of numpy, Pillow or torch: as arrays, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from segcam.arrays import Numbers, integers, real, tensor
from segcam.classes import IGNORE, belonging
from segcam.errors import InputError, shown

Photograph: TypeAlias = Image.Image | NDArray[Any] | Tensor
"""`(h, w, 3)`, `(3, h, w)`, grey `(h, w)`, with transparency or a batch of one: uint8, or floats from 0 to 1."""
Values: TypeAlias = Numbers | Image.Image | str
"""A map `(h, w)` on its layer's grid or on the image's pixels; or, in words, why there is none."""
Mask: TypeAlias = Numbers | Image.Image
"""The pixels of a region `(h, w)`, as booleans or 0 and 1; or class indices, where the class is named."""
Grid = tuple[int, int]

_MODES = ("1", "L", "P", "LA", "PA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")


def photograph(given: Photograph) -> NDArray[np.uint8]:
    """Return a photograph as `(h, w, 3)` uint8.

    Transparency is left out. Numpy's channels lie last and torch's first, where both are possible.

    Raises:
        InputError: it is no picture of 8 bits, or of floats from 0 to 1, with one, three or four channels.
    """
    if isinstance(given, Image.Image):
        if given.mode not in _MODES:
            raise InputError(
                f"the photograph has mode {given.mode}: 8 bits a channel are needed; bring its values to 0..255, save "
                "it as RGB"
            )
        return np.asarray(given.convert("RGB"))
    if not isinstance(given, (np.ndarray, Tensor)):
        cure = (
            "PIL.Image.open(path)" if isinstance(given, str) or hasattr(given, "__fspath__") else "numpy.asarray(...)"
        )
        raise InputError(f"the photograph is {shown(given)}: give an array, a tensor or a picture, such as {cure}")
    first, pixels = isinstance(given, Tensor), _bytes(given)
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim == 3:
        ends = (pixels.shape[0] in (1, 3, 4), pixels.shape[2] in (1, 3, 4))
        if ends[0] and (first or not ends[1]):
            pixels = pixels.transpose(1, 2, 0)
        if pixels.shape[2] not in (1, 3, 4):
            raise InputError(
                f"the photograph is {tuple(given.shape)}: one, three or four channels are needed; of others give "
                "three, such as batch.displayed()[0]"
            )
        pixels = pixels[..., :3]
    elif pixels.ndim == 2:
        pixels = pixels[..., None]
    else:
        raise InputError(f"the photograph is {tuple(given.shape)}: one image, (h, w, 3) or (3, h, w), is needed")
    if 0 in pixels.shape:
        raise InputError(f"the photograph is {tuple(given.shape)}: it has no pixel")
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _bytes(given: NDArray[Any] | Tensor) -> NDArray[np.uint8]:
    """Return pixels as bytes, whichever of the two kinds they are of."""
    kind = str(given.dtype).removeprefix("torch.")
    if kind == "uint8":
        whole: NDArray[np.uint8] = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
        return whole
    if "float" not in kind:
        raise InputError(
            f"the photograph is {kind}: uint8, or floats from 0 to 1, are needed; bring the values to 0..255, then "
            "photograph.astype('uint8')"
        )
    values = real(given, "the photograph's pixels").detach().cpu().double().numpy()
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # NaN as well
        raise InputError(
            f"the photograph's floats are from {low:g} to {high:g}, not from 0 to 1: give the picture, not the "
            "network's input; of values up to 255 photograph / 255"
        )
    scaled: NDArray[np.uint8] = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    return scaled


def plane(given: Values, what: str) -> NDArray[np.float64]:
    """Return a map as `(h, w)` float64.

    Raises:
        InputError: it is no array of numbers on rows and columns.
    """
    if isinstance(given, str):
        raise InputError(f"{what} is {shown(given)}: a map, rows and columns of numbers, is needed")
    numbers = np.asarray(given) if isinstance(given, Image.Image) else given
    values = real(numbers, f"{what}'s values").detach().cpu().double().numpy()
    shape = values.shape
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{what} is {shape}: one map, (h, w), is needed; of several name one, such as maps[0]")
    return values


def region(given: Mask, size: Grid, what: str, class_id: object = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the pixels of a region, and those that count: all but those that a mask of classes ignores (255).

    Args:
        given: the region, or with `class_id` the class of each pixel.
        size: rows and columns of the photograph.
        what: what errors call it.
        class_id: the class whose pixels are the region, or a set of classes.

    Raises:
        InputError: it is not of the photograph's size, or holds other numbers.
    """
    pixels = tensor(np.asarray(given) if isinstance(given, Image.Image) else given, f"the {what}'s pixels")
    if class_id is None:
        other = (pixels != 0) & (pixels != 1)
        if bool(other.any()):
            value = pixels[other][0].item()
            raise InputError(
                f"the {what} holds {value}: a region is True and False, or 1 and 0, such as {what} == {value}; of "
                "class indices name the class, such as class_id=1"
            )
        inside = pixels != 0
        counts = inside.new_ones(inside.shape)
    else:
        classes = integers(pixels, f"the {what}'s pixels")
        inside, counts = belonging(classes, class_id), classes != IGNORE  # type: ignore[arg-type]
    one, two = (mask.detach().cpu().numpy() for mask in (inside, counts))
    while one.ndim > 2 and len(one) == 1:
        one, two = one[0], two[0]
    if one.shape != size:
        swapped = " (are its axes swapped?)" if one.shape == size[::-1] else ""
        raise InputError(
            f"the {what} is {one.shape}, but the photograph {size}{swapped}: bring it to the photograph's size first, "
            "without smoothing (nearest neighbour)"
        )
    return one, two


def size_of(photograph: NDArray[np.uint8] | None, regions: Sequence[Mask | None], maps: Sequence[Values]) -> Grid:
    """Return rows and columns of what is drawn over: the photograph's, or else a mask's, or else the largest map's.

    Raises:
        InputError: there is none of them.
    """
    if photograph is not None:
        return photograph.shape[0], photograph.shape[1]
    arrays = [np.asarray(one) if isinstance(one, Image.Image) else one for one in regions if one is not None]
    sizes = [np.shape(one)[-2:] for one in arrays]  # type: ignore[arg-type]
    sizes = sizes or [plane(values, "the map").shape for values in maps if not isinstance(values, str)]
    if not sizes or len(sizes[0]) < 2:
        raise InputError("neither photograph nor mask nor map is given: there is nothing to draw")
    rows, columns = max(sizes)
    return rows, columns
