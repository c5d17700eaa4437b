"""Files that are arrays rather than pictures: NumPy's, NIfTI's, and TIFFs of many channels or bits."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from segcam._compat import require
from segcam.datasets.pictures import seen
from segcam.errors import DataError, InputError, SegcamError
from segcam.files import unreadable

Array = npt.NDArray[Any]
T = TypeVar("T")
MOST_VALUES = 2**31
"""Numbers in an array that is read: a header may promise any."""
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds wrong is an error of ours, not a line
_KINDS = "biuf"  # of dtypes: truth, whole numbers and floating point


def is_array(file: Path) -> bool:
    """Return whether a file's ending is one of NumPy's or NIfTI's."""
    return file.name.lower().endswith((".npy", ".nii", ".nii.gz"))


class Slice(NamedTuple):
    """One slice of a volume: the axis that it lies across, and where on it."""

    axis: int
    place: int


def shape_of(file: Path, what: str) -> tuple[int, ...]:
    """Return the shape that an array's header promises, without axes of length 1 at its end.

    Raises:
        DataError: as `read_array`.
    """
    return _read(file, what, lambda: _unread(file, what)[0])


def read_array(file: Path, what: str, at: Slice | None = None) -> Array:
    """Read the array of a `.npy`, `.nii` or `.nii.gz` file, or one slice of it.

    A slice of a NIfTI file is turned as viewers show it: its first axis to the right, its second one up.

    Raises:
        DataError: it is no such file, damaged, holds neither whole numbers nor floating point, or is a volume of which
            no slice is named; or a library is missing.
    """
    of_nifti = _is_nifti(file)
    if at is None:
        shape = shape_of(file, what)
        if of_nifti and len(shape) != 2:
            raise DataError(
                f"{what} {file} holds a volume, {' x '.join(map(str, shape))}: write slices = 2 in classes.toml for "
                "slices across its last axis, or 0 or 1, or save the slices that are meant as files of their own"
            )
        array = _read(file, what, lambda: _whole(file, what, file.stat().st_mtime_ns))
        array = array.reshape(shape) if of_nifti else array
    else:
        volume = _read(file, what, lambda: _volume(file, what, file.stat().st_mtime_ns))
        array = volume.take(at.place, at.axis)
    return _numbers(np.rot90(array) if of_nifti else array, f"{what} {file}")


def same_place(one: Path, other: Path) -> bool:
    """Return whether two NIfTI files' voxels lie at the same places, as their headers say; of other files, always."""
    if not (_is_nifti(one) and _is_nifti(other)):
        return True
    first, second = (_read(file, "file", partial(_opened, file, "file")).affine for file in (one, other))
    return bool(np.allclose(first, second, atol=1e-3))


def _read(file: Path, what: str, reader: Callable[[], T]) -> T:
    """Return what a reader gives; what goes wrong in it is an error of ours."""
    seen(file, what)
    if not file.stat().st_size:
        raise DataError(f"{what} {file} is empty: restore it")
    try:
        return reader()
    except SegcamError:
        raise
    except MemoryError as problem:
        raise DataError(f"{what} {file} does not fit into memory: save it smaller") from problem
    except Exception as problem:  # a damaged header makes readers raise what they like
        raise unreadable(file, what, problem, DataError, "restore it, or save it anew") from problem


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


def _is_nifti(file: Path) -> bool:
    return file.name.lower().endswith((".nii", ".nii.gz"))


def _opened(file: Path, what: str) -> Any:
    """Open a NIfTI file, of which its header is read alone."""
    try:
        require("nibabel", "medical", f"{what} {file}")
    except InputError as error:
        raise DataError(str(error)) from error
    import nibabel  # noqa: PLC0415  (an extra)

    return nibabel.load(file)


def _unread(file: Path, what: str) -> tuple[tuple[int, ...], Any]:
    """Return an array's shape, and what reads it."""
    if _is_nifti(file):
        picture = _opened(file, what)
        shape, values = tuple(picture.shape), picture.dataobj
        while len(shape) > 2 and shape[-1] == 1:
            shape = shape[:-1]
    else:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(values, np.ndarray):
            values.close()
            raise DataError(f"{what} {file} is an archive of several arrays: save one, as .npy")
        shape = values.shape
    if math.prod(shape) > MOST_VALUES:
        raise DataError(f"{what} {file} has more than {MOST_VALUES:,} values: save it smaller")
    return shape, values


def _whole(file: Path, what: str, _changed: int) -> Array:
    shape, values = _unread(file, what)
    return np.array(np.asanyarray(values)).reshape(shape)  # a copy of what is mapped into memory


_volume = lru_cache(maxsize=4)(_whole)
"""A volume is read once for all of its slices, as long as it does not change."""


def _numbers(array: Array, what: str) -> Array:
    if array.dtype.kind not in _KINDS:
        raise DataError(f"{what} holds {array.dtype}, wanted whole numbers or floating point: save it anew")
    if not array.size:
        raise DataError(f"{what} is {array.shape}: it has no pixel")
    return array.astype(np.uint8) if array.dtype.kind == "b" else array
