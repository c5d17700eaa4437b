"""A map over its photograph, as pixels: upsampling, blending and the mask's outline."""

from __future__ import annotations

import contourpy
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analyses.plots import style

Floats = NDArray[np.float64]
_FAINTEST, _STRONGEST = 0.15, 0.9  # opacity of the heat where the map is zero, and at its maximum


def normalised(values: NDArray[np.floating], size: tuple[int, int]) -> Floats:
    """Return a map divided by its maximum and upsampled bilinearly to `size`, as the networks' own upsampling does.

    Grid points are the centres of cells (`align_corners=False`), and the border is held. The map's own maximum is 1;
    a map without a positive value is all zeros.
    """
    small = np.maximum(np.asarray(values, dtype=np.float64), 0.0)
    peak = small.max()
    if peak > 0:
        small = small / peak
    zoom = (size[0] / small.shape[0], size[1] / small.shape[1])
    large: Floats = ndimage.zoom(small, zoom, order=1, mode="nearest", grid_mode=True)
    return large.clip(0.0, 1.0)


def ground(photograph: NDArray[np.uint8] | None, size: tuple[int, int]) -> Floats:
    """Return what a map is drawn over, (H, W, 3) in 0..1: the photograph in light grey, or white without one."""
    if photograph is None:
        return np.ones((*size, 3))
    grey = np.asarray(photograph, dtype=np.float64) @ np.array([0.299, 0.587, 0.114]) / 255
    return np.repeat((0.25 + 0.75 * grey)[..., None], 3, axis=-1)


def heat(values: Floats, under: Floats) -> Floats:
    """Return `values` in 0..1 as heat over the picture `under`, the more opaque the higher; (H, W, 3) in 0..1."""
    opacity = (_FAINTEST + (_STRONGEST - _FAINTEST) * values)[..., None]
    colours = mpl.colormaps[style.HEAT](values)[..., :3]
    blended: Floats = (1 - opacity) * under + opacity * colours
    return blended


def outline(mask: NDArray[np.bool_]) -> list[Floats]:
    """Return the closed lines around a mask's regions: arrays of (x, y) as fractions of width and height."""
    height, width = mask.shape
    padded = np.pad(mask.astype(np.float64), 1)
    lines = contourpy.contour_generator(z=padded, name="serial").lines(0.5)
    return [(np.asarray(line) - 0.5) / np.array([width, height]) for line in lines]
