"""Image files of the user's, read safely: a few formats, one picture a file, and one error for whatever is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from segcam.errors import DataError
from segcam.files import plain_file, unreadable

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""What is read. Others may start another program (EPS), or open nearly any file (TGA)."""

_LOSSY = {
    "JPEG": "a JPEG",
    "MPO": "a JPEG",
    "WEBP": "a WEBP",
    "jpeg": "a TIFF compressed as JPEG",
    "webp": "a TIFF compressed as WEBP",
}
_ORIENTATION = 0x0112  # the EXIF tag
_SAMPLE_FORMAT = 339  # the TIFF tag; 2 stands for signed numbers
_DEEP = re.compile(r";(12|16|32)[A-Z]")  # of PIL's raw modes, such as RGB;16B; BMP's BGR;16 has 16 bits a pixel
_COLOURED = ("RGB", "RGBA", "LA")
_SAMPLES = 277  # the TIFF tag of the number of channels
_FEW_BITS = re.compile(r"L;([24])R?")
_INVERTED = re.compile(r"L;[24]?IR?")


class Photograph(NamedTuple):
    """A photograph (mode RGB), and of its file the format, mode, number of pictures, and if its EXIF tag turns it."""

    image: Image.Image
    format: str
    mode: str
    frames: int
    turned: bool


class Values(NamedTuple):
    """What a mask's file holds.

    Attributes:
        values: whole numbers, `(h, w)`; of a coloured mask red, green and blue, `(h, w, 3)`.
        palette: of a file with a palette the values' colours (R, G, B).
        turned: whether an EXIF tag turns it.
    """

    values: npt.NDArray[np.integer]
    palette: list[list[int]]
    turned: bool = False


def seen(file: Path, what: str) -> None:
    """See that an image file is a plain one.

    Raises:
        DataError: it is a link to nothing, or as `plain_file`.
    """
    if file.is_symlink() and not file.exists():
        raise DataError(f"{what} {file} is a link to a file that does not exist: put the file itself there")
    plain_file(file, what, DataError)


@contextmanager
def opened(file: Path, what: str, *, animated: bool = False) -> Iterator[Image.Image]:
    """Open an image file; what goes wrong in the block, in a decoder above all, is an error of ours, too.

    Args:
        file: the file.
        what: how errors call it, such as 'mask'.
        animated: whether files of several pictures are taken, at the first.

    Raises:
        DataError: it is no plain file, of none of `FORMATS`, damaged, too large, or holds several pictures.
    """
    seen(file, what)
    if not file.stat().st_size:
        raise DataError(f"{what} {file} is empty: restore it")
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if not animated and (frames := _frames(picture)) > 1:
                raise DataError(
                    f"{what} {file} holds {frames} pictures: save the one that is meant as a file of its own"
                )
            yield picture
    except DataError:
        raise
    except UnidentifiedImageError as problem:
        known = ", ".join(FORMATS)
        raise DataError(f"{what} {file} is damaged, or none of {known}: save it as PNG") from problem
    except Image.DecompressionBombError as problem:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{what} {file} has more than {most:,} pixels: save it smaller") from problem
    except MemoryError as problem:
        raise DataError(f"{what} {file} does not fit into memory: save it smaller") from problem
    except Exception as problem:  # decoders raise what they like: by format and kind of damage, nearly all there is
        raise unreadable(file, what, problem, DataError, "restore it, or save it anew") from problem


def read_photograph(file: Path, *, animated: bool = False, upright: bool = False) -> Photograph:
    """Read a photograph; see `opened`.

    Args:
        file: the file.
        animated: whether files of several pictures are taken, at the first.
        upright: whether a photograph that its EXIF tag turns is turned.

    Raises:
        DataError: as `opened`; or it has more than 8 bits a colour.
    """
    with opened(file, "photograph", animated=animated) as picture:
        raw, highest = _raw(picture)
        if picture.mode.startswith(("I", "F")) or _DEEP.search(raw) or highest > 255:
            raise DataError(f"photograph {file} has more than 8 bits (mode {picture.mode}): save it with 8")
        turned = is_turned(picture)
        frames, kind, mode = _frames(picture), picture.format or "unknown", picture.mode
        if mode == "LAB":  # PIL converts it to nothing else
            raise DataError(f"photograph {file} has mode LAB: save it as RGB")
        return Photograph((stood(picture, file) if upright else picture).convert("RGB"), kind, mode, frames, turned)


def read_samples(file: Path, channels: int, *, upright: bool) -> tuple[npt.NDArray[Any] | None, bool]:
    """Read a photograph's numbers, `(h, w)` or `(h, w, c)`, and whether its EXIF tag turns it; see `opened`.

    Palettes become colours; transparency is left out where it is not among the wanted number of channels. None in
    place of the numbers are those that PIL reads with fewer bits or channels than the file has.

    Raises:
        DataError: as `opened`.
    """
    with opened(file, "photograph") as picture:
        mode, deep = picture.mode, _DEEP.search(_raw(picture)[0])
        samples = getattr(picture, "tag_v2", {}).get(_SAMPLES, len(picture.getbands()))
        if (deep and not mode.startswith(("I", "F"))) or samples != len(picture.getbands()):
            return None, is_turned(picture)
        turned = is_turned(picture)
        shown = stood(picture, file) if upright else picture
        if mode == "1" or (mode == "LA" and channels != 2):
            shown = shown.convert("L")
        elif mode not in ("L", "LA", "I", "I;16", "I;16B", "I;16L", "F", "RGB") and (mode != "RGBA" or channels != 4):
            shown = shown.convert("RGB")
        return np.asarray(shown), turned


