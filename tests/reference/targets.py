"""Pixel sets and scores again, slowly: numpy in float64, one image's logits `(k, h, w)` at a time.

A class is an index, or a tuple of several that count as one.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import maximum_filter

from tests.reference.metrics import area_average

Array = np.ndarray
Class = int | tuple[int, ...]


def own(logits: Array, class_id: Class) -> Array:
    """The class's logit at each pixel; of several the logarithm of their exponentials' sum."""
    ids = np.atleast_1d(class_id)
    largest = logits[ids].max(0)
    return largest + np.log(np.exp(logits[ids] - largest).sum(0))


def best_pixel(logits: Array, class_id: Class) -> Array:
    """The first pixel, row by row, with the highest logit of the class."""
    return np.arange(logits[0].size).reshape(logits[0].shape) == own(logits, class_id).argmax()


def predicted(logits: Array, class_id: Class) -> Array:
    """Pixels where no other class has a higher logit, nor an equal one and a lower index."""
    return np.isin(logits.argmax(0), class_id)


def truth(mask: Array, class_id: Class, grid: tuple[int, int]) -> Array:
    """Cells of the grid of which more than half the area belongs to the class."""
    return area_average(np.isin(mask, class_id).astype(float), *grid) > 0.5 + 1e-9


def beside(mask: Array, class_id: Class, grid: tuple[int, int]) -> Array:
    """Cells of which more than half the area belongs to another class."""
    return area_average((~np.isin(mask, class_id) & (mask != 255)).astype(float), *grid) > 0.5 + 1e-9


def boundary(logits: Array, class_id: Class, distance: int | None) -> Array:
    """Predicted pixels with one that is not within a square of `2 distance + 1` pixels around them."""
    inside = predicted(logits, class_id)
    distance = distance or max(1, round(0.02 * math.hypot(*inside.shape)))
    return inside & maximum_filter(~inside, 2 * distance + 1)


def rejection(here: Array, true: Array, other: Array) -> Array:
    """Pixels of another class, not predicted, with one that is or that is of the class in a square around them."""
    distance = max(1, round(0.02 * math.hypot(*here.shape)))
    found = np.zeros(here.shape, bool)
    for y, x in np.ndindex(here.shape):
        around = np.s_[max(y - distance, 0) : y + distance + 1, max(x - distance, 0) : x + distance + 1]
        found[y, x] = other[y, x] and not here[y, x] and (here | true)[around].any()
    return found


def border(logits: Array, class_id: Class, other: Class) -> Array:
    """1 at pixels of the one class with a neighbour, of eight, of the other, and -1 at those neighbours."""
    one, two = predicted(logits, class_id), predicted(logits, other)
    signs = np.zeros(one.shape, int)
    for y, x in np.ndindex(one.shape):
        around = np.s_[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        if one[y, x] and two[around].any():
            signs[y, x] = 1
        if two[y, x] and one[around].any():
            signs[y, x] = -1
    return signs


def parts(pixels: Array) -> list[Array]:
    """The connected parts of a set, by where they begin in rows: flooded from pixel to pixel, over corners too."""
    found, seen = [], np.zeros(pixels.shape, bool)
    for start in zip(*np.nonzero(pixels), strict=True):
        if seen[start]:
            continue
        part, waiting = np.zeros(pixels.shape, bool), [start]
        while waiting:
            y, x = waiting.pop()
            if 0 <= y < pixels.shape[0] and 0 <= x < pixels.shape[1] and pixels[y, x] and not part[y, x]:
                part[y, x] = True
                waiting += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        seen |= part
        found.append(part)
    return found


def part(pixels: Array, which: str, point: tuple[int, int] | None = None) -> Array:
    """The largest part, the smallest, or that in which a point lies; nothing where there is none."""
    found = [one for one in parts(pixels) if which != "instance" or one[point]]
    if not found:
        return np.zeros(pixels.shape, bool)
    return max(found, key=np.sum) if which == "largest" else min(found, key=np.sum)


def image(logits: Array) -> Array:
    """All pixels."""
    return np.ones(logits.shape[1:], bool)


def chosen(pixels: str, logits: Array, mask: Array, class_id: Class, values: tuple[int, ...] = ()) -> Array:
    """A pixel set by its name, `values` as in its parentheses; -1 where pixels count against the class."""
    grid = logits.shape[1:]
    here, true = predicted(logits, class_id), truth(mask, class_id, grid)
    which, _, of_truth = pixels.partition("_")
    if which in ("instance", "largest", "smallest"):
        return part(true if of_truth else here, which, values or None)  # type: ignore[arg-type]
    return {
        "best_pixel": lambda: best_pixel(logits, class_id),
        "predicted": lambda: here,
        "truth": lambda: true,
        "boundary": lambda: boundary(logits, class_id, *(values or (None,))),
        "image": lambda: image(logits),
        "hit": lambda: here & true,
        "false_positive": lambda: here & beside(mask, class_id, grid),
        "false_negative": lambda: true & ~here,
        "rejection": lambda: rejection(here, true, beside(mask, class_id, grid)),
        "border": lambda: border(logits, class_id, values),
    }[pixels]()


def score(name: str, logits: Array, class_id: Class, y: int, x: int, other: Class = ()) -> float:
    """A pixel's score."""
    here = logits[:, y, x]
    ids = set(np.atleast_1d(class_id).tolist())
    value = math.log(sum(math.exp(here[k]) for k in ids))
    others = max(float(v) for k, v in enumerate(here) if k not in ids)
    if name == "logit":
        return value
    if name == "rival":
        return others
    if name == "margin":
        return value - others
    if name == "contrast":
        return value - max(float(v) for k, v in enumerate(here) if k and k not in ids)
    if name == "pair":
        return value - math.log(sum(math.exp(here[k]) for k in np.atleast_1d(other)))
    return value - math.log(sum(math.exp(v) for v in here))


def mean_score(name: str, logits: Array, class_id: Class, pixels: Array, other: Class = ()) -> float:
    """The mean over the pixels chosen, with their signs; 0 where there are none."""
    places = zip(*np.nonzero(pixels), strict=True)
    found = [float(pixels[y, x]) * score(name, logits, class_id, y, x, other) for y, x in places]
    return sum(found) / len(found) if found else 0.0
