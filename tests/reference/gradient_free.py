"""Score-CAM, Ablation-CAM, CAM and the centred Gaussian again, slowly: numpy in float64, one image at a time.

The network is a function here: `score(image)` of Score-CAM and `score_without(k)` of Ablation-CAM are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tests.reference.metrics import area_average, upsample

Array = npt.NDArray[np.float64]


def most_varied(activations: Array, budget: int) -> list[int]:
    """The channels by falling standard deviation over cells, of equals the first; `budget` of them, or all for 0."""
    order = sorted(range(len(activations)), key=lambda k: (-activations[k].std(), k))
    return order[:budget] if budget else order


def score_cam(
    activations: Array, image: Array, score: Callable[[Array], float], baseline: Array, budget: int = 0
) -> Array:
    """Wang et al., equations 6 to 10 and algorithm 1, with the baseline that the fast code leaves out."""
    rows, columns = image.shape[1:]
    increases: dict[int, float] = {}
    for k in most_varied(activations, budget):
        large = upsample(activations[k].astype(np.float64), rows, columns)
        low, high = large.min(), large.max()
        if high - low <= 1e-9 * abs(activations[k]).max():
            continue  # a constant channel has no mask
        mask = (large - low) / (high - low)
        increases[k] = score(image * mask) - score(baseline)
    total = sum(math.exp(s) for s in increases.values())
    return weighted(activations, {k: math.exp(s) / total for k, s in increases.items()})


def ablation_cam(activations: Array, score: float, score_without: Callable[[int], float], budget: int = 0) -> Array:
    """Desai and Ramaswamy, equations 3 and 4, with the score's size in the denominator."""
    weights = {}
    for k in most_varied(activations, budget):
        weights[k] = (score - score_without(k)) / abs(score) if score else 0.0
    return weighted(activations, weights)


def weighted(activations: Array, weights: dict[int, float]) -> Array:
    """`max(0, sum_k w_k A_k)`."""
    return np.maximum(signed(activations, weights), 0.0)


def signed(activations: Array, weights: dict[int, float]) -> Array:
    """`sum_k w_k A_k`."""
    found = np.zeros(activations.shape[1:])
    for k, weight in weights.items():
        found += weight * activations[k].astype(np.float64)
    return found


def cam(activations: Array, class_weights: Sequence[float]) -> Array:
    """Zhou et al., equation 2."""
    return signed(activations, dict(enumerate(class_weights)))


def finer_cam(
    activations: Array, own: Array, means: Sequence[float], rivals: dict[int, Array], strength: float, references: int
) -> Array:
    """Grad-CAM of a difference: `own` the score's gradient, `means` the classes' mean logits, the last the class's own.

    `rivals` holds the gradients of the other classes' mean logits, from which the nearest are taken.
    """
    nearest = sorted(rivals, key=lambda d: (abs(means[d] - means[-1]), d))[:references]
    gradient = own - strength * sum(rivals[d] for d in nearest) / len(nearest)
    return weighted(activations, {k: float(gradient[k].mean()) for k in range(len(activations))})


def gaussian(size: tuple[int, int], grid: tuple[int, int], width: float) -> Array:
    """`exp(-d^2 / (2 width^2))`, d the distance from the image's centre in shares of its sides, averaged over cells."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in size)
    return area_average(np.exp(-(y[:, None] ** 2 + x**2) / (2 * width**2)), *grid)
