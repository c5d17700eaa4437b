"""Faithfulness again, slowly: plain loops in float64, one image and one map at a time.

The network is a function here, `answer(image) -> logits (k, h, w)`, and noise and random orders are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from tests.reference.metrics import upsample

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.bool_]
Answer = Callable[[Array], Array]
Impute = Callable[[Array, Pixels], Array]


def order(values: Array, ties: Sequence[int]) -> list[int]:
    """The pixels from the highest to the lowest value; equals as they come in `ties`."""
    place = {pixel: i for i, pixel in enumerate(ties)}
    return sorted(range(values.size), key=lambda pixel: (-values.flat[pixel], place[pixel]))


def area_matched(pixels: Sequence[int], inside: Pixels, chance: Sequence[int]) -> list[int]:
    """At each step the next random pixel of the side that the order takes from."""
    waiting = {side: [p for p in chance if inside.flat[p] == side] for side in (True, False)}
    return [waiting[bool(inside.flat[p])].pop(0) for p in pixels]


def mean(image: Array, gone: Pixels) -> Array:
    changed = image.copy()
    for c, channel in enumerate(image):
        changed[c][gone] = sum(channel.flat) / channel.size
    return changed


def blur(image: Array, gone: Pixels) -> Array:
    """A Gaussian of a twelfth of the shorter side, cut at three deviations, mirrored at the frame."""
    h, w = gone.shape
    deviation = min(h, w) / 12
    reach = min(max(1, round(3 * deviation)), min(h, w) - 1)
    at = range(-reach, reach + 1)
    weights = [math.exp(-(d**2) / (2 * deviation**2)) for d in at]

    def mirrored(i: int, n: int) -> int:
        return -i if i < 0 else 2 * (n - 1) - i if i >= n else i

    changed = image.copy()
    for c in range(len(image)):
        for y, x in zip(*np.nonzero(gone), strict=True):
            total = 0.0
            for dy, wy in zip(at, weights, strict=True):
                for dx, wx in zip(at, weights, strict=True):
                    total += wy * wx * image[c, mirrored(y + dy, h), mirrored(x + dx, w)]
            changed[c, y, x] = total / sum(weights) ** 2
    return changed


def noisy_linear(noise: Array, share: float) -> Impute:
    """ROAD: a dense system of equations, one for each pixel gone, and the given standard normal noise on top."""

    def impute(image: Array, gone: Pixels) -> Array:
        changed = mean(image, gone)
        places = [(int(y), int(x)) for y, x in zip(*np.nonzero(gone), strict=True)]
        if places and not gone.all():
            number = {place: i for i, place in enumerate(places)}
            matrix, right = np.zeros((len(places),) * 2), np.zeros((len(places), len(image)))
            for i, (y, x) in enumerate(places):
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        other = (y + dy, x + dx)
                        if (dy, dx) == (0, 0) or not (0 <= other[0] < gone.shape[0] and 0 <= other[1] < gone.shape[1]):
                            continue
                        weight = 1 / 12 if dy and dx else 1 / 6
                        matrix[i, i] += weight
                        if other in number:
                            matrix[i, number[other]] -= weight
                        else:
                            right[i] += weight * image[:, other[0], other[1]]
            for (y, x), values in zip(places, np.linalg.solve(matrix, right), strict=True):
                changed[:, y, x] = values
        deviation = math.sqrt(sum((v - image.mean()) ** 2 for v in image.flat) / image.size)
        for y, x in places:
            changed[:, y, x] += share * deviation * noise[:, y, x]
        return changed

    return impute


def outcomes(logits: Array, class_id: int, fixed: Pixels, truth: Pixels, background: Pixels) -> list[float]:
    """Mean class probability over the fixed set, Dice with it, IoU with the truth, border left out."""
    if not fixed.any():
        return [math.nan] * 3
    h, w = fixed.shape
    probability, size, new_size, both, hit, union = 0.0, 0, 0, 0, 0, 0
    for y in range(h):
        for x in range(w):
            here = logits[:, y, x]
            new = bool(here[class_id] == max(here))
            if fixed[y, x]:
                probability += math.exp(here[class_id]) / sum(math.exp(v) for v in here)
            size += fixed[y, x]
            new_size += new
            both += new and fixed[y, x]
            hit += new and truth[y, x]
            union += truth[y, x] or (new and background[y, x])
    return [probability / size, 2 * both / (size + new_size), hit / union if union else math.nan]


def curve(
    kind: str,
    context: bool,
    steps: int,
    pixels: Sequence[int],
    image: Array,
    sides: tuple[int, Pixels, Pixels, Pixels],
    answer: Answer,
    impute: Impute,
) -> list[list[float]]:
    """Three outcomes at each point, over those of the unchanged image. `sides`: class, fixed set, truth, background."""
    fixed = sides[1]
    may = [p for p in pixels if not (context and fixed.flat[p])]
    if not fixed.any() or not may:
        return [[math.nan] * 3] * (steps + 1)
    whole = outcomes(answer(image), *sides)
    found = []
    for k in range(steps + 1):
        first = math.floor(len(may) * k / steps + 0.5)
        gone = np.zeros(fixed.shape, bool)
        for p in may[:first] if kind == "deletion" else may[first:]:
            gone.flat[p] = True
        after = outcomes(answer(impute(image, gone)), *sides)
        found.append([a / b if b else math.nan for a, b in zip(after, whole, strict=True)])
    return found


def area(values: Sequence[float]) -> float:
    """The trapezium rule on equal steps from 0 to 1."""
    steps = len(values) - 1
    return sum((values[k] + values[k + 1]) / 2 / steps for k in range(steps))


def sums(cells: Array, sets: Pixels) -> list[float]:
    large = upsample(cells, *sets.shape[1:])
    return [sum(float(v) for v in large[one]) for one in sets]


def infidelity(cells: Array, sets: Pixels, drops: Sequence[float]) -> float:
    """The best scale is searched for, not computed."""
    if not cells.max() > 0:
        return math.nan
    own = np.array(sums(cells, sets))
    own = own / own.max()

    def error(beta: float) -> float:
        return sum((beta * s - d) ** 2 for s, d in zip(own, drops, strict=True)) / sum(d**2 for d in drops)

    top = 2 * max(abs(d) for d in drops) / own[own > 0].min()
    found = minimize_scalar(error, bounds=(0, top), method="bounded", options={"xatol": 1e-12 * top})
    return min(float(found.fun), error(0))


def sensitivity_n(cells: Array, sets: Pixels, drops: Sequence[float], shares: Sequence[float]) -> float:
    if not cells.max() > 0:
        return math.nan
    own = sums(cells, sets)
    found = []
    for share in sorted(set(shares)):
        rows = [i for i, s in enumerate(shares) if s == share]
        found.append(np.corrcoef([own[i] for i in rows], [drops[i] for i in rows])[0, 1])
    return float(np.mean(found))


def max_sensitivity(clean: Array, changed: Sequence[Array]) -> float:
    """The largest relative distance of the changed maps."""
    norm = math.sqrt(sum(float(v) ** 2 for v in clean.flat))
    if not norm > 0:
        return math.nan
    return max(math.sqrt(sum(float(d) ** 2 for d in (other - clean).flat)) / norm for other in changed)
