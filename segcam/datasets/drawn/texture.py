"""Colours and textures: value noise, coats, grounds."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from segcam.datasets.drawn.shapes import Field, clipped, pixel_centres

FURS: Field = np.array(
    [
        (58, 53, 52), (100, 98, 102), (150, 148, 148), (226, 222, 214), (236, 216, 180), (214, 172, 116),
        (206, 128, 62), (160, 98, 54), (112, 72, 46), (86, 60, 46), (186, 160, 132), (128, 116, 100),
    ],
    dtype=np.float32,
) / np.float32(255)  # fmt: skip
"""Coat colours, `(12, 3)`, from black over grey, white, cream and ginger to brown."""

GROUNDS: Field = np.array(
    [
        (86, 122, 58), (120, 150, 82), (58, 88, 54), (150, 112, 76), (186, 150, 110), (120, 90, 70),
        (134, 144, 156), (96, 106, 122), (196, 200, 204), (88, 120, 160), (150, 184, 206), (152, 74, 66),
        (198, 178, 128), (96, 84, 116), (70, 110, 108), (210, 196, 180),
    ],
    dtype=np.float32,
) / np.float32(255)  # fmt: skip
"""Background colours, `(16, 3)`: grass, wood, stone, sky, cloth."""


@lru_cache(maxsize=256)
def _lattice_weights(size: int, cells: int) -> tuple[npt.NDArray[np.intp], Field]:
    position = (np.arange(size, dtype=np.float64) + 0.5) / size * cells
    low = np.minimum(position.astype(np.intp), cells - 1)
    t = position - low
    weights = (t * t * (3 - 2 * t)).astype(np.float32)[:, None]
    return low, weights


def noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> Field:
    """Draw smooth noise in 0..1: random numbers on a lattice of `rows` x `columns` cells, smoothly interpolated.

    The lattice is drawn whatever the size is, so the same noise can be had at any size.

    Returns:
        `(size, size)` float32.
    """
    lattice = rng.random((columns + 1, rows + 1), dtype=np.float32)
    low, weights = _lattice_weights(size, columns)
    across = lattice[low]
    across += weights * (lattice[low + 1] - across)
    across = np.ascontiguousarray(across.T)
    low, weights = _lattice_weights(size, rows)
    field: Field = across[low]
    step = across[low + 1]
    step -= field
    step *= weights
    field += step
    return field


def waves(size: int, angle: float, count: float, phase: float) -> Field:
    """Return the position along a direction in numbers of waves, `(size, size)`; `count` waves cross the image."""
    steps = pixel_centres(size)
    x = steps * np.float32(count * math.cos(angle)) + np.float32(phase)
    y = steps * np.float32(count * math.sin(angle))
    field: Field = x[None] + y[:, None]
    return field


def _stripe(field: Field, sharpness: float) -> Field:
    field *= np.float32(2 * math.pi)
    np.sin(field, out=field)
    field *= np.float32(sharpness)
    field += np.float32(0.5)
    return clipped(field)


def coat_pattern(rng: np.random.Generator, size: int, scale: float) -> Field:
    """Draw where a coat has its second colour, 0..1: plain, striped, spotted, patched or brindled.

    The pattern's parts grow with `scale`, the size of the animal.
    """
    kind = int(rng.integers(5))
    angle, phase, frequency = rng.uniform(0, math.pi), rng.uniform(0, 1), rng.uniform(7, 13)
    cells = max(3, min(28, round(10 / scale)))
    low: Field = 0.68 * noise(rng, size, cells, cells) + 0.32 * noise(rng, size, 2 * cells + 1, 2 * cells + 1)
    if kind == 0:
        low *= np.float32(0.5)
        return low
    if kind == 1:
        field = waves(size, angle, frequency / scale, phase)
        low *= np.float32(1.6)
        field += low
        return _stripe(field, 0.9)
    sharpness, level = {2: (8.0, 0.58), 3: (6.0, 0.5), 4: (2.0, 0.5)}[kind]
    if kind == 4:
        low = 0.5 * low + 0.5 * noise(rng, size, min(64, 5 * cells), 2 * cells)
    low -= np.float32(level)
    low *= np.float32(sharpness)
    low += np.float32(0.5)
    return clipped(low)


def ground_pattern(rng: np.random.Generator, size: int) -> Field:
    """Draw how two colours mix on the ground, 0..1: grass, stripes, checks, clouds, planks or gravel.

    Returns:
        `(size, size)` float32.
    """
    kind = int(rng.integers(6))
    angle, phase, count = rng.uniform(0, math.pi), rng.uniform(0, 1), rng.uniform(3, 11)
    field: Field
    if kind == 0:
        field = 0.65 * noise(rng, size, 12, 64) + 0.35 * noise(rng, size, 6, 6)
        return field
    if kind == 1:
        field = waves(size, angle, count, phase)
        field += 0.35 * noise(rng, size, 5, 5)
        return _stripe(field, rng.uniform(0.5, 3))
    if kind == 2:
        first = _stripe(waves(size, angle, count, phase), 3)
        second = _stripe(waves(size, angle + math.pi / 2, count, phase), 3)
        field = np.abs(first - second)
        return field
    if kind == 3:
        field = 0.7 * noise(rng, size, 3, 3) + 0.3 * noise(rng, size, 14, 14)
        return field
    if kind == 4:
        field = _stripe(waves(size, math.pi / 2, count, phase), 4)
        field = 0.3 * field + 0.7 * noise(rng, size, 40, 4)
        return field
    field = noise(rng, size, 22, 22)
    field -= np.float32(0.5)
    field *= np.float32(2.5)
    field += np.float32(0.5)
    return clipped(field)


def colour(rng: np.random.Generator, palette: Field, spread: float = 0.03) -> Field:
    """Draw one colour from a palette and vary it a little.

    Returns:
        RGB in 0..1, `(3, 1, 1)` float32.
    """
    base = palette[int(rng.integers(len(palette)))]
    varied = base * rng.uniform(0.85, 1.15) + rng.uniform(-spread, spread, 3)
    rgb: Field = np.clip(varied, 0.02, 0.98).astype(np.float32).reshape(3, 1, 1)
    return rgb
