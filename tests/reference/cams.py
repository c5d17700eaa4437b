"""The gradient CAMs again, slowly, from their papers' formulas: plain loops in float64, one image and layer at a time.

Each takes activations and gradients `(c, h, w)` and returns the map before ReLU; where the map is more than its
positive part, both. `maps` looks them up by the method's name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from tests.reference import twin

Twin = Callable[[np.ndarray, np.ndarray], np.ndarray | tuple[np.ndarray, np.ndarray]]


def not_proportional(function: Twin) -> Twin:
    """Mark a method whose maps do not grow in proportion to the gradients, nor stay as they are."""
    function.proportional = False
    return function


def cells(stack: np.ndarray) -> list[tuple[int, int, int]]:
    channels, height, width = stack.shape
    return [(k, y, x) for k in range(channels) for y in range(height) for x in range(width)]


def weighted(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = np.zeros(activations.shape[1:])
    for k, y, x in cells(activations):
        found[y, x] += weights[k] * activations[k, y, x]
    return found


@not_proportional
def grad_cam_pp(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Equation 19 with its squares and cubes; a negative sum of activations, which ReLU excludes, counts as 0."""
    totals = np.zeros(len(activations))
    for k, y, x in cells(activations):
        totals[k] += activations[k, y, x]
    weights = np.zeros(len(activations))
    for k, y, x in cells(activations):
        g = gradients[k, y, x]
        alpha = g**2 / (2 * g**2 + max(totals[k], 0.0) * g**3) if g > 0 else 0.0
        weights[k] += alpha * max(g, 0.0)
    return weighted(activations, weights)


def xgrad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    weights = np.zeros(len(activations))
    for k in range(len(activations)):
        total = math.fsum(activations[k].ravel())
        if total != 0:
            for y, x in np.ndindex(activations.shape[1:]):
                weights[k] += activations[k, y, x] / total * gradients[k, y, x]
    return weighted(activations, weights)


def hires_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    found = np.zeros(activations.shape[1:])
    for k, y, x in cells(activations):
        found[y, x] += gradients[k, y, x] * activations[k, y, x]
    return found


def layer_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    found = np.zeros(activations.shape[1:])
    for k, y, x in cells(activations):
        found[y, x] += max(gradients[k, y, x], 0.0) * activations[k, y, x]
    return found


def element_wise(activations: np.ndarray, gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ReLU comes before the sum."""
    found = np.zeros(activations.shape[1:])
    for k, y, x in cells(activations):
        found[y, x] += max(gradients[k, y, x] * activations[k, y, x], 0.0)
    return hires_cam(activations, gradients), found


def eigen_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """By a full singular value decomposition of cells x channels, not centred; the projection's sum is positive."""
    channels, height, width = activations.shape
    matrix = activations.reshape(channels, height * width).T.astype(np.float64)
    _, _, right = np.linalg.svd(matrix, full_matrices=False)
    projection = matrix @ right[0]
    sign = projection.sum()
    if abs(sign) < 1e-12 * np.abs(projection).sum():
        sign = right[0][np.abs(right[0]).argmax()]
    return (projection if sign >= 0 else -projection).reshape(height, width)


def eigen_grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return eigen_cam(activations * gradients, gradients)


def seg_xres_cam(activations: np.ndarray, gradients: np.ndarray, pool: int = 2) -> np.ndarray:
    """Windows of equal length, as intervals; a cell belongs to each by the length of their intersection."""
    channels, height, width = activations.shape
    rows, columns = windows(height, pool), windows(width, pool)
    found = np.zeros((height, width))
    for k in range(channels):
        for top, bottom in rows:
            for left, right in columns:
                parts = np.zeros((height, width))
                for y, x in np.ndindex(height, width):
                    down = max(0.0, min(bottom, y + 1) - max(top, y))
                    across = max(0.0, min(right, x + 1) - max(left, x))
                    parts[y, x] = down * across
                mean = (parts * gradients[k]).sum() / ((bottom - top) * (right - left))
                found += mean * parts * activations[k]
    return found


def windows(cells_: int, pool: int) -> list[tuple[float, float]]:
    number = math.ceil(cells_ / pool)
    return [(i * cells_ / number, (i + 1) * cells_ / number) for i in range(number)]


def activation(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return weighted(activations, np.full(len(activations), 1 / len(activations)))


def grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return weighted(activations, np.array([math.fsum(g.ravel()) / g.size for g in gradients]))


def maps(name: str, activations: np.ndarray, gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A method's map before ReLU, and its map."""
    result = twin(sys.modules[__name__], "method", name)(activations, gradients)
    return result if isinstance(result, tuple) else (result, np.maximum(result, 0.0))
