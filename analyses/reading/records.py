"""The kept maps of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Gallery:
    """The kept maps of one checkpoint; `images` is None where the profile forbids showing photographs."""

    ids: tuple[str, ...]
    images: NDArray[np.uint8] | None
    masks: NDArray[np.uint8]
    arrays: Mapping[str, NDArray[Any]]

    def index(self, image: str) -> int | None:
        """Return the row of `image`, or None where it is not in this gallery."""
        return self.ids.index(image) if image in self.ids else None
