"""Floats with fewer bits, so that files of them are small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 10
"""Bits of a published float's mantissa: it is off by at most 1 in 2,048 of its value."""


def rounded(values: NDArray[np.floating], bits: int = BITS) -> NDArray[np.float32]:
    """Return float32 values with this many bits of their mantissa, rounded to the nearest; NaN and infinity stay.

    >>> rounded(np.array([1.0, 0.1, -3.0001], np.float32), 10).tolist()
    [1.0, 0.0999755859375, -3.0]
    """
    cut = np.uint32(23 - bits)
    held = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    near = ((held + (np.uint32(1) << (cut - np.uint32(1)))) >> cut << cut).view(np.float32)
    return np.where(np.isfinite(values), near, values).astype(np.float32)
