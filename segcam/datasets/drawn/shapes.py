"""Shapes as signed distances: tapered capsules and boxes in unit coordinates, painted onto a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
"""A float32 array; most are `(size, size)`, one number a pixel."""

FAR = 1.0
"""The distance given to pixels that no shape comes near."""


class Shape(NamedTuple):
    """A capsule from `a` to `b` whose radius goes from `ra` to `rb`, or a box around the segment from `a` to `b`.

    Attributes:
        ax: x of the first end; x points right, y down; the image is the unit square.
        ay: y of the first end.
        bx: x of the second end.
        by: y of the second end.
        ra: radius at the first end; half the width of a box.
        rb: radius at the second end; a box has no use for it.
        part: index into `PARTS`.
        shade: brightness that the coat's colour is multiplied by.
        tint: share of the light trim colour, 0 for the coat alone.
        box: whether this is a box.
    """

    ax: float
    ay: float
    bx: float
    by: float
    ra: float
    rb: float
    part: int = 0
    shade: float = 1.0
    tint: float = 0.0
    box: bool = False


def moved(shapes: Sequence[Shape], angle: float, scale: float, x: float, y: float, flip: bool = False) -> list[Shape]:
    """Mirror (left-right), turn by `angle` (radians), scale and shift shapes, in this order."""
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    m = -1.0 if flip else 1.0
    return [
        Shape(
            c * m * q.ax - s * q.ay + x,
            s * m * q.ax + c * q.ay + y,
            c * m * q.bx - s * q.by + x,
            s * m * q.bx + c * q.by + y,
            q.ra * scale,
            q.rb * scale,
            *q[6:],
        )
        for q in shapes
    ]


def covered_share(capsules: Field, scale: float, x: float, y: float, cells: int = 20) -> float:
    """Return the share of the unit square that capsules cover once scaled and shifted.

    Args:
        capsules: `ax, ay, bx, by, ra, rb` of each, `(n, 6)`.
        scale: what they are scaled by.
        x: where the origin goes.
        y: where the origin goes.
        cells: the share is counted on a grid of `cells` x `cells` points.
    """
    ax, ay, bx, by, ra, rb = capsules.T[:, :, None, None]
    steps = pixel_centres(cells)
    px, py = (steps - np.float32(x)) / np.float32(scale) - ax, (steps[:, None] - np.float32(y)) / np.float32(scale) - ay
    bx, by = bx - ax, by - ay
    square = np.maximum(bx * bx + by * by, np.float32(1e-9))
    t = clipped(px * (bx / square) + py * (by / square))
    r = ra + t * (rb - ra)
    px = px - t * bx
    py = py - t * by
    inside = px * px + py * py < r * r
    return float(inside.any(0).mean())


def pixel_centres(size: int) -> Field:
    """Return the unit coordinate of each pixel's middle, `(size,)`."""
    centres: Field = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return centres


def clipped(field: Field) -> Field:
    """Clip to 0..1 in place; on small arrays this is several times as fast as `np.clip`."""
    np.maximum(field, 0, out=field)
    return np.minimum(field, 1, out=field)


class Layer:
    """What has been painted so far: distance, shade, tint and part of each pixel.

    Attributes:
        size: side of the square, in pixels.
        distance: signed distance to the union's outline in unit coordinates, negative inside, at most `FAR`.
        shade: brightness, 1 where nothing is painted.
        tint: share of the trim colour.
        parts: part painted last, 0 where there is none.
    """

    def __init__(self, size: int, light: tuple[float, float], margin: float, fuzz: Field) -> None:
        self.size = size
        self.distance: Field = np.full((size, size), FAR, np.float32)
        self.shade: Field = np.ones((size, size), np.float32)
        self.tint: Field = np.zeros((size, size), np.float32)
        self.parts: npt.NDArray[np.uint8] = np.zeros((size, size), np.uint8)
        self._light = light
        self._margin = margin
        self._fuzz = fuzz
        self._tinted = False
        self._steps = pixel_centres(size)

    def copy(self) -> Layer:
        """Return a layer of its own with the same painted on it."""
        other = copy(self)
        for name in ("distance", "shade", "tint", "parts"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def paint(self, q: Shape) -> None:
        """Paint one shape over the others, lit from one side and darker towards its rim."""
        window = self._window(q)
        if window is None:
            return
        rows, columns = window
        x = self._steps[columns][None] - np.float32(q.ax)
        y = self._steps[rows][:, None] - np.float32(q.ay)
        distance, lit = _box(q, x, y, self._light) if q.box else _capsule(q, x, y, self._light)
        if q.ra > 0.02:
            distance += self._fuzz[rows, columns]
        alpha = distance * -self.size
        alpha += 0.5
        clipped(alpha)
        lit *= q.shade * 0.24
        lit += q.shade
        shade = self.shade[rows, columns]
        lit -= shade
        lit *= alpha
        shade += lit
        if q.tint or self._tinted:
            self._tinted = True
            tint = self.tint[rows, columns]
            tint += alpha * (np.float32(q.tint) - tint)
        if q.part:
            self.parts[rows, columns][distance < 0] = q.part
        union = self.distance[rows, columns]
        np.minimum(union, distance, out=union)

    def _window(self, q: Shape) -> tuple[slice, slice] | None:
        reach = (q.ra * 1.1 if q.box else max(q.ra, q.rb)) + self._margin
        n = self.size
        x0, x1 = min(q.ax, q.bx) - reach, max(q.ax, q.bx) + reach
        y0, y1 = min(q.ay, q.by) - reach, max(q.ay, q.by) + reach
        if x0 >= 1 or y0 >= 1 or x1 <= 0 or y1 <= 0:
            return None
        rows = slice(max(0, int(y0 * n)), min(n, int(y1 * n) + 1))
        columns = slice(max(0, int(x0 * n)), min(n, int(x1 * n) + 1))
        return rows, columns


def _capsule(q: Shape, x: Field, y: Field, light: tuple[float, float]) -> tuple[Field, Field]:
    """Return the distance to a tapered capsule and how much its surface faces the light (about -1..1)."""
    bx, by = q.bx - q.ax, q.by - q.ay
    square = max(bx * bx + by * by, 1e-9)
    t: Field = x * np.float32(bx / square) + y * np.float32(by / square)
    clipped(t)
    dx = x - t * np.float32(bx)
    dy = y - t * np.float32(by)
    lit: Field = dx * np.float32(light[0] / q.ra)
    lit += dy * np.float32(light[1] / q.ra)
    dx *= dx
    dy *= dy
    dx += dy
    np.sqrt(dx, out=dx)
    if q.ra != q.rb:
        t *= np.float32(q.rb - q.ra)
        dx -= t
    dx -= np.float32(q.ra)
    return dx, lit


def _box(q: Shape, x: Field, y: Field, light: tuple[float, float]) -> tuple[Field, Field]:
    """Return the distance to a box and how much its surface faces the light."""
    bx, by = q.bx - q.ax, q.by - q.ay
    half = max(math.hypot(bx, by) / 2, 1e-6)
    ux, uy = bx / (2 * half), by / (2 * half)
    along: Field = x * np.float32(ux) + y * np.float32(uy) - np.float32(half)
    across: Field = y * np.float32(ux) - x * np.float32(uy)
    lit: Field = along * np.float32((light[0] * ux + light[1] * uy) / half)
    lit += across * np.float32((light[1] * ux - light[0] * uy) / q.ra)
    np.abs(along, out=along)
    np.abs(across, out=across)
    along -= np.float32(half)
    across -= np.float32(q.ra)
    np.maximum(along, across, out=along)
    return along, lit
