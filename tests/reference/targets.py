"""Pixel sets and scores again, slowly: plain loops in float64 over one image's logits `(k, h, w)`."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def best_pixel(logits: Array, class_id: int) -> Array:
    """The first pixel, row by row, with the highest logit of the class."""
    found = np.zeros(logits.shape[1:], bool)
    best, at = -math.inf, (0, 0)
    for y in range(logits.shape[1]):
        for x in range(logits.shape[2]):
            if logits[class_id, y, x] > best:
                best, at = logits[class_id, y, x], (y, x)
    found[at] = True
    return found


def predicted(logits: Array, class_id: int) -> Array:
    """Pixels where no other class has a higher logit, nor an equal one and a lower index."""
    classes, rows, columns = logits.shape
    found = np.ones((rows, columns), bool)
    for y in range(rows):
        for x in range(columns):
            for k in range(classes):
                mine, theirs = logits[class_id, y, x], logits[k, y, x]
                if theirs > mine or (theirs == mine and k < class_id):
                    found[y, x] = False
    return found


def truth(mask: Array, class_id: int, grid: tuple[int, int]) -> Array:
    """Cells of the grid of which more than half the area belongs to the class: overlaps of rectangles, one by one."""
    rows, columns = mask.shape
    found = np.zeros(grid, bool)
    for i in range(grid[0]):
        for j in range(grid[1]):
            top, bottom = i * rows / grid[0], (i + 1) * rows / grid[0]
            left, right = j * columns / grid[1], (j + 1) * columns / grid[1]
            own = 0.0
            for y in range(rows):
                for x in range(columns):
                    down = max(0.0, min(bottom, y + 1) - max(top, y))
                    across = max(0.0, min(right, x + 1) - max(left, x))
                    own += down * across * (mask[y, x] == class_id)
            found[i, j] = own > 0.5 * (bottom - top) * (right - left) + 1e-9
    return found


def boundary(logits: Array, class_id: int, distance: int | None) -> Array:
    """Predicted pixels with one that is not within a square of `2 distance + 1` pixels around them."""
    inside = predicted(logits, class_id)
    rows, columns = inside.shape
    if distance is None:
        distance = max(1, round(0.02 * math.sqrt(rows**2 + columns**2)))
    found = np.zeros_like(inside)
    for y in range(rows):
        for x in range(columns):
            for v in range(max(0, y - distance), min(rows, y + distance + 1)):
                for u in range(max(0, x - distance), min(columns, x + distance + 1)):
                    if inside[y, x] and not inside[v, u]:
                        found[y, x] = True
    return found


def image(logits: Array) -> Array:
    """All pixels."""
    return np.ones(logits.shape[1:], bool)


def score(name: str, logits: Array, class_id: int, y: int, x: int) -> float:
    """A pixel's score."""
    values = [float(v) for v in logits[:, y, x]]
    others = max(v for k, v in enumerate(values) if k != class_id)
    if name == "logit":
        return values[class_id]
    if name == "rival":
        return others
    if name == "margin":
        return values[class_id] - others
    if name == "contrast":
        return values[class_id] - max(v for k, v in enumerate(values) if k not in (0, class_id))
    top = max(values)
    return values[class_id] - top - math.log(sum(math.exp(v - top) for v in values))


def mean_score(name: str, logits: Array, class_id: int, chosen: Array) -> float:
    """The mean over the pixels chosen; 0 where there are none."""
    found = [score(name, logits, class_id, y, x) for y, x in zip(*np.nonzero(chosen), strict=True)]
    return sum(found) / len(found) if found else 0.0
