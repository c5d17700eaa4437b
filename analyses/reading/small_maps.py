"""Maps small: averaged to few cells, as bytes in few steps; and those of all images, as a run keeps them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analyses.reading.files import PREDICTED, folder, plain_file, reading
from segcam.draw.display import Display

FOLDER = folder("small_maps")
"""Folder of the small maps of all test images, some files a checkpoint."""
CELLS = 32
"""The longer side of such a map, at most; larger grids are averaged over areas."""
STEPS = 51
"""Steps from zero to a map's maximum, even in the values' roots, as eyes see them; 51 divide 255."""
LONGER = 128
"""Pixels of the longer side of the photographs that are kept beside them, at most."""
BLANK = "blank: zero everywhere"
"""Why a map that has no value above zero is not drawn."""
ENDS = "ends:"
"""How the names of the arrays of upper ends and maxima begin; the map's name follows."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SmallMap:
    """A map in few cells and steps.

    Attributes:
        root: `(h, w)`, 255 times the root of each value's share of the maximum; zeros where there is nothing to draw.
        upper: what has the brightest colour, see `segcam.draw.display`; NaN where there is nothing to draw.
        peak: the largest value, which is not positive where the map is blank; NaN where it is undefined.
    """

    root: Bytes
    upper: float
    peak: float

    @classmethod
    def of(cls, values: NDArray[np.floating], cells: int = CELLS) -> SmallMap:
        """Return a map `(h, w)` averaged to at most `cells` a side, in `STEPS`.

        >>> small = SmallMap.of(np.array([[0.0, 0.25], [1.0, -3.0]]))
        >>> small.root.tolist(), small.peak
        ([[0, 130], [255, 0]], 1.0)
        """
        if not np.isfinite(values).all():
            return cls(np.zeros((1, 1), np.uint8), math.nan, math.nan)
        small = averaged(values, cells)
        peak = float(small.max())
        if not peak > 0:
            return cls(np.zeros(small.shape, np.uint8), math.nan, min(0.0, float(np.max(values))))
        steps = np.rint(STEPS * np.sqrt(small.astype(np.float64) / peak))
        return cls((255 // STEPS * steps).astype(np.uint8), Display.of(values).upper, peak)

    @property
    def reason(self) -> str:
        """In words, why there is nothing to draw; '' where there is."""
        if math.isnan(self.peak):
            return "undefined"
        return "" if self.peak > 0 else "blank: negative everywhere" if self.peak < 0 else BLANK


def averaged(values: NDArray[np.floating], cells: int) -> NDArray[np.float32]:
    """Return the positive part of a map `(h, w)`, averaged over areas to at most `cells` a side."""
    small = np.maximum(np.asarray(values, dtype=np.float32), 0)
    high, wide = small.shape
    if max(high, wide) > cells:
        share = cells / max(high, wide)
        size = (max(1, round(wide * share)), max(1, round(high * share)))
        small = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BOX))
    return small


@dataclass(frozen=True, eq=False)
class KeptSmall:
    """The small maps of some images, as a checkpoint's file has them.

    Attributes:
        ids: the images.
        masks: `(images, h, w)`, the true classes.
        predicted: of the same shape, the predicted ones.
        photographs: of each image the bytes of a WebP file; None where the profile forbids to show them.
        maps: by `target|method|layer`, one an image.
    """

    ids: tuple[str, ...]
    masks: Bytes
    predicted: Bytes
    photographs: tuple[bytes, ...] | None
    maps: Mapping[str, Sequence[SmallMap]]


def arrays_of(maps: Mapping[str, Sequence[SmallMap]], photographs: Sequence[Bytes]) -> dict[str, NDArray[Any]]:
    """Return what a file holds of maps and photographs; `masks`, `predicted` and `ids` stand beside it.

    A map of an image that is undefined has the grid of the others.
    """
    out: dict[str, NDArray[Any]] = {}
    for name, of_images in maps.items():
        shape = max((one.root.shape for one in of_images), key=lambda shape: shape[0] * shape[1])
        roots = [one.root if one.root.shape == shape else np.zeros(shape, np.uint8) for one in of_images]
        out[name] = np.stack(roots)
        out[ENDS + name] = np.array([(one.upper, one.peak) for one in of_images], np.float32)
    coded = [_webp(pixels) for pixels in photographs]
    out["photographs"] = np.frombuffer(b"".join(coded), np.uint8)
    out["photograph_ends"] = np.cumsum([len(one) for one in coded])
    return out


def read(path: Path, *, photographs: bool) -> KeptSmall:
    """Read the small maps of a file.

    Args:
        path: the file.
        photographs: whether the images are wanted, where the file has them.

    Raises:
        ResultsError: the file is missing or damaged.
    """
    with reading(path), plain_file(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        shown = None
        if photographs and "photographs" in file.files:
            coded, ends = file["photographs"].tobytes(), [0, *file["photograph_ends"].tolist()]
            shown = tuple(coded[first:last] for first, last in pairwise(ends))
        maps = {}
        for name in (name for name in file.files if not name.startswith(ENDS) and name.count("|") >= 2):
            both = zip(file[name], file[ENDS + name].astype(float).tolist(), strict=True)
            maps[name] = tuple(SmallMap(root, upper, peak) for root, (upper, peak) in both)
        return KeptSmall(tuple(map(str, file["ids"])), file["masks"], file[PREDICTED], shown, maps)


def _webp(pixels: Bytes) -> bytes:
    """Return a photograph, at most `LONGER` pixels a side."""
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((LONGER, LONGER), Image.Resampling.LANCZOS)
    picture.save(buffer, "webp", quality=70, method=4)
    return buffer.getvalue()
