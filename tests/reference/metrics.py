"""Slow twins of what maps are measured against and of the metrics: numpy, float64, one map at a time, no tricks.

Written from the definitions, not from the fast code, and upsampling for real.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """One image: luminance, foreground and background; what is neither is the border."""

    luminance: Array
    foreground: Mask
    background: Mask


def upsample(small: Array, rows: int, columns: int) -> Array:
    """Bilinear interpolation, pixel i's centre at `(i + 1/2) * n_in / n_out - 1/2` of the grid's cells, edges held."""
    h, w = small.shape
    big = np.zeros((rows, columns))
    for i in range(rows):
        y = min(max((i + 0.5) * h / rows - 0.5, 0.0), h - 1.0)
        top, down = math.floor(y), y - math.floor(y)
        bottom = min(top + 1, h - 1)
        for j in range(columns):
            x = min(max((j + 0.5) * w / columns - 0.5, 0.0), w - 1.0)
            left, across = math.floor(x), x - math.floor(x)
            right = min(left + 1, w - 1)
            upper = (1 - across) * small[top, left] + across * small[top, right]
            lower = (1 - across) * small[bottom, left] + across * small[bottom, right]
            big[i, j] = (1 - down) * upper + down * lower
    return big


def area_average(big: Array, h: int, w: int) -> Array:
    """The integral of the image, constant a pixel, over each of h x w equal cells, divided by the cell's area."""
    rows, columns = big.shape
    small = np.zeros((h, w))
    for i in range(h):
        for j in range(w):
            total = 0.0
            for y in range(rows):
                tall = min(y + 1, (i + 1) * rows / h) - max(y, i * rows / h)
                for x in range(columns):
                    wide = min(x + 1, (j + 1) * columns / w) - max(x, j * columns / w)
                    if tall > 0 and wide > 0:
                        total += tall * wide * big[y, x]
            small[i, j] = total / (rows / h * columns / w)
    return small


def edge_strength(luminance: Array) -> Array:
    """Sobel magnitude, the kernels divided by 8, the outermost pixels repeated."""
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    rows, columns = luminance.shape
    strength = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            gx = gy = 0.0
            for a in (-1, 0, 1):
                for b in (-1, 0, 1):
                    value = luminance[min(max(i + a, 0), rows - 1), min(max(j + b, 0), columns - 1)]
                    gx += kernel[a + 1, b + 1] * value
                    gy += kernel[b + 1, a + 1] * value
            strength[i, j] = math.sqrt(gx**2 + gy**2)
    return strength


def is_blank(small: Array) -> bool:
    return bool((small == 0).all())


def sums(small: Array, scene: Scene) -> tuple[float, float]:
    """Sums of the upsampled map over foreground and background; NaN where either is empty."""
    if not scene.foreground.any() or not scene.background.any():
        return math.nan, math.nan
    big = upsample(small, *scene.luminance.shape)
    return float(big[scene.foreground].sum()), float(big[scene.background].sum())


def energy_inside(small: Array, scene: Scene) -> float:
    inside, outside = sums(small, scene)
    return math.nan if inside + outside == 0 else inside / (inside + outside)


def energy_gain(small: Array, scene: Scene) -> float:
    share = scene.foreground.sum() / max(1, scene.foreground.sum() + scene.background.sum())
    return math.nan if share == 1 else (energy_inside(small, scene) - share) / (1 - share)


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


def edge_alignment(small: Array, scene: Scene) -> float:
    return pearson(small, area_average(edge_strength(scene.luminance), *small.shape))


def edge_alignment_full(small: Array, scene: Scene) -> float:
    return pearson(upsample(small, *scene.luminance.shape), edge_strength(scene.luminance))


def edge_thickness(small: Array, scene: Scene) -> float:
    """Pixel by pixel: is it inside, and on how many of its four sides is there none that is."""
    big = upsample(small, *scene.luminance.shape)
    if is_blank(big):
        return math.nan
    inside = np.pad(big >= 0.5 * (1 - 1e-4) * big.max(), 1)
    area = perimeter = 0
    for i, j in np.argwhere(inside):
        area += 1
        for a, b in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            perimeter += not inside[i + a, j + b]
    return 2 * area / perimeter


def spread(small: Array, scene: Scene) -> float:
    if is_blank(small) or small.size == 1:
        return math.nan
    entropy = 0.0
    for value in small.ravel() / small.sum():
        if value > 0:
            entropy -= value * math.log(value)
    return entropy / math.log(small.size)


def blank(small: Array, scene: Scene) -> float:
    return float(is_blank(small))


def gini(small: Array, scene: Scene) -> float:
    """Half the mean difference of all pairs of cells over the mean."""
    if is_blank(small):
        return math.nan
    values = small.ravel()
    return float(np.abs(values[:, None] - values[None]).mean() / (2 * values.mean()))


def boundary_energy(small: Array, scene: Scene) -> float:
    """Pixel by pixel: is there a pixel of the other side within d rows and d columns."""
    rows, columns = scene.luminance.shape
    d = max(1, round(0.02 * math.sqrt(rows**2 + columns**2)))
    big, inside, band = upsample(small, rows, columns), scene.foreground, np.zeros((rows, columns), bool)
    for i in range(rows):
        for j in range(columns):
            window = inside[max(0, i - d) : i + d + 1, max(0, j - d) : j + d + 1]
            band[i, j] = window.any() and not window.all()
    if not band.any() or is_blank(small):
        return math.nan
    return float(big[band].sum() / big.sum() / band.mean())


def steps(small: Array, scene: Scene) -> Array:
    """The upsampled map, its values rounded to 2^-18 of its maximum; NaN where it is zero or a side is empty."""
    big = upsample(small, *scene.luminance.shape)
    if not big.any() or not scene.foreground.any() or not scene.background.any():
        return np.full(big.shape, math.nan)
    return np.round((1 - big / big.max()) * -(2.0**18))


def pointing_game(small: Array, scene: Scene) -> float:
    inside, beside = (area_average(side.astype(float), *small.shape) for side in (scene.foreground, scene.background))
    known = inside + beside > 0
    if not scene.foreground.any() or not scene.background.any() or not (small[known] > 0).any():
        return math.nan
    tied = known & (small >= small[known].max() * (1 - 1e-5))
    return float(inside[tied].sum() / (inside[tied].sum() + beside[tied].sum()))


def average_precision(small: Array, scene: Scene) -> float:
    """Threshold by threshold."""
    big = steps(small, scene)
    if np.isnan(big).any():
        return math.nan
    total, recall, area = scene.foreground.sum(), 0.0, 0.0
    for threshold in sorted(set(big[scene.foreground | scene.background].tolist()), reverse=True):
        true, false = (big[scene.foreground] >= threshold).sum(), (big[scene.background] >= threshold).sum()
        area += (true / total - recall) * true / (true + false)
        recall = true / total
    return float(area)


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


TWINS: dict[str, Callable[[Array, Scene], float]] = {
    f.__name__: f
    for f in (
        *(energy_inside, energy_gain, background_ratio, edge_alignment, edge_alignment_full),
        *(edge_thickness, spread, gini, blank, boundary_energy, pointing_game, average_precision, iou),
    )
}
