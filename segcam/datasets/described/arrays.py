"""Files that are arrays rather than pictures: NumPy's, NIfTI's, and TIFFs of many channels or bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcam._compat import require
from segcam.datasets.pictures import seen
from segcam.errors import DataError, InputError, SegcamError
from segcam.files import unreadable

Array = npt.NDArray[Any]
MOST_VALUES = 2**31
"""Numbers in an array that is read: a header may promise any."""
_KINDS = "biuf"  # of dtypes: truth, whole numbers and floating point


def is_array(file: Path) -> bool:
    """Return whether a file's ending is one of NumPy's or NIfTI's."""
    return file.name.lower().endswith((".npy", ".nii", ".nii.gz"))


def read_array(file: Path, what: str) -> Array:
    """Read the array of a `.npy`, `.nii` or `.nii.gz` file.

    A NIfTI file holds one slice, `(x, y)` or `(x, y, 1)`; it is turned as viewers show it: x to the right, y up.

    Raises:
        DataError: it is no such file, damaged, or holds neither whole numbers nor floating point.
        InputError: a library is missing.
    """
    seen(file, what)
    if not file.stat().st_size:
        raise DataError(f"{what} {file} is empty: restore it")
    read = _numpy if file.suffix.lower() == ".npy" else _nifti
    try:
        array = read(file, what)
    except SegcamError:
        raise
    except MemoryError as problem:
        raise DataError(f"{what} {file} does not fit into memory: save it smaller") from problem
    except Exception as problem:  # a damaged header makes readers raise what they like
        raise unreadable(file, what, problem, DataError, "restore it, or save it anew") from problem
    return _numbers(array, f"{what} {file}")


def read_tiff(file: Path, what: str) -> Array:
    """Read a TIFF that PIL does not: of many channels, or of many bits in several.

    Raises:
        DataError: it is damaged, or compressed in a way that nothing here reads.
    """
    import tifffile  # noqa: PLC0415  (not needed for most folders)

    try:
        with tifffile.TiffFile(file) as opened:
            if opened.pages.first.tags.get(274) is not None and opened.pages.first.tags[274].value != 1:
                raise DataError(f"{what} {file} is turned by its orientation tag: save it upright, without the tag")
            if opened.series[0].size > MOST_VALUES:
                raise DataError(f"{what} {file} has more than {MOST_VALUES:,} values: save it smaller")
            array = opened.series[0].asarray()
    except DataError:
        raise
    except MemoryError as problem:
        raise DataError(f"{what} {file} does not fit into memory: save it smaller") from problem
    except Exception as problem:  # tifffile asks for imagecodecs by ValueError, and raises others by damage
        raise unreadable(file, what, problem, DataError, "save it without compression, or as .npy") from problem
    return _numbers(array, f"{what} {file}")


def _numpy(file: Path, what: str) -> Array:
    array = np.load(file, mmap_mode="r", allow_pickle=False)  # its shape is known before it is read
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{what} {file} is an archive of several arrays: save one, as .npy")
    if array.size > MOST_VALUES:
        raise DataError(f"{what} {file} has more than {MOST_VALUES:,} values: save it smaller")
    return np.array(array)


def _nifti(file: Path, what: str) -> Array:
    try:
        require("nibabel", "medical", f"{what} {file}")
    except InputError as error:
        raise DataError(str(error)) from error
    import nibabel  # noqa: PLC0415  (an extra)

    picture: Any = nibabel.load(file)
    shape = tuple(picture.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 2:
        raise DataError(
            f"{what} {file} holds a volume, {' x '.join(map(str, shape))}: save the slices that are meant as files of "
            "their own, (x, y) each"
        )
    if int(np.prod(shape)) > MOST_VALUES:
        raise DataError(f"{what} {file} has more than {MOST_VALUES:,} values: save it smaller")
    return np.rot90(np.asanyarray(picture.dataobj).reshape(shape))


def _numbers(array: Array, what: str) -> Array:
    if array.dtype.kind not in _KINDS:
        raise DataError(f"{what} holds {array.dtype}, wanted whole numbers or floating point: save it anew")
    if not array.size:
        raise DataError(f"{what} is {array.shape}: it has no pixel")
    return array.astype(np.uint8) if array.dtype.kind == "b" else array
