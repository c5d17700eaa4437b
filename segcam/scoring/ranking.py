"""The pixels of upsampled maps in order of their values, with the sides they are on: what several metrics count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.scoring.normalise import ascending, full
from segcam.scoring.reference import Reference

STEPS = 2**18
"""How many values from 0 to the maximum are told apart: fewer than float32 can, so that what upsampling leaves of
equals stays equal."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """All pixels of each map, from the highest to the lowest.

    Attributes:
        falls: how far each lies below the map's maximum, in steps of `1 / STEPS` of it, ascending, `(b, m, n)`.
        foreground: how many pixels of the foreground are at this place or before it.
        background: the same for the background; pixels of the border count for neither.
        undefined: maps that are blank or hold NaN or infinity, `(b, m)`.
    """

    falls: Int[Tensor, "b m n"]
    foreground: Int[Tensor, "b m n"]
    background: Int[Tensor, "b m n"]
    undefined: Bool[Tensor, "b m"]

    def within(self, fall: Float[Tensor, "b m"]) -> tuple[Int[Tensor, "b m"], Int[Tensor, "b m"]]:
        """Count the pixels of foreground and background that lie at most `fall` steps below the maximum."""
        steps = fall.floor().to(self.falls.dtype)
        number = torch.searchsorted(self.falls, steps[..., None].contiguous(), right=True)
        last = (number - 1).clamp(min=0)
        one, other = (c.gather(2, last).masked_fill(number == 0, 0) for c in (self.foreground, self.background))
        return one[..., 0], other[..., 0]


def ranking(maps: Float[Tensor, "b m h w"], reference: Reference) -> Ranking:
    """Sort the pixels of the maps, upsampled bilinearly to the images; metrics of the same maps share it.

    A pixel's value and side are sorted as one number.

    Raises:
        InputError: the maps are not on the reference's grid, or not of its images.
    """

    def make() -> Ranking:
        pixels = full(maps, reference).flatten(2)
        top = pixels.amax(2, keepdim=True)
        falls = (pixels / top).neg_().add_(1).mul_(STEPS).round_().nan_to_num_(0).to(torch.int32)
        scenery = reference.scenery
        side = scenery.once("side", lambda: (scenery.foreground.int() * 2 + scenery.background.int()).flatten(1))
        ordered = ascending(falls.mul_(4).add_(side[:, None]))
        background = ordered.bitwise_and(1).cumsum(2, dtype=torch.int32)
        foreground = ordered.bitwise_right_shift(1).bitwise_and_(1).cumsum(2, dtype=torch.int32)
        return Ranking(ordered.bitwise_right_shift_(2), foreground, background, ~(top[..., 0] > 0))

    return reference.shared("ranking", maps, make)


def running_maximum(values: Int[Tensor, "b m n"]) -> Int[Tensor, "b m n"]:
    """Return the largest value so far at each place; on a processor with numpy, which is faster there."""
    if values.is_cpu:
        return torch.from_numpy(np.maximum.accumulate(values.numpy(), -1))
    return values.cummax(2).values
