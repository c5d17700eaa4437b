"""Kept: what is remembered of each photograph and map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segcam.explaining.photographs import Photograph
from segcam.samples import Sample

Box = tuple[int, int, int, int]
"""Top, left, height and width of the photograph in what the network sees."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which map: the image's number, the class, the layer and the method."""

    image: int
    class_name: str
    layer: str
    method: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photograph, and as the network sees it: where the picture lies in it, None for everywhere."""

    photograph: Photograph
    sample: Sample
    box: Box | None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of what the network sees."""
        return int(self.sample.mask.shape[0]), int(self.sample.mask.shape[1])

    @property
    def part(self) -> tuple[slice, slice]:
        """Rows and columns of the photograph in what the network sees: all but the padding."""
        top, left, height, width = self.box or (0, 0, *self.size)
        return slice(top, top + height), slice(left, left + width)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a network predicts in an image of a class, and the pixel that is explained where it is one."""

    region: npt.NDArray[np.bool_]
    pixel: tuple[int, int] | None
