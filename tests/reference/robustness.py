"""Robustness again, slowly: numpy in float64, one image and one map at a time; noise is the caller's."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import rankdata

from tests.reference.metrics import Array


def changed(image: Array, kind: str, strength: float, inside: Array, noise: Array) -> Array:
    """An image `(ch, h, w)` changed where there is a picture; mean and deviation over pixels and channels there."""
    pixels = [float(v) for channel in image for v in channel[inside]]
    mean = sum(pixels) / len(pixels)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in pixels) / len(pixels))
    if kind == "noise":
        out = image + strength * deviation * noise
    elif kind == "brightness":
        out = image + strength * deviation
    elif kind == "contrast":
        out = mean + (1 - strength) * (image - mean)
    else:
        side = min(inside.any(axis).sum() for axis in (0, 1))
        out = np.stack([blurred(channel, strength * side, inside) for channel in image])
    return np.where(inside, out, image)


def blurred(channel: Array, deviation: float, inside: Array) -> Array:
    """Weighted means over the picture's pixels, Gaussian weights cut at three deviations, mirrored at the frame."""
    h, w = channel.shape
    reach = min(max(1, round(3 * deviation)), min(h, w) - 1)
    out = np.zeros((h, w))
    for y, x in np.ndindex(h, w):
        total = weight = 0.0
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                at = mirrored(y + dy, h), mirrored(x + dx, w)
                one = math.exp(-(dy**2 + dx**2) / (2 * deviation**2)) * bool(inside[at])
                total, weight = total + one * channel[at], weight + one
        out[y, x] = total / weight if weight else 0.0
    return out


def mirrored(at: int, size: int) -> int:
    return -at if at < 0 else 2 * (size - 1) - at if at >= size else at


def similarity(one: Array, other: Array) -> tuple[float, float, float]:
    """Spearman's correlation, cosine and overlap of the top tenths of two maps `(h, w)`."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()) or one.max() <= 0:
        return math.nan, math.nan, math.nan
    a, b = (np.maximum(values, 0).ravel() for values in (one, other))
    ranks = rankdata(a), rankdata(b)
    spreads = [r.std() for r in ranks]
    spearman = float(np.corrcoef(*ranks)[0, 1]) if min(spreads) > 0 else math.nan if b.max() > 0 else 0.0
    lengths = math.sqrt(sum(v * v for v in a)), math.sqrt(sum(v * v for v in b))
    cosine = sum(p * q for p, q in zip(a, b, strict=True)) / (lengths[0] * lengths[1]) if min(lengths) > 0 else 0.0
    tops = [top(values) for values in (a, b)]
    return spearman, cosine, len(tops[0] & tops[1]) / len(tops[0] | tops[1])


def top(cells: Array) -> set[int]:
    """The cells above zero that are no less than the last of the highest tenth."""
    least = sorted(cells, reverse=True)[math.ceil(len(cells) / 10) - 1]
    return {i for i, value in enumerate(cells) if value >= least and value > 0}
