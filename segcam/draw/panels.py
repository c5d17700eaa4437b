"""Panels: what one place of a figure shows, made from a photograph, its masks and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcam.draw import display, given, pixels
from segcam.draw.display import Display
from segcam.errors import InputError, shown
from segcam.scoring.grids import Placement

MOST = 1200
"""Pixels of the longer side of what is printed: the largest panel is 5.5 cm wide, and 20 of a camera's size 4 GB."""
BOX, NEAREST = Image.Resampling.BOX, Image.Resampling.NEAREST
Grid = tuple[int, int]
Region = NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """What one place shows.

    Attributes:
        picture: `(H, W, 3)`.
        outlines: regions whose outline is drawn.
        reason: words on the picture, where there is no map.
        under: words under it.
        pixel: row and column that a ring is drawn around.
        display: how the map is shown.
        predicted: whether the predicted region is tinted.
        judged: whether hits and errors are.
    """

    picture: display.Bytes
    outlines: Sequence[Region] = ()
    reason: str = ""
    under: str = ""
    pixel: tuple[int, int] | None = None
    display: Display | None = None
    predicted: bool = False
    judged: bool = False


@dataclass(frozen=True)
class Input:
    """How maps were made from the image: where their grids lie on the network's input, and how they are shown."""

    placements: Mapping[str, Placement | None] = field(default_factory=dict)
    size: Grid | None = None
    raw: bool = False


@dataclass(frozen=True)
class Scene:
    """A photograph with its masks: what maps are drawn over.

    Attributes:
        photograph: `(H, W, 3)`; None for a black ground.
        size: its rows and columns.
        whole: rows and columns that it was given in: what is larger than is printed is drawn smaller.
        mask: the true region.
        prediction: the predicted region.
        counts: the pixels that the mask does not ignore.
        pixel: row and column of the explained pixel.
    """

    photograph: display.Bytes | None
    size: Grid
    whole: Grid
    mask: Region | None = None
    prediction: Region | None = None
    counts: Region | None = None
    pixel: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        photograph: given.Photograph | None,
        maps: Mapping[str, given.Values],
        regions: tuple[given.Mask | None, given.Mask | None],
        class_id: object = None,
        pixel: tuple[int, int] | None = None,
    ) -> Scene:
        """Return what callers hand in, checked.

        Raises:
            InputError: as `segcam.draw.overlay`, or the pixel lies beyond the photograph.
        """
        see_mapping("maps are", maps)
        image = None if photograph is None else given.photograph(photograph)
        size = given.size_of(image, regions, list(maps.values()))
        mask = counts = prediction = None
        if regions[0] is not None:
            mask, counts = given.region(regions[0], size, "mask", class_id)
        if regions[1] is not None:
            prediction, _ = given.region(regions[1], size, "prediction", class_id)
        if pixel is not None and (not isinstance(pixel, tuple) or len(pixel) != 2):
            raise InputError(f"pixel is {shown(pixel)}: a row and a column are needed, such as (20, 30)")
        if pixel is not None and not all(0 <= at < side for at, side in zip(pixel, size, strict=True)):
            raise InputError(f"pixel {pixel} lies beyond the photograph of {size[0]} rows and {size[1]} columns")
        if max(size) <= MOST:
            return cls(image, size, size, mask, prediction, counts, pixel)
        small = (max(1, round(size[0] * MOST / max(size))), max(1, round(size[1] * MOST / max(size))))
        mask, prediction, counts = (
            None if one is None else _resized(one, small, NEAREST) for one in (mask, prediction, counts)
        )
        if pixel is not None:
            pixel = (pixel[0] * small[0] // size[0], pixel[1] * small[1] // size[1])
        image = None if image is None else _resized(image, small, BOX)
        return cls(image, small, size, mask, prediction, counts, pixel)

    def first(self) -> Panel | None:
        """Return the photograph with the true outline, the predicted region tinted, and the explained pixel.

        None where there is neither photograph nor mask.
        """
        if self.photograph is None and self.mask is None and self.prediction is None:
            return None
        ground = np.zeros((*self.size, 3)) if self.photograph is None else self.photograph / 255
        if self.prediction is not None:
            ground = display.tinted(ground, self.prediction)
        return Panel(display.to_bytes(ground), self._lines, pixel=self.pixel, predicted=self.prediction is not None)

    def errors(self) -> Panel | None:
        """Return where the prediction hits and misses; None where there are not both masks."""
        if self.mask is None or self.prediction is None:
            return None
        ground = display.dimmed(self.photograph, self.size)
        return Panel(pixels.judged(ground, self.prediction, self.mask, self.counts), judged=True)

    def map(self, label: str, values: given.Values, how: Input, under: str = "") -> Panel:
        """Return a map over the dimmed photograph, with the true outline; hatched with the reason where there is none.

        Raises:
            InputError: as `segcam.draw.overlay`; the message names the map's label.
        """
        ground = display.dimmed(self.photograph, self.size)
        if isinstance(values, str):
            return Panel(display.to_bytes(display.hatched(ground)), self._lines, values, under)
        cells = given.plane(values, f"the map of '{label}'")
        shown_as = Display.of(cells, raw=how.raw)
        if shown_as.reason:
            return Panel(display.to_bytes(display.hatched(ground)), self._lines, shown_as.reason, under)
        place = how.placements.get(label)
        if how.size is None:
            pixels.see_spanning(place, cells, self.whole)
        large = pixels.upsampled(cells, self.size, place, how.size or self.whole)
        return Panel(display.painted(large, shown_as, self.photograph), self._lines, under=under, display=shown_as)

    @property
    def _lines(self) -> list[Region]:
        return [] if self.mask is None else [self.mask]


def see_mapping(what: str, given_as: object) -> None:
    """See that something is given by layer.

    Raises:
        InputError: it is not.
    """
    if not isinstance(given_as, Mapping):
        raise InputError(f"{what} {shown(given_as)}: give a mapping from layers, such as {{'decoder': ...}}")


def _resized(picture: NDArray[Any], size: Grid, how: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), how))
