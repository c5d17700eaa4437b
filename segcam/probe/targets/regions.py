"""Regions of one's own: pixels that are drawn by hand, measured elsewhere, or named by their place.

Rows and columns count from 0. Points `(x, y)` of outlines are measured in pixels from the image's top left corner, so
that the outline from `(0, 0)` to `(width, height)` holds the whole image, and the middle of the first pixel is at
`(0.5, 0.5)`: what annotation tools write (COCO, labelme).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from segcam.arrays import tensor, whole
from segcam.errors import InputError, ProbeError, shown
from segcam.scoring.grids import Grid

Mask: TypeAlias = Tensor | npt.NDArray[np.generic] | Image.Image
"""Pixels that are marked: of booleans, of 0 and 1, or of 0 and 255."""

Points: TypeAlias = Sequence[Sequence[float]] | npt.NDArray[np.floating]
"""Corners of an outline, `(x, y)` each."""

Drawn = npt.NDArray[np.bool_]
_NAME = re.compile(r"[\w .+-]+")
_FLAT = 6
"""How many numbers three corners are, one behind the other."""
_MODES = ("1", "L", "P", "I", "I;16")


@dataclass(frozen=True, slots=True)
class _Part:
    """The region of one image: what tells it from others, and how it is drawn on an image of some size."""

    digest: str
    draw: Callable[[Grid], Drawn] = field(compare=False, repr=False)


class Region:
    """Pixels of one's own, the same in all images of a batch, or others in each.

    >>> from segcam import Target
    >>> Target(1, Region.box(4, 6, 10, 20)).name, Target(1, Region.pixel(40, 62), "margin").name
    ('box(4,6,10,20):logit', 'pixel(40,62):margin')

    Args:
        mask: the pixels, at the input's size: `(h, w)` for all images or `(b, h, w)` for each its own; booleans, 0 and
            1, or 0 and 255. A picture of PIL may have the mode '1' or 'L'.
        name: what tables call it; a few digits that depend on its pixels unless given.

    Raises:
        InputError: there is another value, no pixel is marked, or the name has other characters than letters, digits,
            space, '.', '-', '+' and '_'.
    """

    __slots__ = ("_each", "_name", "_parts")

    def __init__(self, mask: Mask, name: str | None = None) -> None:
        marked = _marked(mask)
        if not bool(marked.any()):
            raise InputError("the region is empty: no pixel is marked in its mask")
        self._each = marked.ndim == 3
        self._parts = tuple(_of_mask(one) for one in (marked if self._each else marked[None]))
        self._name = _named(name, self._parts)

    @classmethod
    def box(cls, top: int, left: int, bottom: int, right: int, name: str | None = None) -> Region:
        """Return the pixels of rows `top` to `bottom` and columns `left` to `right`, the last ones not included.

        Raises:
            InputError: it holds no pixel, or a side is no whole number from 0.
        """
        sides = tuple(whole(side, "a side of the box") for side in (top, left, bottom, right))
        if min(sides) < 0 or sides[2] <= sides[0] or sides[3] <= sides[1]:
            raise InputError(
                f"the box {sides} holds no pixel: top, left, bottom, right are needed, rows and columns from 0, with "
                "top below bottom and left below right"
            )
        return cls._made([_Part(f"box{sides}", partial(_box, sides))], name, f"box({','.join(map(str, sides))})")

    @classmethod
    def pixel(cls, row: int, column: int, name: str | None = None) -> Region:
        """Return one pixel.

        Raises:
            InputError: row or column is no whole number from 0.
        """
        at = whole(row, "the pixel's row"), whole(column, "the pixel's column")
        if min(at) < 0:
            raise InputError(f"pixel {at} lies outside of every image: rows and columns count from 0")
        sides = (*at, at[0] + 1, at[1] + 1)
        return cls._made([_Part(f"box{sides}", partial(_box, sides))], name, f"pixel({at[0]},{at[1]})")

    @classmethod
    def polygon(cls, *outlines: Points, name: str | None = None) -> Region:
        """Return the pixels whose centres lie in one of the outlines, or on it.

        Where an outline crosses itself, what it goes around twice is outside (even-odd rule).

        >>> Region.polygon([(0, 0), (4, 0), (4, 2), (0, 2)]).on((4, 6), 1)[0].int()
        tensor([[1, 1, 1, 1, 0, 0],
                [1, 1, 1, 1, 0, 0],
                [0, 0, 0, 0, 0, 0],
                [0, 0, 0, 0, 0, 0]], dtype=torch.int32)

        Args:
            outlines: the corners `(x, y)` of each, in order, or COCO's `[x, y, x, y, ...]`; x goes to the right and y
                down, see the module's text.
            name: what tables call it.

        Raises:
            InputError: an outline has fewer than three corners, or one is no finite number.
        """
        corners = [_corners(one) for one in _outlines(outlines)]
        digest = hashlib.sha256(b"polygon" + b"|".join(one.tobytes() for one in corners)).hexdigest()
        return cls._made([_Part(digest, partial(_polygons, corners))], name)

    @classmethod
    def each(cls, regions: Sequence[Region | Mask], name: str | None = None) -> Region:
        """Return regions that differ from image to image, one for each.

        Raises:
            InputError: there is none, or one of them is itself of several images.
        """
        ones = [one if isinstance(one, Region) else cls(one) for one in regions]
        if not ones or any(one._each for one in ones):
            raise InputError("one region an image is needed: a list of regions (h, w), boxes, polygons or pixels")
        region = cls._made([one._parts[0] for one in ones], name)
        region._each = True
        return region

    @classmethod
    def of(cls, pixels: object) -> Region:
        """Return a region from what people give as one: itself, a mask, a picture, or a list of one for each image.

        Raises:
            InputError: it is none of these.
        """
        if isinstance(pixels, Region):
            return pixels
        if isinstance(pixels, (Tensor, np.ndarray, Image.Image)):
            return cls(pixels)
        if isinstance(pixels, (list, tuple)) and pixels:
            kinds = (Region, Tensor, np.ndarray, Image.Image)
            if all(isinstance(one, kinds) for one in pixels):
                return cls.each(pixels)
        raise InputError(
            f"pixels are a {type(pixels).__name__}: name a pixel set, or give a region of your own: a mask as tensor, "
            "array or PIL image, Region.box(top, left, bottom, right), Region.polygon([(x, y), ...]) or "
            "Region.pixel(row, column), from segcam.probe.targets import Region"
        )

    @classmethod
    def _made(cls, parts: Sequence[_Part], name: str | None, placed: str = "") -> Region:
        region = cls.__new__(cls)
        region._parts, region._each = tuple(parts), False
        region._name = placed if placed and name is None else _named(name, region._parts)
        return region

    @property
    def name(self) -> str:
        """What tables call it: 'region(roof)', 'region(3fa1c2d4)', 'box(4,6,10,20)' or 'pixel(40,62)'."""
        return self._name

    def rows(self, rows: slice | Sequence[int]) -> Region:
        """Return the region of some images of the batch."""
        if not self._each:
            return self
        region = Region.__new__(Region)
        region._parts = self._parts[rows] if isinstance(rows, slice) else tuple(self._parts[row] for row in rows)
        region._each, region._name = True, self._name
        return region

    def on(self, size: Grid, images: int) -> Bool[Tensor, "b h w"]:
        """Return the pixels of so many images of a size, rows and columns.

        Raises:
            ProbeError: it is of another size or number of images, or lies outside of them.
        """
        if self._each and len(self._parts) != images:
            raise ProbeError(
                f"{self._name} holds regions for {len(self._parts)} images, and {images} are given: give one (h, w) "
                "for all, or one an image"
            )
        drawn = {part: torch.from_numpy(part.draw(size)) for part in dict.fromkeys(self._parts)}
        stack = [drawn[part] for part in self._parts]
        return torch.stack(stack if self._each else stack * images)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Region({self._name!r})"

    @property
    def _key(self) -> tuple[object, ...]:
        return self._name, self._each, self._parts


def _named(name: str | None, parts: Sequence[_Part]) -> str:
    if name is None:
        return f"region({hashlib.sha256(repr([part.digest for part in parts]).encode()).hexdigest()[:8]})"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"the region's name is {shown(name)}: letters, digits, space, '.', '-', '+' and '_' alone are needed, as "
            "it stands in the target's name"
        )
    return f"region({name})"


def _marked(mask: object) -> Drawn:
    """Return the marked pixels of a mask, `(h, w)` or `(b, h, w)`."""
    if isinstance(mask, Image.Image):
        if mask.mode not in _MODES:
            raise InputError(
                f"the region's picture has the mode '{mask.mode}': one channel is needed, such as "
                "picture.convert('L') of a drawing in black and white"
            )
        mask = np.asarray(mask)
    values = tensor(mask, "the region's pixels").detach().cpu()  # type: ignore[arg-type]
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise InputError(
            f"the region is {tuple(values.shape)}: (rows, columns) for all images, or (images, rows, columns), at the "
            "input's size, are needed"
        )
    if values.dtype != torch.bool:
        found = torch.unique(values.double()).tolist()
        if set(found) - {0.0, 1.0} and set(found) - {0.0, 255.0}:
            texts = list(dict.fromkeys(f"{one:g}" for one in found))  # of several NaN one
            raise InputError(
                f"the region holds the values {', '.join(texts[:5])}{', ...' if len(texts) > 5 else ''}: True and "
                "False, 0 and 1, or 0 and 255 are needed, such as mask == 1"
            )
    return (values != 0).numpy()


def _of_mask(marked: Drawn) -> _Part:
    digest = hashlib.sha256(repr(marked.shape).encode() + np.packbits(marked).tobytes()).hexdigest()
    return _Part(digest, partial(_mask, marked.copy()))


def _mask(marked: Drawn, size: Grid) -> Drawn:
    if marked.shape != tuple(size):
        raise ProbeError(
            f"the region is {marked.shape[0]} x {marked.shape[1]} pixels, and the input {size[0]} x {size[1]}: give it "
            "at the input's size, as it is resized or padded before the network"
        )
    return marked.copy()


def _box(sides: tuple[int, ...], size: Grid) -> Drawn:
    top, left, bottom, right = sides
    if bottom > size[0] or right > size[1]:
        raise ProbeError(
            f"the region's rows {top} to {bottom - 1} and columns {left} to {right - 1} reach out of the input of "
            f"{size[0]} x {size[1]} pixels: rows and columns count from 0, at the input's size"
        )
    drawn = np.zeros(size, np.bool_)
    drawn[top:bottom, left:right] = True
    return drawn


def _outlines(given: Sequence[Points]) -> list[Points]:
    """Return outlines one by one, also where they were given in one list."""
    if len(given) == 1 and isinstance(given[0], (list, tuple)) and given[0]:
        first = given[0][0]
        nested = isinstance(first, (list, tuple, np.ndarray)) and len(first) > 0
        if nested and (not np.isscalar(first[0]) or len(first) >= _FLAT):
            return list(given[0])
    return list(given)


def _corners(outline: Points) -> npt.NDArray[np.float64]:
    try:
        corners = np.asarray(outline, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the outline is {shown(outline)}: a list of corners (x, y) is needed") from error
    if corners.ndim == 1 and len(corners) >= _FLAT and len(corners) % 2 == 0:
        corners = corners.reshape(-1, 2)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise InputError(
            f"the outline is {shown(outline)}: three corners (x, y) or more are needed, x to the right and y down"
        )
    if not np.isfinite(corners).all():
        raise InputError(f"the outline is {shown(outline)}: a corner is no finite number")
    return corners


def _polygons(corners: Sequence[npt.NDArray[np.float64]], size: Grid) -> Drawn:
    from skimage import draw  # noqa: PLC0415  (slow to import)

    drawn = np.zeros(size, np.bool_)
    for outline in corners:
        outside = (outline < 0).any(1) | (outline > (size[1], size[0])).any(1)
        if outside.any():
            x, y = outline[outside][0]
            raise ProbeError(
                f"the outline's corner ({x:g}, {y:g}) lies outside of the input of {size[1]} pixels across and "
                f"{size[0]} down: corners are (x, y), from (0, 0) to ({size[1]}, {size[0]})"
            )
        x, y = outline.T - 0.5  # skimage counts from the first pixel's centre
        drawn[draw.polygon(y, x, size)] = True  # type: ignore[no-untyped-call]
    if not drawn.any():
        raise ProbeError("the outline goes around no pixel's centre, so that the region is empty: take Region.pixel")
    return drawn
