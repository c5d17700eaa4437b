"""Photographs that anyone may show, as those of a data set often may not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from segcam.channels import RGB
from segcam.datasets.resizing import Resize, filling, resized
from segcam.samples import IGNORE, Sample


@dataclass(frozen=True, slots=True)
class Free:
    """A photograph that a package brings along.

    Attributes:
        package: which one.
        file: its place in the package's folder.
        credit: what it shows, who took it, and its licence.
    """

    package: str
    file: str
    credit: str


FREE: Mapping[str, Free] = {
    "chelsea": Free("skimage", "data/chelsea.png", "Chelsea, a cat: photograph by Stéfan van der Walt, CC0")
}
"""By name; a data set says in `Dataset.free` which of them show what its own photographs do."""


def free_sample(name: str, size: int, resize: Resize) -> Sample | None:
    """Return a free photograph at a data set's size; None where its package lacks it.

    No mask of it is known: every pixel is ignored.

    >>> chelsea = free_sample("chelsea", 128, "pad")
    >>> chelsea.image.shape, int(chelsea.valid.any(1).sum())
    ((128, 128, 3), 85)

    Args:
        name: a key of `FREE`.
        size: side of the square.
        resize: how it comes to that size. What is left as it is ('none') is of no data set's size, and left out.
    """
    found = find_spec(FREE[name].package)  # the package itself is slow to import
    if resize == "none" or found is None or found.origin is None:
        return None
    file = Path(found.origin).parent / FREE[name].file
    if not file.is_file():
        return None
    with Image.open(file) as opened:
        photograph = opened.convert("RGB")
    unknown = np.full(photograph.size[::-1], IGNORE, np.uint8)
    image, mask, box = resized(photograph, unknown, size, resize, filling(RGB))
    valid = None
    if box is not None:
        top, left, height, width = box
        valid = np.zeros(mask.shape, np.bool_)
        valid[top : top + height, left : left + width] = True
    return Sample(name, image, mask, valid=valid)
