"""Distractors: things that wear the animal's coat but are put together differently."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from segcam.datasets.drawn.shapes import Shape, moved


def _stone(rng: np.random.Generator) -> list[Shape]:
    r = rng.uniform(0.14, 0.26)
    return [Shape(-rng.uniform(0.05, 0.3), 0, rng.uniform(0.05, 0.3), 0, r, r * rng.uniform(0.7, 1.2), 0, 1.0)]


def _sticks(rng: np.random.Generator) -> list[Shape]:
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(1, 4))):
        x, y, angle = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(0, math.pi)
        dx, dy = rng.uniform(0.2, 0.45) * math.cos(angle), rng.uniform(0.2, 0.45) * math.sin(angle)
        r = rng.uniform(0.04, 0.09)
        shapes.append(Shape(x - dx, y - dy, x + dx, y + dy, r, r * rng.uniform(0.6, 1), 0, rng.uniform(0.7, 1)))
    return shapes


def _crate(rng: np.random.Generator) -> list[Shape]:
    w, h = rng.uniform(0.14, 0.34), rng.uniform(0.12, 0.26)
    shapes = [Shape(-w, 0, w, 0, h, h, 0, 0.98, 0.0, True)]
    if rng.random() < 0.5:
        shapes.append(Shape(-w, 0, w, 0, 0.2 * h, 0.2 * h, 0, 0.95, 0.8, True))
    return shapes


def _ball(rng: np.random.Generator) -> list[Shape]:
    r = rng.uniform(0.13, 0.26)
    shapes = [Shape(0, 0, 0, 0, r, r, 0, 1.0)]
    if rng.random() < 0.5:
        shapes.append(Shape(-0.4 * r, 0.2 * r, 0.4 * r, 0.2 * r, 0.3 * r, 0.3 * r, 0, 1.05, 0.85))
    for _ in range(int(rng.integers(0, 4))):
        x, y = (rng.uniform(-0.55, 0.55, 2) * r).tolist()
        shapes.append(Shape(x, y, x, y, 0.18 * r, 0.18 * r, 0, 0.12))
    return shapes


def _bush(rng: np.random.Generator) -> list[Shape]:
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(3, 6))):
        x, y, r = rng.uniform(-0.28, 0.28), rng.uniform(-0.2, 0.2), rng.uniform(0.09, 0.18)
        shapes.append(Shape(x, y, x + rng.uniform(-0.1, 0.1), y, r, r, 0, rng.uniform(0.75, 1.05)))
    return shapes


def _stool(rng: np.random.Generator) -> list[Shape]:
    w, h, r = rng.uniform(0.25, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.04, 0.08)
    legs = [Shape(x * w, 0, x * w * 1.2, h, r, 0.8 * r, 0, shade) for x, shade in ((-0.5, 0.7), (0.5, 0.7))]
    legs += [Shape(x * w, 0, x * w * 1.1, h, r, 0.8 * r, 0, 0.95) for x in (-0.9, 0.9)]
    r = rng.uniform(0.05, 0.15)
    return [*legs, Shape(-w, 0, w, 0, r, r, 0, 1.0, 0.0, True)]


def _cones(rng: np.random.Generator) -> list[Shape]:
    shapes: list[Shape] = []
    for i in range(int(rng.integers(1, 4))):
        x, h, r = 0.24 * i - 0.24, rng.uniform(0.2, 0.45), rng.uniform(0.08, 0.14)
        shapes.append(Shape(x, 0, x + rng.uniform(-0.08, 0.08), -h, r, 0.012, 0, rng.uniform(0.8, 1.0)))
    return shapes


_THINGS: tuple[Callable[[np.random.Generator], list[Shape]], ...] = (
    _stone, _sticks, _crate, _ball, _bush, _stool, _cones,
)  # fmt: skip


def stalks(rng: np.random.Generator) -> list[Shape]:
    """Draw thin things that stand in front of the animal."""
    shapes: list[Shape] = []
    x = rng.uniform(0.1, 0.9)
    for _ in range(int(rng.integers(1, 3))):
        y, lean, r = rng.uniform(0.2, 0.7), rng.uniform(-0.25, 0.25), rng.uniform(0.018, 0.04)
        shapes.append(Shape(x, 1.05, x + lean, y, r, 0.6 * r, 0, rng.uniform(0.7, 1.05)))
        x += rng.uniform(-0.3, 0.3)
    return shapes


def thing(rng: np.random.Generator, scale: float) -> list[Shape]:
    """Draw one distractor as large as an animal of body length `scale` would have its parts, somewhere in the image."""
    kind = _THINGS[int(rng.integers(len(_THINGS)))]
    angle = rng.normal(0, 0.35)
    x, y = rng.random(2).tolist()
    if rng.random() < 0.65:  # the animal hides what lies in the middle
        x = x * 0.3 if rng.random() < 0.5 else 1 - x * 0.3
    return moved(kind(rng), angle, min(max(scale, 0.45), 0.95) * rng.uniform(0.6, 1.05), x, y)
