"""A gradient method's slow twin, in `tests/reference/cams.py`: one image, before ReLU; `(c, h, w)` in, `(h, w)` out."""

import numpy as np

from tests.reference.cams import Array


def positive_grad_cam(activations: Array, gradients: Array) -> Array:
    """Channel by channel."""
    total: Array = np.zeros(activations.shape[1:])
    for channel, gradient in zip(activations, gradients, strict=True):
        total += np.maximum(gradient, 0).mean() * channel
    return total
