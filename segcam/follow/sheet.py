"""Sheet: one picture a step, a row an image: what is predicted, and then the layers' maps, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcam.draw import errors, overlay
from segcam.draw.display import PREDICTED
from segcam.follow.scene import Scene
from segcam.follow.scoring import Picture

SIDE = 104
"""Pixels of a cell's longer side."""
COLOURS = 64
"""Of the file's palette: maps have one scale of colours, on grey."""

Pixels = NDArray[np.uint8]


def cell_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of a cell for images of a size."""
    scale = SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def sheet(scene: Scene, pictures: Sequence[Picture], labels: Sequence[str]) -> Pixels:
    """Draw images in rows, with the prediction first and a column for each layer.

    Returns:
        `(images * rows, (1 + layers) * columns, 3)`, see `cell_of`.
    """
    cell = cell_of(scene.size)
    rows = []
    for picture, photograph in zip(pictures, scene.photographs, strict=False):
        small = np.asarray(_resized(photograph.permute(1, 2, 0).numpy(), cell, Image.Resampling.BILINEAR))
        found = _resized(picture.predicted.numpy(), cell)
        true = None if picture.true is None else _resized(picture.true.numpy(), cell)
        cells = [_tinted(small, found) if true is None else errors(found, true, small)]
        for label in labels:
            values = picture.maps.get(label, "no map")
            place = picture.placements.get(label)
            cells.append(overlay(small, values, true, None, placement=place, size=scene.size))
        rows.append(np.concatenate(cells, 1))
    return np.concatenate(rows, 0)


def png(pixels: Pixels) -> bytes:
    """Return a PNG of few colours, a third as large as one of all."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()


def _resized(
    pixels: NDArray[np.generic], cell: tuple[int, int], how: Image.Resampling = Image.Resampling.NEAREST
) -> NDArray[np.generic]:
    picture = Image.fromarray(pixels.astype(np.uint8)).resize(cell[::-1], how)
    return np.asarray(picture).astype(pixels.dtype)


def _tinted(photograph: NDArray[np.generic], region: NDArray[np.generic]) -> Pixels:
    tinted = photograph.astype(np.float64)
    tinted[region.astype(bool)] = 0.5 * tinted[region.astype(bool)] + 0.5 * np.array(PREDICTED)
    return tinted.round().astype(np.uint8)
