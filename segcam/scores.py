"""Several metrics of the same maps, and the scaling that all of them begin with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.metrics import Metric
from segcam.reference import Reference

BLOCK = 2**20
"""How many numbers to measure at once on a processor: with temporaries of more, its memory sets the pace."""


def unit(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m h w"]:
    """Divide each map by its maximum and give it the reference's dtype, so that no scale can over- or underflow.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        Maps with maximum 1; a blank map is NaN throughout, a map that holds NaN or infinity holds NaN. They may be
        shared with other metrics: do not write into them.

    Raises:
        InputError: the maps are not on the reference's grid, or not of its images.
    """
    check(maps, reference)

    def make() -> Float[Tensor, "b m h w"]:
        # Division first: a float64 map of 1e-300 would be blank in float32.
        wide = maps.to(torch.promote_types(maps.dtype, reference.dtype))
        return (wide / wide.amax((2, 3), keepdim=True)).to(reference.dtype)

    return reference.shared("unit", maps, make)


def check(maps: Float[Tensor, "b m h w"], reference: Reference) -> None:
    """Raise InputError where the maps are not on the reference's grid, or not of its images."""
    if maps.ndim != 4:
        raise InputError(
            f"maps are {tuple(maps.shape)}: (images, maps, h, w) is needed; for one map an image maps[:, None]"
        )
    b, _, h, w = maps.shape
    if (h, w) != reference.grid or b != len(reference.ids):
        rows, columns = reference.grid
        raise InputError(
            f"maps of {b} images on a {h} x {w} grid, but the reference has {len(reference.ids)} images on "
            f"{rows} x {columns}; ask the scenery for the maps' own grid: scenery.on(({h}, {w}))"
        )


def measure(
    maps: Float[Tensor, "b m h w"], reference: Reference, metrics: Sequence[Metric]
) -> dict[str, Float[Tensor, "b m"]]:
    """Return every metric's values of the maps, by the metrics' names; steps that they share are computed once.

    Args:
        maps: non-negative maps on the reference's grid, `m` for each image.
        reference: what they are measured against.
        metrics: the metrics wanted.

    Returns:
        A number a map and metric; NaN where a metric is undefined.
    """
    check(maps, reference)
    wrong = [metric for metric in metrics if not isinstance(metric, Metric)]
    if wrong:
        raise InputError(f"{wrong[0]!r} is not a Metric: get it by its name with METRICS.get(name)")
    parts = []
    for block in maps.chunk(1 + maps.numel() // BLOCK, 1) if maps.is_cpu else (maps,):
        shared = reference.sharing(block)
        parts.append([metric.compute(block, shared) for metric in metrics])
    return {metric.name: torch.cat(values, 1) for metric, values in zip(metrics, zip(*parts, strict=True), strict=True)}
