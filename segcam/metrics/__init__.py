"""Metrics of a map: one file a family; `METRICS` finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from segcam.reference import Reference
from segcam.registry import Registry

MapMetric = Callable[[Float[Tensor, "b m h w"], Reference], Float[Tensor, "b m"]]
"""Maps on one layer's grid and what they are measured against in; a number a map out, NaN where undefined."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric plugin and what tables and figures say of it.

    Attributes:
        name: the column's name.
        label: the name in figures.
        compute: `(maps, reference) -> values`; maps are `m` non-negative maps for each of `b` images.
        summary: the definition in one line.
        direction: 'higher' or 'lower' where more or less of it means more evidence on the object; 'none' where it
            describes without judging.
        lower: smallest possible value; None where there is none.
        upper: largest possible value; None where there is none.
        chance: the value of a map that knows nothing: a number, 'area' for the mask's area share, or None.
        unit: unit of the values; '' for pure numbers.
        source: paper and equation, or 'segcam' for our own.
        every_pixel: whether the maps are upsampled to be measured, which takes memory for every pixel of the image.
    """

    name: str
    label: str
    compute: MapMetric
    summary: str
    direction: Literal["higher", "lower", "none"]
    lower: float | None
    upper: float | None
    chance: float | Literal["area"] | None
    unit: str = ""
    source: str = "segcam"
    every_pixel: bool = False


METRICS: Registry[Metric] = Registry("metric", "segcam.metrics")
