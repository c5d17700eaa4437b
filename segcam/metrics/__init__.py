"""Metrics of a map: one file a family; `METRICS` finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.arrays import Numbers
from segcam.errors import InputError, shown
from segcam.precision import in_full_precision
from segcam.registry import Registry, words
from segcam.scoring.normalise import BLOCK, checked
from segcam.scoring.reference import Reference, by_part, pieces

MapMetric = Callable[[Float[Tensor, "b m h w"], Reference], Float[Tensor, "b m"]]
"""Non-negative maps on a layer's grid and what they are measured against in; a number a map out, NaN if undefined."""

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric plugin and what tables and figures say of it; the decorator `metric` makes one of a function.

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
        masks: whether the mask plays a part.
    """

    name: str
    label: str
    compute: MapMetric
    summary: str
    direction: Direction
    lower: float | None
    upper: float | None
    chance: float | Literal["area"] | None
    unit: str = ""
    source: str = "segcam"
    every_pixel: bool = False
    masks: bool = True


METRICS: Registry[Metric] = Registry("metric", "segcam.metrics")


def metric(
    *,
    label: str,
    direction: Direction,
    lower: float | None,
    upper: float | None,
    chance: float | Literal["area"] | None,
    unit: str = "",
    every_pixel: bool = False,
    masks: bool = True,
) -> Callable[[MapMetric], MapMetric]:
    """Register a function as the metric of its name; its docstring has the summary (first line) and the source.

    The function gets maps as `segcam.scoring.normalise.checked` returns them, whoever calls it, and of padded canvases
    the picture alone, see `Reference.parts`. The arguments are those of `Metric`.
    """

    def register(function: MapMetric) -> MapMetric:
        summary, source = words(function)

        @in_full_precision
        @wraps(function)
        def compute(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
            return by_part(checked(maps, reference), reference, function)

        METRICS.add(
            Metric(
                *(function.__name__, label, compute, summary, direction, lower, upper, chance, unit, source),
                *(every_pixel, masks),
            )
        )
        return compute

    return register


@in_full_precision
def measure(maps: Numbers, reference: Reference, metrics: Sequence[str | Metric]) -> dict[str, Float[Tensor, "b m"]]:
    """Return every metric's values of the maps, by the metrics' names; steps that they share are computed once.

    Args:
        maps: non-negative maps on the reference's grid, `m` for each image: a tensor or an array of any real kind.
        reference: what they are measured against.
        metrics: the metrics wanted, or their names.

    Returns:
        A number a map and metric; NaN where a metric is undefined.

    Raises:
        InputError: a metric is unknown, or the maps are not as they must be; see `segcam.scoring.normalise.checked`.
    """
    maps = checked(maps, reference)
    if reference.parts is not None:
        return _measured_in_parts(maps, reference, metrics)
    chosen = [_metric(choice) for choice in ([metrics] if isinstance(metrics, (str, Metric)) else metrics)]
    rows, columns = reference.size
    scores: dict[str, Tensor] = {}
    for group, numbers in (
        ([metric for metric in chosen if not metric.every_pixel], maps.numel()),
        ([metric for metric in chosen if metric.every_pixel], maps.shape[0] * maps.shape[1] * rows * columns),
    ):
        blocks = []
        for block in maps.chunk(1 + numbers // BLOCK, 1) if maps.is_cpu else (maps,):
            shared = reference.sharing(block)
            blocks.append([metric.compute(block, shared) for metric in group])
        scores |= {
            metric.name: torch.cat(values, 1) for metric, values in zip(group, zip(*blocks, strict=True), strict=True)
        }
    return {metric.name: scores[metric.name] for metric in chosen}


def _measured_in_parts(
    maps: Float[Tensor, "b m h w"], reference: Reference, metrics: Sequence[str | Metric]
) -> dict[str, Float[Tensor, "b m"]]:
    scores: dict[str, Tensor] = {}
    for images, cut, part, _ in pieces(maps, reference):
        for name, values in measure(cut, part, metrics).items():
            scores.setdefault(name, values.new_full(maps.shape[:2], torch.nan))[images] = values
    return scores


def _metric(choice: object) -> Metric:
    if isinstance(choice, Metric):
        return choice
    if not isinstance(choice, str):
        raise InputError(f"{shown(choice)} is no metric: give its name, one of {', '.join(METRICS.names())}")
    return METRICS.get(choice)
