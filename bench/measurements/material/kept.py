"""What is kept for people to look at: images, masks and maps, as an .npz file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from bench.measurements.material.made_maps import MadeMaps
from bench.planning.request import Request
from segcam.samples import Batch
from segcam.scoring.grids import Grid, to_grid, upsample

Arrays = dict[str, NDArray[Any]]


def image_arrays(batch: Batch) -> Arrays:
    """Return the batch's `ids`, `images` to look at `(b, h, w, 3)`, and `masks` `(b, h, w)`."""
    return {
        "ids": np.array(batch.ids),
        "images": batch.displayed().permute(0, 2, 3, 1).cpu().numpy(),
        "masks": batch.masks.cpu().numpy(),
    }


def map_arrays(request: Request, maps: Iterable[MadeMaps], size: Grid) -> Arrays:
    """Return the maps `(b, h, w)` of every target, layer and method, as `target|method|layer`.

    Who looks at them stretches them over the images, `size` rows and columns; see `_spanning`.
    """
    arrays: Arrays = {}
    for made in maps:
        values = _spanning(made, size).float().cpu().numpy()
        for target in made.targets:
            for layer in made.layers:
                for n, method in enumerate(made.methods):
                    names = (request.targets[target].name, request.methods[method].name, request.layers[layer].label)
                    arrays["|".join(names)] = values[:, n]
    return arrays


def _spanning(made: MadeMaps, size: Grid) -> Float[Tensor, "b m h w"]:
    """Return maps on a grid that spans the images; those that do not are averaged onto one of half their cells."""
    if made.placement is None:
        return made.maps
    finer = (min(2 * made.grid[0], size[0]), min(2 * made.grid[1], size[1]))
    return to_grid(upsample(made.maps, size, made.placement), finer)


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Return the bytes of a compressed .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
