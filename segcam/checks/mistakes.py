"""Where a network is wrong: hits, false alarms and misses explained apart, and whether their maps look elsewhere.

Maps of one image share its activations, so that any two are alike. How much is shown by rightly rejected pixels beside
the class: they lie where errors do, and nothing is wrong with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.classes import Classes
from segcam.errors import InputError
from segcam.maps import layer_maps
from segcam.methods import METHODS, Method
from segcam.metrics import Metric, measure
from segcam.precision import in_full_precision
from segcam.probe.probe import Capture, Probe
from segcam.probe.targets import Target
from segcam.samples import Batch
from segcam.scoring.agreement import agreement
from segcam.scoring.reference import Reference, Scenery, by_part

HIT = "hit"
REJECTION = "rejection"
PICTURED = (HIT, "false_positive", "false_negative")
"""Pixels predicted and right, predicted and wrong, and not predicted though of the class: what pictures show."""
KINDS = (*PICTURED, REJECTION)
"""The pixel sets: these, and those rightly not predicted beside the class."""
LIKE = {"like_hits": HIT, "like_rejections": REJECTION}
"""What a map's correlation with that of another set of the same image is called, and which set that is."""
LEAST = 16
"""Pixels of a set, below which it is not looked at."""
OWN = "energy_gain"
"""What is measured of a map against the pixels that it explains."""


def targets(class_id: Classes | tuple[Classes, ...] = 1, score: str = "logit") -> list[Target]:
    """Return the target of each of `KINDS`.

    Raises:
        InputError: there is no such score.
    """
    return [Target(class_id, kind, score) for kind in KINDS]


def around(scenery: Scenery, capture: Capture) -> Scenery:
    """Return the scenery with the explained pixels as the foreground, and all others of either side as the background.

    Args:
        scenery: the batch's.
        capture: of pixels chosen at the input's resolution.

    Raises:
        InputError: they were chosen at another one.
    """
    chosen = capture.explained.chosen
    if tuple(chosen.shape[1:]) != scenery.size:
        raise InputError(
            f"pixels of target '{capture.target.name}' were chosen on {tuple(chosen.shape[1:])}, and images are "
            f"{scenery.size}: explain at='input'"
        )
    inside = chosen.to(scenery.luminance.device) & scenery.sides
    return replace(scenery, foreground=inside, background=scenery.sides & ~inside)


@in_full_precision
def likeness(
    maps: Float[Tensor, "b m h w"], others: Float[Tensor, "b m h w"], reference: Reference
) -> Float[Tensor, "b m"]:
    """Return the correlation of the cells of two maps, pair by pair, where there is a picture: 1 for the same place.

    See `segcam.scoring.agreement.agreement`; of padded canvases the picture's cells alone are compared.

    Args:
        maps: not negative.
        others: of the same images, layer and methods.
        reference: of their grid.

    Returns:
        -1..1; NaN where a map is blank, undefined or constant.
    """
    count = maps.shape[1]

    def compare(both: Float[Tensor, "b m h w"], _: Reference) -> Float[Tensor, "b m"]:
        return agreement(both[:, :count], both[:, count:]).correlation.repeat(1, 2)

    return by_part(torch.cat([maps, others], 1), reference, compare)[:, :count]


def mistakes(
    probe: Probe,
    batch: Batch,
    class_id: Classes | tuple[Classes, ...] = 1,
    method: str | Method = "grad_cam",
    metrics: Sequence[str | Metric] = (OWN, "background_ratio", "edge_alignment"),
    *,
    score: str = "logit",
    least: int = LEAST,
) -> list[dict[str, Any]]:
    """Explain the hits, false alarms, misses and rejections of images apart, and measure the maps of each.

    >>> from torch import nn
    >>> from segcam.datasets import DATASETS, DatasetOptions
    >>> scenes = DATASETS.get("scenes").open(DatasetOptions(size=32, counts=(1, 1, 4))).splits["test"]
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> rows = mistakes(Probe(net, "0"), Batch.of([scenes[i] for i in range(4)]))
    >>> list(rows[0])[:5], min(row["pixels"] for row in rows) >= LEAST
    (['image', 'kind', 'layer', 'pixels', 'energy_gain'], True)

    Args:
        probe: the network and its layers.
        batch: images with masks.
        class_id: the class.
        method: a gradient method.
        metrics: what is measured of each map against the class's mask; NaN in images that do not show it.
        score: what of the pixels is explained.
        least: pixels that a set must have; there is no row for smaller ones.

    Returns:
        A row a set, image and layer, fit for a data frame: `image`, `kind`, `layer`, `pixels`, the metrics, `own_gain`,
        the energy gain on the explained pixels themselves, and `like_hits` and `like_rejections`, the correlations with
        the maps of the same image's hits and of its rejections. What `like_hits` is of the rejections is its level by
        chance: errors are explained as hits are where theirs is above it.

    Raises:
        InputError: the method is no gradient method, or `least` is below 1.
        ProbeError: see `Probe.many`.
    """
    recipe = METHODS.get(method) if isinstance(method, str) else method
    if recipe.gradient is None:
        raise InputError(f"{recipe.name} is no gradient method: name one, such as grad_cam")
    if least < 1:
        raise InputError(f"least is {least}: a set needs 1 pixel at least")
    captures = probe.many(batch.inputs(), targets(class_id, score), masks=batch.masks, valid=batch.valid)
    scenery = Scenery.of(batch, class_id)
    regions = [around(scenery, capture) for capture in captures]
    rows: list[dict[str, Any]] = []
    for layer in captures[0].layers:
        of_kinds = [layer_maps(capture, layer, [recipe])[1].relu() for capture in captures]
        view = ((int(of_kinds[0].shape[-2]), int(of_kinds[0].shape[-1])), captures[0].placements[layer.label])
        for kind, capture, region, maps in zip(KINDS, captures, regions, of_kinds, strict=True):
            values = measure(maps, scenery.on(*view), metrics)
            values["own_gain"] = measure(maps, region.on(*view), [OWN])[OWN]
            for name, other in LIKE.items():
                at = KINDS.index(other)
                few = enough(captures[at], least).logical_not()[:, None]
                values[name] = likeness(maps, of_kinds[at], scenery.on(*view)).masked_fill(few, torch.nan)
            for i in enough(capture, least).nonzero().flatten().tolist():
                row = {"image": batch.ids[i], "kind": kind, "layer": layer.label}
                row |= {"pixels": int(capture.target_pixels[i])}
                rows.append(row | {name: float(numbers[i, 0]) for name, numbers in values.items()})
    return rows


def enough(capture: Capture, least: int) -> Bool[Tensor, " b"]:
    """Return in which images a set has so many pixels."""
    return capture.target_pixels >= least
