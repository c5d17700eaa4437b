"""Fusions over layers again, slowly: numpy in float64, one image at a time, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tests.reference import cams
from tests.reference.metrics import upsample

Array = npt.NDArray[np.float64]
Pair = tuple[Array, Array]
"""A layer's activations and gradients, `(c, h, w)` each."""


def refine_cam(pairs: Sequence[Pair], size: tuple[int, int], base: str) -> Array:
    """Domeniconi et al.: the product of maps, each divided by its largest value."""
    product = np.ones(size)
    for activations, gradients in pairs:
        _, maps = cams.maps(base, activations, gradients)
        product *= upsample(maps / maps.max() if maps.max() > 0 else maps, *size)
    return product


def winsor_cam(pairs: Sequence[Pair], size: tuple[int, int], percentile: float) -> Array:
    """Wall et al.: a sum of Grad-CAM maps, their weights winsorised."""
    importances = [float(np.mean([g.mean() for g in gradients])) for _, gradients in pairs]
    positive = [i for i in importances if i > 0]
    total = np.zeros(size)
    if not positive:
        return total
    cut = [min(i, float(np.percentile(positive, percentile))) for i in positive]
    for importance, (activations, gradients) in zip(importances, pairs, strict=True):
        if importance <= 0:
            continue
        own = min(importance, max(cut))
        weight = 1.0 if max(cut) == min(cut) else 0.1 + 0.9 * (own - min(cut)) / (max(cut) - min(cut))
        _, maps = cams.maps("grad_cam", activations, gradients)
        if maps.max() > maps.min():
            total += weight * upsample((maps - maps.min()) / (maps.max() - maps.min()), *size)
    return total


def full_grad(pieces: Sequence[Array], size: tuple[int, int]) -> Array:
    """Srinivas and Fleuret: `pieces` are what input and biases add, `(c, h, w)` each."""
    total = np.zeros(size)
    for piece in pieces:
        sizes = abs(piece)
        if sizes.max() > sizes.min():
            for channel in (sizes - sizes.min()) / (sizes.max() - sizes.min()):
                total += upsample(channel, *size)
    return total
