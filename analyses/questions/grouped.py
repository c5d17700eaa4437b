"""The images of each checkpoint, grouped by where their maps lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyses.plots import overlay
from analyses.reading.arrays import nan_mean
from analyses.reading.choices import DECODER
from analyses.reading.manifest import Checkpoint
from analyses.reading.results import Results, ResultsError
from analyses.reading.small_maps import CELLS, KeptSmall
from segcam.groups import Groups, group_maps

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grouped:
    """The grouped images of a checkpoint.

    Attributes:
        point: the checkpoint.
        target: what is explained.
        method: how the maps were made.
        layers: the layers whose maps are grouped, by depth.
        images: those that have the class, `n`.
        shares: of each layer the maps, `(n, h, w)`, sums of 1; NaN for one that is blank or undefined.
        masks: the class, `(n, H, W)`.
        photographs: as they are kept, where they may be shown.
        left_out: images without the class.
        groups: what was found.
    """

    point: Checkpoint
    target: str
    method: str
    layers: tuple[str, ...]
    images: tuple[str, ...]
    shares: Sequence[Floats]
    masks: NDArray[np.bool_]
    photographs: Sequence[bytes | None]
    left_out: int
    groups: Groups

    def mean(self, rows: NDArray[np.bool_]) -> Floats:
        """Return the mean share of energy over images and layers, on the finest grid that is kept."""
        high, wide = self.masks.shape[1:]
        size = (max(1, round(CELLS * high / max(high, wide))), max(1, round(CELLS * wide / max(high, wide))))
        means = []
        for of_layer in self.shares:
            mean = nan_mean(np.moveaxis(of_layer[rows], 0, -1))
            large = overlay.upsampled(np.nan_to_num(mean), size)
            means.append(large / large.sum() if large.sum() > 0 else large)
        total: Floats = np.mean(means, axis=0)
        return total


def grouped(results: Results) -> Iterator[Grouped]:
    """Yield each checkpoint with small maps, its images grouped by the layers before the decoder.

    Where an object lies is what the decoder's maps are about; what is looked at beside it shows before.
    """
    for point in results.checkpoints:
        parts = results.small_maps(point.model, point.seed, point.level) if point.reached else []
        if parts and (one := _grouped(results, point, parts)):
            yield one


def _grouped(results: Results, point: Checkpoint, parts: Sequence[KeptSmall]) -> Grouped | None:
    kept = [name.split("|", 2) for name in parts[0].maps]
    target, method = kept[0][:2]
    known = {layer for t, m, layer in kept if (t, m) == (target, method)}
    layers = [layer for layer in results.main_layers(point.model) if layer.name in known]
    before = [layer.name for layer in layers if layer.role != DECODER] or [layer.name for layer in layers]
    if not before:
        return None
    foreground = results.foreground(target)
    wanted = [part.masks if results.manifest.dataset.masked else part.predicted for part in parts]
    masks = np.isin(np.concatenate(wanted), foreground)
    has: NDArray[np.bool_] = np.asarray(masks.any((1, 2)))
    shares = []
    for layer in before:
        name = f"{target}|{method}|{layer}"
        if lacking := [part.ids[0] for part in parts if name not in part.maps]:
            raise ResultsError(f"small_maps: '{name}' is missing for {lacking[0]}; run the benchmark again")
        shares.append(_shares([one.root for part in parts for one in part.maps[name]])[has])
    ids = [image for part in parts for image in part.ids]
    photographs = [shown for part in parts for shown in (part.photographs or [None] * len(part.ids))]
    return Grouped(
        point=point,
        target=target,
        method=method,
        layers=tuple(before),
        images=tuple(image for image, there in zip(ids, has, strict=True) if there),
        shares=shares,
        masks=masks[has],
        photographs=[shown for shown, there in zip(photographs, has, strict=True) if there],
        left_out=int((~has).sum()),
        groups=group_maps(shares, given=masks[has]),
    )


def _shares(roots: Sequence[NDArray[np.uint8]]) -> Floats:
    """Return small maps as shares of their energy, on the grid of most of them; NaN where there is no map."""
    shape = max({root.shape for root in roots}, key=lambda size: size[0] * size[1])
    whole = [root if root.shape == shape else np.zeros(shape, np.uint8) for root in roots]
    values = np.square(np.stack(whole).astype(np.float64))
    totals = values.sum((1, 2), keepdims=True)
    shares: Floats = np.divide(values, totals, out=np.full_like(values, math.nan), where=totals > 0)
    return shares