def is_turned(picture: Image.Image) -> bool:
    """Return whether an EXIF tag turns or mirrors a picture."""
    return picture.getexif().get(_ORIENTATION) in range(2, 9)


def stood(picture: Image.Image, file: Path) -> Image.Image:
    """Return a picture as viewers show it: turned where its EXIF tag turns it.

    Raises:
        DataError: it is a TIFF that its tag turns, which PIL reads in a wrong order.
    """
    if picture.format == "TIFF" and is_turned(picture):
        raise DataError(f"{file} is a TIFF that its orientation tag turns: save it upright, without the tag")
    return ImageOps.exif_transpose(picture)


def read_values(file: Path, what: str, *, coloured: bool = False, upright: bool = False) -> Values:
    """Read the values of a mask as its file has them: a palette's indices, not its colours.

    Args:
        file: the file.
        what: how errors call it.
        coloured: whether a mask may hold colours.
        upright: whether a mask that its EXIF tag turns is turned.

    Raises:
        DataError: as `opened`; or it holds no whole numbers of one channel, or its format changes them.
    """
    with opened(file, what) as picture:
        picture.verify()  # a PNG's checksums: some flipped bytes decode to other values; nothing can be read after it
    with opened(file, what) as picture:
        raw, highest = _raw(picture)
        kinds = [str(picture.format), str(picture.info.get("compression"))]
        if lossy := [_LOSSY[kind] for kind in kinds if kind in _LOSSY]:
            raise DataError(f"{what} {file} is {lossy[0]}, which changes values: save masks as PNG")
        if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "F", *_COLOURED) or (
            picture.mode in _COLOURED and _DEEP.search(raw)
        ):
            raise DataError(
                f"{what} {file} holds colours (mode {picture.mode}), wanted one channel of class indices: "
                "save it as a greyscale or palette PNG"
            )
        if _INVERTED.fullmatch(raw):
            raise DataError(f"{what} {file} counts from white (a TIFF of kind 'white is zero'): save it as PNG")
        signed = picture.mode == "L" and 2 in getattr(picture, "tag_v2", {}).get(_SAMPLE_FORMAT, ())
        turned, mode = is_turned(picture), picture.mode
        if upright or picture.format == "TIFF":
            picture = stood(picture, file)  # noqa: PLW2901  (the same picture)
        values: npt.NDArray[np.integer] = np.asarray(picture)
        flat = (picture.getpalette("RGB") or []) if mode == "P" else []
    if few := _FEW_BITS.fullmatch(raw):  # PIL spreads grey values of 2 and 4 bits over 0..255
        values = values // (85 if few[1] == "2" else 17)
    elif highest:  # and those of a PGM
        top = 65535 if values.dtype.itemsize > 1 else 255
        values = (values.astype(np.int64) * highest + top // 2) // top
    elif signed:
        values = values.view(np.int8)
    elif values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if mode == "F":
        values = whole(values, f"{what} {file}")
    elif mode in _COLOURED:
        values = _uncoloured(values, mode, f"{what} {file}", coloured=coloured)
    return Values(values, [flat[i : i + 3] for i in range(0, len(flat), 3)], turned)


def whole(values: npt.NDArray[Any], what: str) -> npt.NDArray[np.integer]:
    """Return the whole numbers that a mask of floating point holds.

    Raises:
        DataError: some are fractions, NaN, infinite or beyond 32 bits.
    """
    with np.errstate(invalid="ignore"):
        numbers = np.where(np.abs(values) < 2**31, values, 0.5).astype(np.float64)
    if (numbers != np.rint(numbers)).any():
        raise DataError(f"{what} holds fractions, wanted whole numbers, a class each: save them as a greyscale PNG")
    return numbers.astype(np.int64)


def _uncoloured(values: npt.NDArray[np.integer], mode: str, what: str, *, coloured: bool) -> npt.NDArray[np.integer]:
    """Return the values of a mask of several channels: one channel where all are alike, and none is transparent."""
    if mode in ("RGBA", "LA"):
        if (values[..., -1] != 255).any():
            raise DataError(f"{what} has transparent pixels: save it without an alpha channel")
        values = values[..., :-1]
    if coloured and mode != "LA":
        return values
    if (values != values[..., :1]).any():
        raise DataError(
            f"{what} holds colours (mode {mode}), wanted one channel of class indices: save it as a greyscale or "
            "palette PNG, or name each class's colour, colours = {...} in classes.toml"
        )
    return values[..., 0]


def _frames(picture: Image.Image) -> int:
    """Count the pictures in a file; a JPEG's further ones (MPO) are previews and depths of the first."""
    if picture.format == "MPO" or not getattr(picture, "is_animated", False):
        return 1
    return int(getattr(picture, "n_frames", 1))


def _raw(picture: Image.Image) -> tuple[str, int]:
    """Return how PIL names the values in the file, such as 'L;4'; and of a PGM or PPM that is spread, the highest."""
    if not isinstance(picture, ImageFile) or not picture.tile:
        return "", 0
    codec, _, _, arguments = picture.tile[0]
    if not isinstance(arguments, tuple):
        return str(arguments), 0
    highest = int(arguments[1]) if codec.startswith("ppm") else 0
    return str(arguments[0]) if arguments else "", highest
