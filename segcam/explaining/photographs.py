"""Photographs and masks as people have them: arrays, PIL, tensors, files, folders, data sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from segcam.channels import RGB, Channels
from segcam.datasets.described.pairing import files_below, stem_of
from segcam.datasets.pictures import is_turned, read_photograph, read_values
from segcam.errors import InputError, first_of, shown
from segcam.files import user_path
from segcam.samples import IGNORE

IMAGE_KEYS = ("image", "pixel_values", "img", "images", "input")
MASK_KEYS = ("mask", "labels", "label", "masks", "target")
ADDED = ("", "_mask", "_masks", "_label", "_labels", "_gt", "_seg", "-mask", "-label")
"""What a mask's name may add to its photograph's."""
MASK_MODES = ("1", "L", "P", "I", "I;16")
DEEP = ("I", "F", "LAB")  # PIL cuts off at 255 what they hold


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image to explain, at its own size.

    Attributes:
        name: what tables and files call it.
        values: `(h, w, c)` uint8, or float32 that the network takes as it is.
        mask: class index a pixel, `(h, w)` uint8, 255 where there is none; None without a mask.
        channels: what the values are.
        picture: `(h, w, 3)` uint8, to look at.
    """

    name: str
    values: npt.NDArray[Any]
    mask: npt.NDArray[np.uint8] | None
    channels: Channels
    picture: npt.NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.values.shape[0]), int(self.values.shape[1])


