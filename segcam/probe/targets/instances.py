"""Instances: one connected part of a class, as predicted or in truth. Pixels that touch at a corner are connected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy  # whose parts are imported when they are asked for
import torch
from jaxtyping import Bool
from torch import Tensor

from segcam.probe.targets.dense import DenseOutput, mostly, predicted, true_pixels, within
from segcam.scoring.grids import Placement

EIGHT = np.ones((3, 3), np.bool_)
"""The neighbours of a pixel: all eight around it."""

Labels = npt.NDArray[np.int32]
Choice = Callable[[Labels, int], int]
"""The parts of one image, numbered from 1 with 0 elsewhere, and how many there are in; the part chosen out, or 0."""


def instance(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the connected part of the prediction in which the target's `point` lies; none where it lies in none.

    The point is a pixel of the input. At the network's own resolution it stands for the cell in which it lies.
    """
    return _part(predicted(output), _at(_cell(output)))


def largest(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the connected part of the prediction that has most pixels; of equals, the first in rows."""
    return _part(predicted(output), _largest)


def smallest(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the connected part of the prediction that has fewest pixels; of equals, the first in rows."""
    return _part(predicted(output), _smallest)


def instance_truth(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the connected part of the true class in which the target's `point` lies; none where it lies in none.

    True parts are those of the masks; see `segcam.probe.targets.pixels.truth` for other resolutions.
    """
    assert output.point is not None  # the target sees to it
    return _true_part(output, _at(output.point))


def largest_truth(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the connected part of the true class that has most pixels of the mask; of equals, the first in rows."""
    return _true_part(output, _largest)


def smallest_truth(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the connected part of the true class that has fewest pixels of the mask; of equals, the first in rows."""
    return _true_part(output, _smallest)


def _true_part(output: DenseOutput, choose: Choice) -> Bool[Tensor, "b h w"]:
    pixels = true_pixels(output)
    if pixels.shape[1:] == output.grid:
        pixels = within(pixels, output)
    return within(mostly(_part(pixels, choose), output), output)


def _part(pixels: Bool[Tensor, "b h w"], choose: Choice) -> Bool[Tensor, "b h w"]:
    """Return one connected part of each image's pixels."""
    found = np.zeros(tuple(pixels.shape), np.bool_)
    for i, image in enumerate(pixels.cpu().numpy()):
        labels, count = scipy.ndimage.label(image, EIGHT)
        part = choose(labels, count)
        if part:
            found[i] = labels == part
    return torch.from_numpy(found).to(pixels.device)


def _at(point: tuple[int, int] | None) -> Choice:
    return lambda labels, _: 0 if point is None else int(labels[point])


def _largest(labels: Labels, count: int) -> int:
    return int(_sizes(labels).argmax()) + 1 if count else 0


def _smallest(labels: Labels, count: int) -> int:
    return int(_sizes(labels).argmin()) + 1 if count else 0


def _sizes(labels: Labels) -> npt.NDArray[np.int64]:
    return np.bincount(labels.ravel())[1:]


def _cell(output: DenseOutput) -> tuple[int, int] | None:
    """Return the cell of the logits in which the point lies; None where the network does not speak of it."""
    assert output.point is not None  # the target sees to it
    assert output.size is not None
    place, cells = output.placement or Placement.stretched(output.grid, output.size), []
    for n, (pixel, number) in enumerate(zip(output.point, output.grid, strict=True)):
        origin, step = place.axis(n)
        at = (pixel - origin) / step
        if not -0.5 - 1e-6 <= at <= number - 0.5 + 1e-6:
            return None
        cells.append(min(max(round(at), 0), number - 1))
    return cells[0], cells[1]
