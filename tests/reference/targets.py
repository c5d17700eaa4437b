"""Pixel sets and scores again, slowly: numpy in float64, one image's logits `(k, h, w)` at a time."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.special import log_softmax

from tests.reference.metrics import area_average

Array = np.ndarray


def best_pixel(logits: Array, class_id: int) -> Array:
    """The first pixel, row by row, with the highest logit of the class."""
    return np.arange(logits[0].size).reshape(logits[0].shape) == logits[class_id].argmax()


def predicted(logits: Array, class_id: int) -> Array:
    """Pixels where no other class has a higher logit, nor an equal one and a lower index."""
    return logits.argmax(0) == class_id


def truth(mask: Array, class_id: int, grid: tuple[int, int]) -> Array:
    """Cells of the grid of which more than half the area belongs to the class."""
    return area_average((mask == class_id).astype(float), *grid) > 0.5 + 1e-9


def boundary(logits: Array, class_id: int, distance: int | None) -> Array:
    """Predicted pixels with one that is not within a square of `2 distance + 1` pixels around them."""
    inside = predicted(logits, class_id)
    distance = distance or max(1, round(0.02 * math.hypot(*inside.shape)))
    return inside & maximum_filter(~inside, 2 * distance + 1)


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
    return float(log_softmax(values)[class_id])


def mean_score(name: str, logits: Array, class_id: int, chosen: Array) -> float:
    """The mean over the pixels chosen; 0 where there are none."""
    found = [score(name, logits, class_id, y, x) for y, x in zip(*np.nonzero(chosen), strict=True)]
    return sum(found) / len(found) if found else 0.0