def collected(images: Any, masks: Any = None, channels: Channels = RGB) -> list[Photograph]:
    """Return images with their masks.

    Args:
        images: one or many of: a file, a folder, a pattern of files, PIL images, uint8 arrays or tensors (RGB or grey,
            channels last or first), float arrays or tensors `(c, h, w)` as the network takes them; or a data set or
            loader that gives images, pairs of image and mask, or mappings with both; or one such pair.
        masks: in any of these forms, as many; class indices, 255 where there is none.
        channels: what the network takes: of another number than three, uint8 images have as many channels; and by
            which float images are made to be looked at.

    Raises:
        InputError: there is none, one is of no such form, masks are of another number or size, or images are
            photographs and what a network takes, side by side.
        DataError: a file cannot be read.
    """
    found = list(_items([images] if _is_pair(images) else images, "image"))
    if not found:
        raise InputError("there is no image: give at least one")
    given = _masks(masks, found)
    photographs = []
    for number, (name, value, own) in enumerate(found):
        label = name or f"image {number + 1}"
        mask = own if given is None else given[number]
        values, kind, picture = _image(value, label, channels)
        size = picture.shape[:2]
        if mask is not None:
            mask = _mask(mask, label, size, _stored(value))
        photographs.append(Photograph(label, values, mask, kind, picture))
    names = [one.name for one in photographs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(first_of(twice, "images of one name; rename one of each"))
    if other := next((one for one in photographs if one.channels != photographs[0].channels), None):
        raise InputError(
            f"image '{other.name}' has {_described(other)}, and image '{names[0]}' {_described(photographs[0])}: give "
            "images of one kind"
        )
    masked = [one.mask is not None for one in photographs]
    if any(masked) and not all(masked):
        raise InputError(f"image '{names[masked.index(False)]}' has no mask, and others have: give all masks, or none")
    return photographs


def _described(one: Photograph) -> str:
    kind = "as a photograph" if one.values.dtype == np.uint8 else "of floating-point numbers"
    return f"{len(one.channels)} channels {kind}"


def _is_pair(images: Any) -> bool:
    """Return whether two things are an image and its mask, or batches of both, as a data set or a loader gives them."""
    if not isinstance(images, (tuple, list)) or len(images) != 2 or any(hasattr(one, "keys") for one in images):
        return False
    image, mask = (np.asarray(one) if isinstance(one, Image.Image) else one for one in images)
    if not all(isinstance(one, (np.ndarray, Tensor)) for one in (image, mask)) or image.ndim != mask.ndim + 1:
        return False
    sides = tuple(mask.shape)
    same = sides == (*image.shape[: image.ndim - 3], *image.shape[-2:]) or sides == tuple(image.shape[:-1])
    return same and (isinstance(images, tuple) or image.ndim == 4)  # a list may be of a colour image and a grey one


def _items(images: Any, what: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, the image and the mask, if any, of each item."""
    if isinstance(images, (str, os.PathLike)):
        for file in _files(images, what):
            yield stem_of(file), file, None
    elif isinstance(images, (np.ndarray, Tensor)):
        for one in images if _many(images, what) else [images]:
            yield "", one, None
    elif isinstance(images, (Image.Image, Mapping)):
        yield from _item(images)
    elif (isinstance(images, Iterable) or hasattr(images, "__getitem__")) and not isinstance(images, bytes):
        for one in _iterated(images):
            if isinstance(one, (str, os.PathLike)):
                yield from _items(one, what)
            else:
                yield from _item(one)
    else:
        raise InputError(
            f"{what}s are {shown(images)}: give files, a folder, PIL images, arrays, tensors, a Dataset or a DataLoader"
        )


def _many(images: npt.NDArray[Any] | Tensor, what: str) -> bool:
    """Return whether an array holds several: masks, colour images, or grey ones, which have no dimension of colours."""
    if images.ndim != 3:
        return images.ndim == 4
    if what == "mask":
        return 1 not in (images.shape[0], images.shape[2])
    whole = str(images.dtype).endswith("uint8")
    return whole and images.shape[0] not in (1, 3) and images.shape[2] not in (1, 3, 4)


def _iterated(images: Any) -> Iterator[Any]:
    """Go through a list, a loader, or a data set, which may have a length and an index alone."""
    if hasattr(images, "__iter__"):
        yield from images
        return
    for index in range(len(images)):
        yield images[index]


def _item(item: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGE_KEYS if key in item), None)
        mask = next((item[key] for key in MASK_KEYS if key in item), None)
        if image is None:
            raise InputError(f"an item has {', '.join(map(str, item))}: one of {', '.join(IMAGE_KEYS)} is needed")
        yield from _split(image, mask)
    elif isinstance(item, (tuple, list)):
        if not 1 <= len(item) <= 2:
            raise InputError(f"an item has {len(item)} parts: an image, or an image and its mask, are needed")
        yield from _split(item[0], item[1] if len(item) == 2 else None)
    else:
        yield from _split(item, None)


def _split(image: Any, mask: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield an image, or those of a batch, each with its mask."""
    if isinstance(image, (np.ndarray, Tensor)) and image.ndim == 4:
        for number, one in enumerate(image):
            yield "", one, None if mask is None else mask[number]
        return
    name = stem_of(Path(image)) if isinstance(image, (str, os.PathLike)) else ""
    yield name, image, mask


def _files(path: Any, what: str) -> list[Path]:
    found = user_path(path, f"the {what}s")
    if found.is_dir():
        endings = Image.registered_extensions()
        files = [file for file in files_below(found) if file.suffix.lower() in endings]
    elif found.is_file():
        files = [found]
    else:
        pattern = found.name if any(sign in found.name for sign in "*?[") else ""
        files = sorted(found.parent.glob(pattern)) if pattern else []
        if not files:
            raise InputError(f"{found}: there is no such {what}, folder or pattern of files")
    if not files:
        raise InputError(f"{found} holds no {what}")
    return files


def _masks(masks: Any, images: list[tuple[str, Any, Any]]) -> list[Any] | None:
    """Return a mask for each image; by name where both are files, else in their order.

    Raises:
        InputError: there are more or fewer, or an image has none of its name.
    """
    if masks is None:
        return None
    found = list(_items(masks, "mask"))
    named = {name: value for name, value, _ in found if name}
    if len(named) == len(found) and all(name for name, _, _ in images):
        chosen = [
            next((named[f"{name}{added}"] for added in ADDED if f"{name}{added}" in named), None)
            for name, _, _ in images
        ]
        if without := [name for (name, _, _), mask in zip(images, chosen, strict=True) if mask is None]:
            raise InputError(first_of(without, "images without a mask of their name; give each one, or none at all"))
        return chosen
    if len(found) != len(images):
        raise InputError(f"{len(found)} masks are given for {len(images)} images: give one for each")
    return [value for _, value, _ in found]


def _image(value: Any, name: str, channels: Channels) -> tuple[npt.NDArray[Any], Channels, npt.NDArray[np.uint8]]:
    if isinstance(value, (str, os.PathLike)):
        value = read_photograph(Path(value), upright=True).image
    if isinstance(value, Image.Image):
        if value.mode.startswith(DEEP):
            raise InputError(
                f"image '{name}' has mode {value.mode}, of other values than 0 to 255: convert it to uint8, or give "
                "what the network takes, in floating-point numbers"
            )
        value = np.asarray(ImageOps.exif_transpose(value).convert("RGB"))
        if len(channels) == 1 and (value == value[..., :1]).all():
            value = value[..., 0]
    array = _array(value)
    if not isinstance(array, np.ndarray):
        raise InputError(f"image '{name}' is {shown(value)}: a file, PIL image, array or tensor is needed")
    if array.ndim == 2:
        array = array[..., None] if array.dtype == np.uint8 else array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"image '{name}' is {array.shape}: (rows, columns), with channels first or last, is needed")
    if array.dtype == np.uint8:
        return _photograph(array, name, channels)
    if array.dtype.kind != "f":
        raise InputError(
            f"image '{name}' is {array.dtype}: uint8 is a photograph, and floating-point numbers are what the network "
            "takes; convert it"
        )
    if not np.isfinite(array).all():
        raise InputError(f"image '{name}' holds NaN or infinity: replace them")
    if array.shape[2] in (1, 3) and array.shape[0] > 8:
        raise InputError(
            f"image '{name}' is {array.shape}, of floating-point numbers: these go into the network as they are, "
            "(channels, rows, columns). Give a photograph as uint8, which is prepared for it"
        )
    values = np.ascontiguousarray(np.moveaxis(array, 0, 2).astype(np.float32))
    count = values.shape[2]
    plain = Channels((0.0,) * count, (1.0,) * count, 0.0, 1.0)
    return values, plain, _looked_at(values, channels)


def _photograph(
    array: npt.NDArray[np.uint8], name: str, channels: Channels
) -> tuple[npt.NDArray[np.uint8], Channels, npt.NDArray[np.uint8]]:
    """Return a photograph `(rows, columns, channels)` with what its channels are, and a picture of it.

    One channel becomes three where the network does not take one.
    """
    count = len(channels)
    if array.shape[2] not in (1, 3, 4, count) and array.shape[0] in (1, 3, count):
        array = np.moveaxis(array, 0, 2)
    if array.shape[2] == 1 and count == 3:
        array = np.repeat(array, 3, 2)
    if array.shape[2] != count:
        wanted = "one or three channels are needed" if count == 3 else f"the network takes {count} channels"
        raise InputError(f"image '{name}' is {array.shape}: {wanted}")
    array = np.ascontiguousarray(array)
    if count == 3:
        return array, RGB, array
    kind = Channels(channels.mean, channels.std)
    picture = kind.displayed(torch.from_numpy(array).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    return array, kind, np.ascontiguousarray(picture.numpy())


def _array(value: Any) -> Any:
    """Return a tensor as an array, its floating-point numbers as ones that numpy knows."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()


def _stored(value: Any) -> tuple[int, int] | None:
    """Return rows and columns of a photograph as it is stored, where an EXIF tag turns it."""
    if isinstance(value, (str, os.PathLike)):
        with Image.open(value) as picture:
            return _stored(picture)
    return value.size[::-1] if isinstance(value, Image.Image) and is_turned(value) else None


def _looked_at(values: npt.NDArray[np.float32], channels: Channels) -> npt.NDArray[np.uint8]:
    """Return a picture of what a network takes: by its mean and deviation, or where these do not fit by its range."""
    shares = values.astype(np.float64)
    if len(channels) == values.shape[2]:
        undone = shares * np.array(channels.std) + np.array(channels.mean)
        if undone.min() > -0.05 and undone.max() < 1.05:
            shares = undone
    if shares.min() < -0.05 or shares.max() > 1.05:
        low, high = np.percentile(shares, (0.5, 99.5))
        shares = (shares - low) / max(high - low, 1e-12)
    picture = (shares.clip(0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.repeat(picture[..., :1], 3, 2) if picture.shape[2] < 3 else picture[..., :3])


def _mask(value: Any, name: str, size: tuple[int, ...], stored: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    if isinstance(value, (str, os.PathLike)):
        value = read_values(Path(value), "mask", upright=True).values
    if isinstance(value, Image.Image):
        if value.mode not in MASK_MODES:
            raise InputError(f"the mask of '{name}' has mode {value.mode}: one number a pixel, the class's index")
        value = np.asarray(value)
    array = np.asarray(_array(value))
    array = array.squeeze() if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]) else array
    if stored is not None and array.shape == stored:  # drawn on the photograph as it is stored, or so it may be
        raise InputError(
            f"an EXIF tag turns image '{name}', and tools that draw masks may ignore it: save it without the tag as "
            "its mask lies, or give PIL.ImageOps.exif_transpose(image) with a mask of that"
        )
    if array.shape != size:
        raise InputError(f"the mask of '{name}' is {array.shape}, and the image is {tuple(size)}: give one of its size")
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == array.round()).all()):
        raise InputError(f"the mask of '{name}' holds fractions: whole numbers, the classes' indices, are needed")
    array = np.where(array < 0, IGNORE, array) if array.dtype.kind in "if" else array
    if array.max(initial=0) > IGNORE:
        raise InputError(f"the mask of '{name}' holds {array.max():g}: indices from 0 to 254 are needed, 255 for none")
    return array.astype(np.uint8)
