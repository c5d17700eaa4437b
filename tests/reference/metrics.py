"""Slow twins of what maps are measured against and of the metrics: numpy, float64, one map at a time.

Written from the definitions, not from the fast code, and upsampling for real. `@answers` says of each what a perfect,
an inverted and a random map score: numbers that follow from the definition alone.

Those maps have the image's resolution, so that nothing is upsampled; the object is a rectangle, without a border, whose
area, outline and perimeter are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import entropy
from skimage.filters import sobel
from sklearn.metrics import average_precision_score  # type: ignore[import-untyped]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """One image: luminance, foreground and background; what is neither is the border."""

    luminance: Array
    foreground: Mask
    background: Mask


ROWS, COLUMNS = 40, 48
TALL, WIDE = 12, 16
N, INSIDE = ROWS * COLUMNS, TALL * WIDE
AREA = INSIDE / N
TURNED = (TALL + WIDE, ROWS + COLUMNS)
"""Half the perimeters of the object and of the image."""
REACH = 1
"""Of the band along the outline: 2 % of the diagonal of 62 pixels."""


def _known() -> Scene:
    luminance = np.random.default_rng(7).random((ROWS, COLUMNS))
    foreground = np.zeros((ROWS, COLUMNS), bool)
    foreground[10 : 10 + TALL, 8 : 8 + WIDE] = True
    luminance[foreground] += 0.5
    return Scene(luminance, foreground, ~foreground)


KNOWN = _known()
OBJECT = KNOWN.foreground
BAND = (ndimage.maximum_filter(OBJECT, 2 * REACH + 1) & ndimage.maximum_filter(~OBJECT, 2 * REACH + 1)).astype(float)
EDGES = sobel(KNOWN.luminance, mode="nearest")  # type: ignore[no-untyped-call]
ALIGNED = float(np.corrcoef(OBJECT.ravel(), EDGES.ravel())[0, 1])

Twin = Callable[[Array, Scene], float]


@dataclass(frozen=True)
class Answers:
    """What a metric gives of the known scene.

    Attributes:
        perfect: of the mask itself.
        inverted: of all that is not the mask.
        random: of independent uniform numbers, on average.
        close: how near the mean of random maps must come.
    """

    perfect: float
    inverted: float
    random: float
    close: float = 0.01


TWINS: dict[str, Twin] = {}
ANSWERS: dict[str, Answers] = {}


def answers(perfect: float, inverted: float, random: float, close: float = 0.01) -> Callable[[Twin], Twin]:
    """Register the slow twin of the metric of its name, with what it scores; see `Answers`."""

    def register(function: Twin) -> Twin:
        TWINS[function.__name__] = function
        ANSWERS[function.__name__] = Answers(perfect, inverted, random, close)
        return function

    return register


def upsample(small: Array, rows: int, columns: int) -> Array:
    """Bilinear interpolation, pixel i's centre at `(i + 1/2) * n_in / n_out - 1/2` of the grid's cells, edges held."""

    def stretched(values: Array, n: int) -> Array:
        places = (np.arange(n) + 0.5) * len(values) / n - 0.5
        return np.stack([np.interp(places, np.arange(len(values)), column) for column in values.T], 1)

    return stretched(stretched(small, rows).T, columns).T


def area_average(big: Array, h: int, w: int) -> Array:
    """The integral of the image, constant a pixel, over each of h x w equal cells, divided by the cell's area."""

    def shared(pixels: int, cells: int) -> Any:
        """How much of each pixel lies in each cell."""
        starts, length = np.arange(cells)[:, None] * pixels / cells, pixels / cells
        first = np.arange(pixels)
        return np.clip(np.minimum(first + 1, starts + length) - np.maximum(first, starts), 0, None)

    rows, columns = big.shape
    averages: Array = shared(rows, h) @ big @ shared(columns, w).T / (rows / h * columns / w)
    return averages


def edge_strength(luminance: Array) -> Array:
    """Sobel magnitude, the kernels divided by 8, the outermost pixels repeated."""
    down, across = (ndimage.sobel(luminance, axis, mode="nearest") / 8 for axis in (0, 1))
    strength: Array = np.hypot(down, across)
    return strength


def is_blank(small: Array) -> bool:
    return bool((small == 0).all())


def sums(small: Array, scene: Scene) -> tuple[float, float]:
    """Sums of the upsampled map over foreground and background; NaN where either is empty."""
    if not scene.foreground.any() or not scene.background.any():
        return math.nan, math.nan
    big = upsample(small, *scene.luminance.shape)
    return float(big[scene.foreground].sum()), float(big[scene.background].sum())


