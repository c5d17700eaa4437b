"""Photographs of any number of channels and bits, as `inputs` of `classes.toml` says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcam.datasets.described.arrays import Slice, is_array, read_array, read_tiff
from segcam.datasets.described.description import Description
from segcam.datasets.pictures import read_photograph, read_samples, seen
from segcam.errors import DataError

Array = npt.NDArray[Any]
_TURNED = (
    "is turned by its EXIF tag, which tools that draw masks may ignore: save it upright, without the tag, as its mask "
    "is; where masks were drawn on photographs as viewers show them, write exif = 'apply' in classes.toml"
)


class Photograph(NamedTuple):
    """A photograph, as PIL's RGB or as an array `(h, w, c)`, and what is odd about its file."""

    image: Image.Image | Array
    odd: list[str]

    @property
    def size(self) -> tuple[int, int]:
        """Its height and width."""
        if isinstance(self.image, Image.Image):
            return self.image.height, self.image.width
        return self.image.shape[0], self.image.shape[1]


def read_image(file: Path, described: Description, at: Slice | None = None) -> Photograph:
    """Read a photograph, or one slice of it, with the channels that are described.

    Raises:
        DataError: it cannot be read, is turned where that is refused, or holds other channels or values.
    """
    channels = described.channels
    odd: list[str] = []
    if is_array(file):
        return Photograph(_fitted(read_array(file, "photograph", at), described, f"photograph {file}"), odd)
    if described.dtype != np.uint8 or len(channels) != 3 or described.ranged:
        return Photograph(_fitted(_samples(file, described), described, f"photograph {file}"), odd)
    try:
        found = read_photograph(file, upright=described.exif == "apply")
    except DataError as error:
        if "has more than 8 bits" not in str(error):
            raise
        raise DataError(f"{error}{_deeper(file, described)}") from error
    if found.turned and described.exif == "refuse":
        raise DataError(f"photograph {file} {_TURNED}")
    if found.format != Image.registered_extensions().get(file.suffix.lower()):
        odd.append(f"{found.format} named {file.suffix or 'without ending'}")
    if found.mode not in ("RGB", "L"):
        odd.append(f"mode {found.mode}")
    return Photograph(found.image, odd)


def _samples(file: Path, described: Description) -> Array:
    """Read the numbers of a picture's file, by tifffile what PIL reads with fewer channels or bits, or not at all."""
    try:
        array, turned = read_samples(file, len(described.channels), upright=described.exif == "apply")
    except DataError:
        if not _is_tiff(file):
            raise
        array, turned = None, False
    if turned and described.exif == "refuse":
        raise DataError(f"photograph {file} {_TURNED}")
    if array is not None:
        return array
    if not _is_tiff(file):
        raise DataError(
            f"photograph {file} has more than 8 bits a colour, which is read of TIFF and .npy alone: save it so"
        )
    return read_tiff(file, "photograph")


def _deeper(file: Path, described: Description) -> str:
    """Say what in `classes.toml` reads a photograph of more than 8 bits."""
    try:
        array = _samples(file, described)
    except DataError:
        return ", or as TIFF or .npy, which are read with inputs = {bits = 16} in classes.toml"
    bits = _range(array.min(), array.max()) if array.dtype.kind == "f" else "bits = 16"
    count = 1 if array.ndim == 2 else min(array.shape[0], array.shape[2])
    numbers = "" if count == 3 else f", mean = {[0.5] * count}, std = {[0.25] * count}"
    grey = f", or channels = 3, which repeats them, and {bits} alone for a network that takes RGB" if count == 1 else ""
    return (
        f"; or say what all photographs hold in classes.toml, inputs = {{channels = {count}, {bits}{numbers}}}, "
        f"with the mean and deviation that the network takes{grey}"
    )


def _range(low: float, high: float) -> str:
    """Return a range of few digits that holds the values from `low` to `high`."""
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1) if high > low else 1.0
    return f"range = [{math.floor(low / step) * step:.12g}, {(math.floor(high / step) + 1) * step:.12g}]"


def _is_tiff(file: Path) -> bool:
    seen(file, "photograph")
    try:
        with file.open("rb") as opened:
            return opened.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except OSError:
        return False


def _fitted(array: Array, described: Description, what: str) -> Array:
    """Return an array as `(h, w, c)` of the described channels and dtype.

    Raises:
        DataError: it has other channels, or values that are not finite or outside the described range.
    """
    channels, dtype = described.channels, described.dtype
    array = _channels_last(array, len(channels), what)
    low, high = array.min(), array.max()
    if not np.isfinite([low, high]).all():
        raise DataError(f"{what} holds NaN or infinity: replace them")
    if array.dtype.kind == "f" and not described.ranged:
        raise DataError(
            f"{what} holds {array.dtype} numbers from {low:g} to {high:g}: name the range of all photographs, such as "
            f"inputs = {{{_range(low, high)}, ...}} in classes.toml"
        )
    if low < channels.low or high > channels.high:
        limits = _range(low, high)
        if not described.ranged and low >= 0 and high < 2**16:
            limits = f"bits = {max(8, int(high).bit_length())}"
        raise DataError(
            f"{what} holds {low:g} to {high:g}, outside {channels.low:g} to {channels.high:g}: name what all "
            f"photographs hold in classes.toml, such as inputs = {{{limits}, ...}}"
        )
    if dtype != np.float32 and array.dtype.kind == "f":
        array = np.rint(array)
    return np.ascontiguousarray(array.astype(dtype, copy=False))


def _channels_last(array: Array, count: int, what: str) -> Array:
    """Return `(h, w, c)`; grey is repeated for three channels, and three alike are one."""
    while array.ndim > 3 and 1 in array.shape:
        array = array.squeeze(array.shape.index(1))
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise DataError(f"{what} is {array.shape}, wanted (height, width) or (height, width, channels): save it so")
    last, first = array.shape[2] == count, array.shape[0] == count
    if last and first and array.shape[0] != array.shape[1]:
        raise DataError(f"{what} is {array.shape}: channels may come first or last; save it larger, with them last")
    if not last and first:
        return np.moveaxis(array, 0, 2)
    if last:
        return array
    if count == 3 and 1 in (array.shape[0], array.shape[2]):
        grey = array if array.shape[2] == 1 else np.moveaxis(array, 0, 2)
        return np.repeat(grey, 3, 2)
    if count == 1 and array.shape[2] == 3 and (array == array[..., :1]).all():
        return array[..., :1]
    least = array.shape[2] if array.shape[2] <= array.shape[0] else array.shape[0]
    raise DataError(
        f"{what} has {least} channels, wanted {count}: name theirs in classes.toml, inputs = {{channels = {least}, "
        "mean = [...], std = [...]}, or save it with others"
    )
