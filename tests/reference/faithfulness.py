"""Faithfulness again, slowly: numpy in float64, one image and one map at a time.

The network is a function here, `answer(image) -> logits (k, h, w)`, and noise and random orders are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar
from scipy.special import softmax

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
    return np.where(gone, image.mean((1, 2), keepdims=True), image)


def blur(image: Array, gone: Pixels) -> Array:
    """A Gaussian of a twelfth of the shorter side, cut at three deviations, mirrored at the frame."""
    side = min(gone.shape)
    reach = min(max(1, round(3 * side / 12)), side - 1)
    blurred = [gaussian_filter(channel, side / 12, mode="mirror", radius=reach) for channel in image]
    return np.where(gone, blurred, image)


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
        return changed + gone * share * image.std() * noise

    return impute


def outcomes(logits: Array, class_id: int, fixed: Pixels, truth: Pixels, background: Pixels) -> list[float]:
    """Mean class probability over the fixed set, Dice with it, IoU with the truth, border left out."""
    if not fixed.any():
        return [math.nan] * 3
    new = logits[class_id] == logits.max(0)
    probability = softmax(logits, 0)[class_id][fixed].mean()
    dice = 2 * (new & fixed).sum() / (fixed.sum() + new.sum())
    union = (truth | (new & background)).sum()
    return [float(probability), float(dice), float((new & truth).sum() / union) if union else math.nan]


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
    return float(np.trapezoid(values, dx=1 / (len(values) - 1)))


def sums(cells: Array, sets: Pixels) -> list[float]:
    return [float(upsample(cells, *sets.shape[1:])[pixels].sum()) for pixels in sets]


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
    norm = np.linalg.norm(clean)
    return float(max(np.linalg.norm(other - clean) for other in changed) / norm) if norm > 0 else math.nan
