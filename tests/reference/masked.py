"""RISE, Sobol, HSIC, segments, DEA and Recipro-CAM again, slowly: numpy in float64, one image and mask at a time.

The network is a function here, `score(image)`; what is drawn is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from statistics import median

import numpy as np
import numpy.typing as npt

from tests.reference.metrics import area_average, upsample

Array = npt.NDArray[np.float64]
Score = Callable[[Array], float]


def rise(image: Array, score: Score, grids: Array, cuts: Array, visible: float) -> Array:
    """Petsiuk et al., section 3: each mask upsampled whole, then cut; scores less their mean."""
    rows, columns = image.shape[1:]
    cells = grids.shape[1]
    down, across = math.ceil(rows / cells), math.ceil(columns / cells)
    masks = []
    for grid, (y, x) in zip(grids, cuts, strict=True):
        large = upsample(grid.astype(float), (cells + 1) * down, (cells + 1) * across)
        top, left = int(y * down), int(x * across)
        masks.append(large[top : top + rows, left : left + columns])
    scores = [score(image * mask) for mask in masks]
    mean = sum(scores) / len(scores)
    total = np.zeros((rows, columns))
    for value, mask in zip(scores, masks, strict=True):
        total += (value - mean) * mask
    return total / (visible * len(masks))


def dimmed(image: Array, shares: Array) -> Array:
    """Every pixel times the share of the cell that its centre lies in."""
    rows, columns = image.shape[1:]
    side = math.isqrt(len(shares))
    left = np.zeros_like(image)
    for y in range(rows):
        for x in range(columns):
            cell = int((y + 0.5) * side / rows) * side + int((x + 0.5) * side / columns)
            left[:, y, x] = image[:, y, x] * shares[cell]
    return left


def on_pixels(values: Array, image: Array) -> Array:
    side = math.isqrt(len(values))
    return upsample(values.reshape(side, side), *image.shape[1:])


def sobol(image: Array, score: Score, first: Array, mixed: Array) -> Array:
    """Jansen's estimator: `first` are designs `(n, d)`, `mixed` with one cell's shares from others `(d, n, d)`."""
    base = [score(dimmed(image, shares)) for shares in first]
    mean = sum(base) / len(base)
    variance = sum((value - mean) ** 2 for value in base) / (len(base) - 1)
    indices = []
    for designs in mixed:
        differences = [value - score(dimmed(image, shares)) for value, shares in zip(base, designs, strict=True)]
        indices.append(sum(d**2 for d in differences) / (2 * len(base) * variance))
    return on_pixels(np.array(indices), image)


def hsic(image: Array, score: Score, seen: Array) -> Array:
    """Gretton et al., the empirical HSIC, with whole matrices."""
    count = len(seen)
    scores = [score(dimmed(image, shares)) for shares in seen]
    width = median(abs(a - b) for a, b in combinations(scores, 2))
    alike = np.array([[math.exp(-((a - b) ** 2) / (2 * width**2)) for a in scores] for b in scores])
    centring = np.eye(count) - 1 / count
    numbers = []
    for cell in range(seen.shape[1]):
        kernel = (seen[:, None, cell] == seen[None, :, cell]).astype(float)
        numbers.append(np.trace(kernel @ centring @ alike @ centring) / (count - 1) ** 2)
    return on_pixels(np.array(numbers), image)


def segment_ablation(image: Array, score: Score, regions: npt.NDArray[np.int64]) -> Array:
    found = np.zeros(image.shape[1:])
    whole = score(image)
    for region in np.unique(regions):
        inside = regions == region
        found[inside] = whole - score(image * ~inside)
    return found


def dea(image: Array, score: Score, activations: Array, gradients: Array, cells: int) -> Array:
    """`c (1 + g) / 2` for an image `(ch, H, W)` and a layer's `(k, h, w)` that is stretched over it."""
    _, rows, columns = image.shape
    mean = [channel.sum() / (rows * columns) for channel in image]
    falls = np.zeros((cells, cells))
    for row in range(cells):
        for column in range(cells):
            hidden = image.copy()
            for y in range(rows):
                for x in range(columns):
                    if int((y + 0.5) * cells / rows) == row and int((x + 0.5) * cells / columns) == column:
                        hidden[:, y, x] = mean
            falls[row, column] = max(0.0, score(image) - score(hidden))
    count, down, across = activations.shape
    if falls.max() > 0:
        falls /= falls.max()
    support = area_average(upsample(falls, rows, columns), down, across)
    evidence = np.zeros((down, across))
    for i in range(down):
        for j in range(across):
            for k in range(count):
                evidence[i, j] += max(0.0, gradients[k, i, j] * activations[k, i, j])
    most = evidence.max() or 1.0
    return np.array([[support[i, j] * (1 + evidence[i, j] / most) / 2 for j in range(across)] for i in range(down)])


def recipro_cam(output: Array, score: Callable[[Array], float], most: int) -> Array:
    """`output` is the layer's `(c, h, w)`, `score` that of the network from there on."""
    _, rows, columns = output.shape
    side = 1
    while math.ceil(rows / side) * math.ceil(columns / side) > most:
        side += 1
    found = np.zeros((rows, columns))
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            window = np.zeros((rows, columns))
            window[top : top + side, left : left + side] = 1
            found[window == 1] = score(output * window)
    return found - found.min()