@answers(1, 0, AREA)
def energy_inside(small: Array, scene: Scene) -> float:
    inside, outside = sums(small, scene)
    return math.nan if inside + outside == 0 else inside / (inside + outside)


@answers(1, -AREA / (1 - AREA), 0)
def energy_gain(small: Array, scene: Scene) -> float:
    share = scene.foreground.sum() / max(1, scene.foreground.sum() + scene.background.sum())
    return math.nan if share == 1 else (energy_inside(small, scene) - share) / (1 - share)


@answers(0, 1, 0.5)
def background_ratio(small: Array, scene: Scene) -> float:
    inside, outside = sums(small, scene)
    if math.isnan(inside) or inside + outside == 0:
        return math.nan
    on_object, beside = inside / scene.foreground.sum(), outside / scene.background.sum()
    return float(beside / (beside + on_object))


def pearson(a: Array, b: Array) -> float:
    # np.ptp of rounding noise is not zero: area averages of one constant differ in the last digits.
    if np.ptp(a) <= 1e-14 * np.abs(a).max() or np.ptp(b) <= 1e-14 * np.abs(b).max():
        return math.nan
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@answers(ALIGNED, -ALIGNED, 0)
def edge_alignment(small: Array, scene: Scene) -> float:
    return pearson(small, area_average(edge_strength(scene.luminance), *small.shape))


@answers(ALIGNED, -ALIGNED, 0)
def edge_alignment_full(small: Array, scene: Scene) -> float:
    return pearson(upsample(small, *scene.luminance.shape), edge_strength(scene.luminance))


@answers(math.nan, math.nan, 0)  # a map of the object alone tells nothing beyond it
def partial_edge_alignment(small: Array, scene: Scene) -> float:
    h, w = small.shape
    if not scene.foreground.any() or not scene.background.any() or small.size <= 4:
        return math.nan
    y, x = (((np.arange(side) + 0.5) / side - 0.5) / 0.25 for side in scene.luminance.shape)
    middle = area_average(np.exp(-(y[:, None] ** 2 + x[None] ** 2) / 2), h, w)
    known = np.stack([np.ones(h * w), area_average(scene.foreground.astype(float), h, w).ravel(), middle.ravel()], 1)
    left = []
    for field in (small, area_average(edge_strength(scene.luminance), h, w)):
        rest = field.ravel() - known @ np.linalg.lstsq(known, field.ravel(), rcond=None)[0]
        if np.abs(rest).max() <= 1e-12 * np.abs(field).max():
            return math.nan
        left.append(rest)
    return float(np.dot(*left) / np.linalg.norm(left[0]) / np.linalg.norm(left[1]))


