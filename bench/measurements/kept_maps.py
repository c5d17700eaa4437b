"""What is kept of the images that figures show: photographs, masks, and all maps that share the passes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analyses.reading.files import PIXELS
from bench.measurements.made_maps import Found, attention_maps, control_maps, gradient_maps
from bench.measurements.scores import Scorer
from bench.planning.asked import Instruments
from segcam.probe.probe import Capture
from segcam.samples import Images
from segcam.scoring.reference import Scenery

Arrays = dict[str, NDArray[Any]]


def gallery(scorer: Scorer, images: Images, rows: Sequence[int]) -> bytes:
    """Return images, their masks and their maps as the bytes of an .npz file, maps as `target|method|layer`."""
    parts: list[Arrays] = []
    tools = scorer.instruments
    for batch, captures in scorer.probed(images, rows):
        arrays: Arrays = {
            "ids": np.array(batch.ids),
            "images": batch.images.permute(0, 2, 3, 1).cpu().numpy(),
            "masks": batch.masks.cpu().numpy(),
        }
        arrays |= {f"{PIXELS}{capture.target.name}": _pixels(capture) for capture in captures}
        scenery = Scenery.of(batch, scorer.settings.class_id)
        layers = chain.from_iterable(gradient_maps(tools, captures, {}, lambda _: None))
        for found in chain(control_maps(tools, scenery, captures[0]), attention_maps(tools, captures), layers):
            arrays |= dict(named(tools, found))
        parts.append(arrays)
        del captures  # before the next batch needs the memory
    buffer = io.BytesIO()
    joined: dict[str, Any] = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    np.savez_compressed(buffer, **joined)
    return buffer.getvalue()


def named(tools: Instruments, found: Found) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the maps of every target, layer and method that some stand for, by `target|method|layer`."""
    maps = found.maps.float().cpu().numpy()
    for target in found.targets:
        for layer in found.layers:
            for n, method in enumerate(found.methods):
                names = (tools.targets[target].name, tools.methods[method].name, tools.layers[layer].label)
                yield "|".join(names), maps[:, n]


def _pixels(capture: Capture) -> NDArray[Any]:
    """Return row and column of each image's explained pixel, -1 where there is not just one."""
    chosen = capture.explained.chosen
    at = chosen.flatten(1).float().argmax(1)
    found = torch.stack([at // chosen.shape[2], at % chosen.shape[2]], 1)
    return found.masked_fill((capture.target_pixels != 1)[:, None], -1).cpu().numpy()
