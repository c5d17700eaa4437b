"""What is published of the kept maps: those that figures show, and for the page the others, small."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyses import Results, files
from analyses.folders import GALLERY
from analyses.records import Gallery
from analyses.report.sheets import quantised
from bench.rounding import rounded

Arrays = dict[str, NDArray[Any]]


def published_maps(results: Results, *, photographs: bool) -> Iterator[tuple[str, bytes]]:
    """Yield for each model the kept maps of the seed that figures show: a file's name in the run's folder, its bytes.

    The maps that Figures 1 to 3 draw from, the main method's of all layers, are whole, their floats rounded. Where
    photographs may be shown, they and all other maps are there as well. Else there is nothing beside what those figures
    show: the maps of Sobel or of activations, say, show a photograph's edges.

    Args:
        results: the run.
        photographs: whether photographs may be shown.

    Raises:
        ResultsError: a file is damaged.
    """
    if not photographs and results.main_method in results.controls:
        return
    for model in results.models:
        for point in results.pictured(model):
            path = results.gallery_path(point.model, point.seed, point.level)
            if point.reached and path.is_file():
                kept = files.gallery(path, photographs=photographs)
                stored: dict[str, Any] = _arrays(results, model, kept, whole=photographs)
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **stored)
                yield f"{GALLERY}/{path.name}", buffer.getvalue()


def _arrays(results: Results, model: str, kept: Gallery, *, whole: bool) -> Arrays:
    """Return what is stored of a checkpoint's kept maps; if `whole`, something of all of them."""
    found: Arrays = {"ids": np.array(kept.ids), "masks": kept.masks}
    found |= {} if kept.images is None else {"images": kept.images}
    first = results.targets[:1]
    pixels = [f"{files.PIXELS}{target}" for target in (results.targets if whole else first)]
    found |= {name: kept.arrays[name] for name in pixels if name in kept.arrays}
    drawn = [f"{target}|{results.main_method}|{layer.name}" for target in first for layer in results.main_layers(model)]
    found |= {name: rounded(kept.arrays[name]) for name in drawn if name in kept.arrays}
    others = {name: values for name, values in kept.arrays.items() if name.count("|") >= 2 and name not in drawn}
    return found | (_small(others) if whole and others else {})


def _small(maps: Arrays) -> Arrays:
    """Return maps as `files.gallery` finds them again: each distinct one once, as the bytes that the page shows."""
    numbers: dict[tuple[tuple[int, ...], bytes], int] = {}
    stored: Arrays = {}
    of = []
    for values in maps.values():
        tiles = _tiles(values)
        number = numbers.setdefault((tiles.shape, tiles.tobytes()), len(numbers))
        stored[f"{files.SMALL}{number}"] = tiles
        of.append(number)
    return {files.SMALL_NAMES: np.array(list(maps)), files.SMALL_NUMBERS: np.array(of), **stored}


def _tiles(maps: NDArray[Any]) -> NDArray[Any]:
    """Return maps `(n, h, w)` as the page shows them; one with values that are no numbers is NaN everywhere."""
    defined = np.isfinite(maps).all(axis=(1, 2))
    tiles = np.stack([quantised(np.where(known, one, 0)) for one, known in zip(maps, defined, strict=True)])
    return tiles if defined.all() else np.where(defined[:, None, None], tiles, np.nan).astype(np.float16)