STRONGEST = float(np.isin(np.flatnonzero(OBJECT), np.argsort(EDGES.ravel())[-(N // 10) :]).mean())
"""Share of the object that is among the tenth of all pixels with the strongest edges; the object is a tenth, too."""


@answers(STRONGEST, (1 - STRONGEST) * INSIDE / (N - INSIDE), 0.1)
def edge_recall(small: Array, scene: Scene) -> float:
    """How likely each cell is to be drawn, times how likely it is to be an edge, where ties are broken by lot."""
    edges = area_average(edge_strength(scene.luminance), *small.shape)
    if math.isnan(pearson(small, edges)):
        return math.nan
    count = max(1, round(0.1 * small.size))

    def chosen(values: Array) -> Array:
        left = count
        likely = np.zeros(values.size)
        todo = values.ravel().copy()
        while left > 0:
            tied = np.flatnonzero(todo >= todo.max() - 1e-13 * np.abs(values).max())  # equal up to rounding
            likely[tied] = min(1.0, left / len(tied))
            left -= len(tied)
            todo[tied] = -np.inf
        return likely

    return float((chosen(small) * chosen(edges)).sum() / count)


def slow_share(small: Array, size: tuple[int, int]) -> float:
    """The share of the power, the mean left out, in waves of at least 16 pixels; of the map and its mirror images."""
    rows, columns = small.shape
    mirrored = np.block([[small, small[:, ::-1]], [small[::-1], small[::-1, ::-1]]])
    power = np.abs(np.fft.fft2(mirrored)) ** 2
    power[0, 0] = 0
    y, x = np.fft.fftfreq(2 * rows, size[0] / rows), np.fft.fftfreq(2 * columns, size[1] / columns)
    return float(power[np.hypot(y[:, None], x) <= 1 / 16 + 1e-12].sum() / power.sum())


# of noise, every wave but the mean holds as much
SLOW = np.hypot(np.arange(ROWS)[:, None] / ROWS, np.arange(COLUMNS) / COLUMNS) <= 1 / 8 + 1e-12
COARSE = slow_share(OBJECT.astype(float), (ROWS, COLUMNS))


@answers(1 - COARSE, 1 - COARSE, 1 - (SLOW.sum() - 1) / (N - 1))
def fine_power(small: Array, scene: Scene) -> float:
    steps = [pixels / cells for pixels, cells in zip(scene.luminance.shape, small.shape, strict=True)]
    if max(steps) > 8 - 1e-9 or is_blank(small) or np.ptp(small) <= 1e-14 * np.abs(small).max():
        return math.nan
    return 1 - slow_share(small, scene.luminance.shape)


# of noise, half of all pixels are in, and half of all sides are between unlike
@answers(INSIDE / TURNED[0], (N - INSIDE) / sum(TURNED), N / (N - TURNED[1] / 2 + TURNED[1]), close=0.02)
def edge_thickness(small: Array, scene: Scene) -> float:
    """How many pixels are inside, and how many of their four sides face one that is not."""
    big = upsample(small, *scene.luminance.shape)
    if is_blank(big):
        return math.nan
    inside = np.pad(big >= 0.5 * (1 - 1e-4) * big.max(), 1)
    perimeter = sum((inside & ~np.roll(inside, step, axis)).sum() for step in (1, -1) for axis in (0, 1))
    return float(2 * inside.sum() / perimeter)


# an object that is no line, and a rest whose every profile ends at the frame; of noise, by trial: there is no formula
@answers(math.nan, math.nan, 1.28, close=0.02)
def line_width(small: Array, scene: Scene) -> float:
    """Every cell and direction in turn: is it a peak, how far does it stand out, and how far does it run on."""
    if is_blank(small):
        return math.nan
    values = small / small.max()
    steps = np.array([pixels / cells for pixels, cells in zip(scene.luminance.shape, small.shape, strict=True)])
    found: list[tuple[float, int]] = []
    for cell in np.ndindex(values.shape):
        for across, along in (((0, 1), (1, 0)), ((1, 0), (0, 1)), ((1, 1), (1, -1)), ((1, -1), (1, 1))):
            rays = [_ray(values, cell, across, sign) for sign in (-1, 1)]
            equal = [int(np.argmax(ray != ray[0])) if (ray != ray[0]).any() else -1 for ray in rays]
            if min(equal) < 0 or abs(equal[0] - equal[1]) > 1:
                continue  # its plateau goes on to the frame, or this is not its middle
            if any(ray[n] > ray[0] for ray, n in zip(rays, equal, strict=True)):
                continue
            lowest = [ray[: np.argmax(ray > ray[0]) if (ray > ray[0]).any() else None].min() for ray in rays]
            out = values[cell] - max(lowest)
            if out < 0.05:
                continue
            cut = values[cell] - out / 2
            wide = sum(_until(ray, cut) for ray in rays) * math.hypot(*(steps * across))
            arms = [_until(_ray(values, cell, along, sign), cut) * math.hypot(*(steps * along)) for sign in (-1, 1)]
            if min(arms) >= wide * (1 - 1e-5):
                halves = 1 if equal[0] == equal[1] else 2
                found.append((wide * sum(arms) / math.hypot(wide, sum(arms)), round(out / halves * 2**20)))
    for width, _ in sorted(found):
        if 2 * sum(weight for other, weight in found if other <= width) >= sum(weight for _, weight in found):
            return width
    return math.nan


def _ray(values: Array, cell: tuple[int, ...], direction: tuple[int, int], sign: int) -> Array:
    """The values from a cell to the frame."""
    ray = []
    y, x = cell
    while 0 <= y < values.shape[0] and 0 <= x < values.shape[1]:
        ray.append(values[y, x])
        y, x = y + sign * direction[0], x + sign * direction[1]
    return np.array(ray)


def _until(ray: Array, cut: float) -> float:
    """How many cells a ray stays above a cut, linear between them; to the last one's centre where it always does."""
    for n, value in enumerate(ray):
        if value <= cut:
            return float(n - (cut - value) / (ray[n - 1] - value)) if n else 0.0
    return float(len(ray) - 1)


@answers(math.log(INSIDE) / math.log(N), math.log(N - INSIDE) / math.log(N), 1 - (math.log(2) - 0.5) / math.log(N))
def spread(small: Array, scene: Scene) -> float:
    if is_blank(small) or small.size == 1:
        return math.nan
    return float(entropy(small.ravel()) / math.log(small.size))


@answers(0, 0, 0)
def blank(small: Array, scene: Scene) -> float:
    return float(is_blank(small))


@answers(1 - AREA, AREA, 1 / 3)
def gini(small: Array, scene: Scene) -> float:
    """Half the mean difference of all pairs of cells over the mean."""
    if is_blank(small):
        return math.nan
    values = small.ravel()
    return float(np.abs(values[:, None] - values[None]).mean() / (2 * values.mean()))


@answers(BAND[OBJECT].mean() / BAND.mean(), BAND[~OBJECT].mean() / BAND.mean(), 1, close=0.03)
def boundary_energy(small: Array, scene: Scene) -> float:
    """The band is where a pixel of either side lies within d rows and d columns."""
    rows, columns = scene.luminance.shape
    width = 2 * max(1, round(0.02 * math.hypot(rows, columns))) + 1
    big, inside = upsample(small, rows, columns), scene.foreground
    band = ndimage.maximum_filter(inside, width) & ndimage.maximum_filter(~inside, width)
    if not band.any() or is_blank(small):
        return math.nan
    return float(big[band].sum() / big.sum() / band.mean())


def steps(small: Array, scene: Scene) -> Array:
    """The upsampled map, its values rounded to 2^-18 of its maximum; NaN where it is zero or a side is empty."""
    big = upsample(small, *scene.luminance.shape)
    if not big.any() or not scene.foreground.any() or not scene.background.any():
        return np.full(big.shape, math.nan)
    rounded: Array = np.round((1 - big / big.max()) * -(2.0**18))
    return rounded


@answers(1, 0, AREA, close=0.06)
def pointing_game(small: Array, scene: Scene) -> float:
    inside, beside = (area_average(side.astype(float), *small.shape) for side in (scene.foreground, scene.background))
    known = inside + beside > 0
    if not scene.foreground.any() or not scene.background.any() or not (small[known] > 0).any():
        return math.nan
    tied = known & (small >= small[known].max() * (1 - 1e-5))
    return float(inside[tied].sum() / (inside[tied].sum() + beside[tied].sum()))


# the inverted map ranks the whole object last, as one
@answers(1, AREA, AREA, close=0.03)
def average_precision(small: Array, scene: Scene) -> float:
    big, labelled = steps(small, scene), scene.foreground | scene.background
    if np.isnan(big).any():
        return math.nan
    return float(average_precision_score(scene.foreground[labelled], big[labelled]))


# the threshold of noise is a half
@answers(1, 0, AREA / (1 + AREA))
def iou(small: Array, scene: Scene) -> float:
    """Every cut of the histogram in turn."""
    big = steps(small, scene)
    if np.isnan(big).any() or np.ptp(big) <= 8:
        return math.nan
    low, width = big.min(), np.ptp(big) / 256
    best, threshold = -1.0, math.nan
    for cut in range(255, 0, -1):  # from above, so that of equal ones the first from below stays
        upper, lower = big > low + cut * width - 1e-9, big < low + cut * width - 1e-9
        if not lower.any() or not upper.any():
            continue
        bins = np.minimum(np.floor((big - low) / width + 1e-12), 255)
        variance = lower.sum() * upper.sum() * (bins[lower].mean() - bins[upper].mean()) ** 2
        if variance >= best:
            best, threshold = variance, low + (cut - 0.5) * width
    above = (big > threshold) & (scene.foreground | scene.background)
    return float((above & scene.foreground).sum() / (above | scene.foreground).sum())


def overlap_curve(small: Array, scene: Scene, thresholds: list[float]) -> list[tuple[float, float]]:
    """IoU and Dice of all pixels of at least a share of the highest one; the border counts for neither area."""
    big, known = steps(small, scene), scene.foreground | scene.background
    if np.isnan(big).any():
        return [(math.nan, math.nan)] * len(thresholds)
    found = []
    for share in thresholds:
        above = (big >= -np.round((1 - share) * 2.0**18)) & known
        both = float((above & scene.foreground).sum())
        union, areas = (above | scene.foreground).sum(), above.sum() + scene.foreground.sum()
        found.append((both / float(union), 2 * both / float(areas)))
    return found
