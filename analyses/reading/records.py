"""The kept maps of a checkpoint, and the film of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Gallery:
    """The kept maps of one checkpoint.

    Attributes:
        ids: the images' names.
        photographs: by name those that may be shown, `(h, w, 3)`.
        masks: class index a pixel, `(images, h, w)`; of an image without a mask 255 everywhere.
        arrays: the rest by name, an item an image: predictions, explained pixels, and maps as `target|method|layer`.
        negative: the maps that were negative everywhere before ReLU, as `image|target|method|layer`.
    """

    ids: tuple[str, ...]
    photographs: Mapping[str, NDArray[np.uint8]]
    masks: NDArray[np.uint8]
    arrays: Mapping[str, NDArray[Any]]
    negative: frozenset[str] = frozenset()

    def reason(self, image: str, target: str, method: str, layer: str) -> str:
        """Return why a map is blank: what is known of it before ReLU."""
        negative = f"{image}|{target}|{method}|{layer}" in self.negative
        return "blank: negative everywhere" if negative else "blank: zero everywhere"

    def index(self, image: str) -> int | None:
        """Return the row of `image`, or None where it is not in this gallery."""
        return self.ids.index(image) if image in self.ids else None


@dataclass(frozen=True)
class Film:
    """Maps of a few images at steps of a training.

    Attributes:
        steps: of the `frames`, in their order.
        ids: the images' names.
        photographs: by name those that may be shown, `(h, w, 3)`.
        masks: class index a pixel, `(images, h, w)`; of an image without a mask 255 everywhere.
        predicted: class index a pixel, `(frames, images, h, w)`.
        target: what is explained.
        method: what made the maps.
        maps: by layer, in their order, `(frames, images, rows, columns)`.
    """

    steps: tuple[int, ...]
    ids: tuple[str, ...]
    photographs: Mapping[str, NDArray[np.uint8]]
    masks: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    target: str
    method: str
    maps: Mapping[str, NDArray[np.float32]]
