"""The gradient CAMs again, slowly, from their papers' formulas: numpy in float64, one image and layer at a time.

Each takes activations and gradients `(c, h, w)` and returns the map before ReLU; where the map is more than its
positive part, both. `maps` looks them up by the method's name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tests.reference import twin

Array = npt.NDArray[np.float64]
Twin = Callable[[Array, Array], Array | tuple[Array, Array]]


def not_proportional(function: Twin) -> Twin:
    """Mark a method whose maps do not grow in proportion to the gradients, nor stay as they are."""
    function.proportional = False
    return function


def weighted(activations: Array, weights: Array) -> Array:
    return sum(weight * channel for weight, channel in zip(weights, activations, strict=True))


@not_proportional
def grad_cam_pp(activations: Array, gradients: Array) -> Array:
    """Equation 19 with its squares and cubes; a negative sum of activations, which ReLU excludes, counts as 0."""
    weights = np.zeros(len(activations))
    for k, y, x in np.argwhere(gradients > 0):
        g = gradients[k, y, x]
        weights[k] += g**2 / (2 * g**2 + max(activations[k].sum(), 0.0) * g**3) * g
    return weighted(activations, weights)


def xgrad_cam(activations: Array, gradients: Array) -> Array:
    weights = np.zeros(len(activations))
    for k in range(len(activations)):
        total = math.fsum(activations[k].ravel())
        if total != 0:
            weights[k] = (activations[k] / total * gradients[k]).sum()
    return weighted(activations, weights)


def hires_cam(activations: Array, gradients: Array) -> Array:
    return (gradients * activations).sum(0)


def layer_cam(activations: Array, gradients: Array) -> Array:
    return (np.maximum(gradients, 0.0) * activations).sum(0)


def element_wise(activations: Array, gradients: Array) -> tuple[Array, Array]:
    """ReLU comes before the sum."""
    return hires_cam(activations, gradients), np.maximum(gradients * activations, 0.0).sum(0)


def eigen_cam(activations: Array, gradients: Array) -> Array:
    """By a full singular value decomposition of cells x channels, not centred; the projection's sum is positive."""
    channels, height, width = activations.shape
    matrix = activations.reshape(channels, height * width).T.astype(np.float64)
    _, _, right = np.linalg.svd(matrix, full_matrices=False)
    projection = matrix @ right[0]
    sign = projection.sum()
    if abs(sign) < 1e-12 * np.abs(projection).sum():
        sign = right[0][np.abs(right[0]).argmax()]
    return (projection if sign >= 0 else -projection).reshape(height, width)


def eigen_grad_cam(activations: Array, gradients: Array) -> Array:
    return eigen_cam(activations * gradients, gradients)


def seg_eigen_cam(activations: Array, gradients: Array) -> Array:
    """By a full decomposition of `|G| A`; the value furthest from 0 is positive."""
    channels, height, width = activations.shape
    matrix = (abs(gradients) * activations).reshape(channels, height * width).T.astype(np.float64)
    _, _, right = np.linalg.svd(matrix, full_matrices=False)
    projection = matrix @ right[0]
    sign = projection.max() + projection.min()
    if abs(sign) < 1e-12 * np.abs(projection).max():
        sign = right[0][np.abs(right[0]).argmax()]
    return (projection if sign >= 0 else -projection).reshape(height, width)


def seg_xres_cam(activations: Array, gradients: Array, pool: int = 2) -> Array:
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


def activation(activations: Array, gradients: Array) -> Array:
    return weighted(activations, np.full(len(activations), 1 / len(activations)))


def grad_cam(activations: Array, gradients: Array) -> Array:
    return weighted(activations, np.array([math.fsum(g.ravel()) / g.size for g in gradients]))


def maps(name: str, activations: Array, gradients: Array) -> tuple[Array, Array]:
    """A method's map before ReLU, and its map."""
    result = twin(sys.modules[__name__], "method", name)(activations, gradients)
    return result if isinstance(result, tuple) else (result, np.maximum(result, 0.0))
