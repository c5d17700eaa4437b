"""A map over its photograph, as pixels: upsampling, the display transform of the library, and the mask's outline."""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segcam.draw import display
from segcam.draw.display import Display

Floats = NDArray[np.float64]


def upsampled(values: NDArray[np.floating], size: tuple[int, int]) -> Floats:
    """Return a map upsampled bilinearly to `size`, as the networks' own upsampling does.

    Grid points are the centres of cells (`align_corners=False`), and the border is held.
    """
    small = np.asarray(values, dtype=np.float64)
    zoom = (size[0] / small.shape[0], size[1] / small.shape[1])
    large: Floats = ndimage.zoom(small, zoom, order=1, mode="nearest", grid_mode=True)
    return large


def heat(
    values: NDArray[np.floating],
    photograph: NDArray[np.uint8] | None,
    size: tuple[int, int],
    shown: Display | None = None,
) -> Floats:
    """Return a map over its dimmed photograph, (H, W, 3) in 0..1; hatched where it is blank or undefined.

    Args:
        values: the map, on its own grid.
        photograph: `(H, W, 3)`, or None where it may not be shown.
        size: its rows and columns.
        shown: how the map's values become colours; as `Display.of` says by default.
    """
    under, shown = display.dimmed(photograph, size), shown or Display.of(values)
    return display.hatched(under) if shown.reason else display.blended(shown.values(upsampled(values, size)), under)


def outline(mask: NDArray[np.bool_]) -> list[Floats]:
    """Return the closed lines around a mask's regions: arrays of (x, y) as fractions of width and height."""
    height, width = mask.shape
    padded = np.pad(mask.astype(np.float64), 1)
    lines = contourpy.contour_generator(z=padded, name="serial").lines(0.5)
    return [(np.asarray(line) - 0.5) / np.array([width, height]) for line in lines]
