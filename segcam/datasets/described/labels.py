"""Which class each pixel of a mask belongs to: by value, by colour, or by its palette's colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segcam.datasets.described.arrays import Slice, is_array, read_array
from segcam.datasets.described.description import Description
from segcam.datasets.pictures import Values, read_values, whole
from segcam.errors import DataError
from segcam.samples import IGNORE

Array = npt.NDArray[Any]
_SHOWN = 10


class Mask(NamedTuple):
    """A mask and what its file held.

    Attributes:
        classes: class index a pixel, `(h, w)` uint8; `IGNORE` where it belongs to none.
        pixels: of each class their number, and at the end that of ignored ones.
        ignored: the values or colours of the ignored pixels.
        colours: the colours of the values of a palette that was not read by colour.
    """

    classes: npt.NDArray[np.uint8]
    pixels: list[int]
    ignored: list[Any]
    colours: dict[str, list[int]]


def read_mask(file: Path, described: Description, at: Slice | None = None) -> Mask:
    """Read a mask, or one slice of it.

    Raises:
        DataError: it cannot be read, is turned where that is refused, or holds what is not declared.
    """
    if is_array(file):
        found = Values(_of_array(read_array(file, "mask", at), described, file), [])
    else:
        apply = described.exif == "apply"
        found = read_values(file, "mask", coloured=bool(described.colours), upright=apply)
        if found.turned and not apply:
            raise DataError(
                f"mask {file} is turned by its EXIF tag, which tools may ignore: save it as its photograph is, without "
                "the tag; or write exif = 'apply' in classes.toml where every file is to be turned as its tag says"
            )
    values, palette = found.values, found.palette
    if palette and described.colours:  # of values beyond the palette there is no colour
        known = np.array([*palette, *[[0, 0, 0]] * max(0, int(values.max()) + 1 - len(palette))], np.uint8)
        values, palette = known[values], []
    elif values.ndim == 2 and not described.by_value:
        if values.min() < 0 or values.max() > 255:
            raise DataError(
                f"mask {file} holds {values.min()} to {values.max()}, which are no colours: save it in 8 bits"
            )
        values = np.repeat(values.astype(np.uint8)[..., None], 3, 2)
    if values.ndim == 3:
        return _by_colour(values.astype(np.uint32), described, file)
    return _by_value(values, palette, described, file)


def _of_array(array: Array, described: Description, file: Path) -> Array:
    coloured = array.ndim == 3 and array.shape[2] == 3 and bool(described.colours)
    while array.ndim > 2 and 1 in array.shape and not coloured:
        array = array.squeeze(array.shape.index(1) if array.shape[-1] != 1 else -1)
    if array.ndim != 2 and not coloured:
        raise DataError(
            f"mask {file} is {array.shape}, wanted (height, width), a whole number a pixel: of one layer a class, save "
            "the highest's index (argmax); of a volume, slices = 0 in classes.toml (or 1, 2) takes each slice"
        )
    if array.dtype.kind == "f":
        return whole(array, f"mask {file}")
    return array if array.dtype.kind == "u" and array.dtype.itemsize < 8 else array.astype(np.int64)


def _by_value(values: Array, palette: list[list[int]], described: Description, file: Path) -> Mask:
    held, counts = _held(values)
    if strange := [v for v in held if v not in described.values]:
        usual = {i: i for i in range(len(described.classes))}
        classes = {v: c for v, c in described.values.items() if c != IGNORE}
        if classes == usual:
            known = f"0 to {len(described.classes) - 1}"
        else:
            known = ", ".join(map(str, [*sorted(classes)[:_SHOWN], *["..."] * (len(classes) > _SHOWN)]))
        ignored = sorted(v for v, c in described.values.items() if c == IGNORE)
        known += f" and {', '.join(map(str, ignored))} (ignored)" if ignored else ""
        raise DataError(
            f"mask {file} holds {_listed(strange)}: not declared in classes.toml, known are {known}; save it with "
            "these, or say what they are with values = {0 = 0, ...}, value = class, and ignore = [...]"
        )
    table = np.zeros(max(held) + 1, np.uint8)
    table[held] = of_held = np.array([described.values[v] for v in held], np.uint8)
    ignored = [v for v in held if described.values[v] == IGNORE]
    colours = {str(v): palette[v] for v in held if 0 <= v < len(palette)}
    return Mask(table[values], _counted(of_held, counts, described), ignored, colours)


def _held(values: Array) -> tuple[list[int], Array]:
    """Return the different values of a mask, and how many pixels have each."""
    if values.dtype != np.uint8:
        found, counts = np.unique(values, return_counts=True)
        return [int(v) for v in found], counts
    counts = np.bincount(values.reshape(-1), minlength=256)  # many times faster than sorting them
    found = np.flatnonzero(counts)
    return found.tolist(), counts[found]


def _by_colour(values: Array, described: Description, file: Path) -> Mask:
    codes = values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
    found, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    held = [(int(v) >> 16, int(v) >> 8 & 255, int(v) & 255) for v in found]
    if strange := [list(v) for v in held if v not in described.colours]:
        known = [list(v) for v in described.colours]
        raise DataError(
            f"mask {file} holds the colours {_listed(strange)}: not declared in classes.toml, known are "
            f"{_listed(known)}; name them in colours = {{...}}, or in ignore = [[red, green, blue], ...]; where they "
            "are shades between two, save masks without smoothing and compression"
        )
    classes = np.array([described.colours[v] for v in held], np.uint8)
    ignored = [list(v) for v in held if described.colours[v] == IGNORE]
    return Mask(classes[where.reshape(codes.shape)], _counted(classes, counts, described), ignored, {})


def _counted(classes: Array, counts: Array, described: Description) -> list[int]:
    """Return the number of pixels of each class, and of the ignored ones."""
    pixels = np.bincount(classes, counts, IGNORE + 1).astype(int)
    return [*pixels[: len(described.classes)].tolist(), int(pixels[IGNORE])]


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
