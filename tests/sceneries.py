"""Small made-up images with masks and maps, for tests of what is measured."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segcam.samples import Batch
from segcam.scoring.reference import Scenery
from tests.reference.metrics import Scene

BOTH, NO_FOREGROUND, NO_BACKGROUND, NEITHER = "both", "no foreground", "no background", "neither"


def scene(rng: np.random.Generator, size: tuple[int, int], sides: str = BOTH) -> Scene:
    """An image of noise with a rectangle of foreground and a border of one pixel around it, where asked for."""
    rows, columns = size
    top, left = rng.integers(0, max(1, rows // 2)), rng.integers(0, max(1, columns // 2))
    bottom, right = rng.integers(top + 1, rows + 1), rng.integers(left + 1, columns + 1)
    foreground = np.zeros(size, bool)
    foreground[top:bottom, left:right] = True
    around = np.zeros(size, bool)
    around[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
    background = ~around
    if sides == BOTH:
        foreground[rows // 2, columns // 2], background[rows // 2, columns // 2] = True, False
        foreground[-1, -1], background[-1, -1] = False, True
    if sides in (NO_FOREGROUND, NEITHER):
        foreground[:] = False
    if sides in (NO_BACKGROUND, NEITHER):
        background[:] = False
    return Scene(rng.random(size), foreground, background)


def scene_of(batch: Batch, i: int) -> Scene:
    """An image of a batch, in float64."""
    return Scene(batch.luminance()[i].double().numpy(), batch.foreground()[i].numpy(), batch.background()[i].numpy())


def scenery(scenes: list[Scene], dtype: torch.dtype = torch.float64, seed: int = 0) -> Scenery:
    """The scenes as a batch, with ids '0', '1', ..."""
    return Scenery(
        torch.from_numpy(np.stack([s.luminance for s in scenes])).to(dtype),
        torch.from_numpy(np.stack([s.foreground for s in scenes])),
        torch.from_numpy(np.stack([s.background for s in scenes])),
        tuple(str(i) for i in range(len(scenes))),
        seed,
    )


def maps(rng: np.random.Generator, b: int, m: int, grid: tuple[int, int]) -> Tensor:
    """Maps after a ReLU, about half of the cells zero, none of them blank; float64."""
    values = np.maximum(rng.standard_normal((b, m, *grid)), 0)
    values[..., 0, 0] += 0.1
    return torch.from_numpy(values)
