"""Random streams, one an image: the same whatever the batch, the machine and the device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def generators(ids: Sequence[str], seed: int, purpose: str) -> list[np.random.Generator]:
    """Return a generator for each image, fixed by its name, the seed and what it is for."""
    return [np.random.Generator(np.random.PCG64(stream_seed(seed, f"{purpose}:{name}"))) for name in ids]


def normal(ids: Sequence[str], shape: tuple[int, ...], seed: int, purpose: str) -> Float[Tensor, "b ..."]:
    """Return standard normal noise for each image; float64."""
    return torch.from_numpy(np.stack([rng.standard_normal(shape) for rng in generators(ids, seed, purpose)]))


def uniform(ids: Sequence[str], shape: tuple[int, ...], seed: int, purpose: str) -> Float[Tensor, "b ..."]:
    """Return noise uniform on -1..1 for each image; float64."""
    return torch.from_numpy(np.stack([rng.uniform(-1, 1, shape) for rng in generators(ids, seed, purpose)]))


def permutations(ids: Sequence[str], n: int, seed: int, purpose: str) -> Int[Tensor, "b n"]:
    """Return the numbers below `n` in random order for each image."""
    return torch.from_numpy(np.stack([rng.permutation(n) for rng in generators(ids, seed, purpose)]))


def stream_seed(seed: int, image_id: str) -> int:
    """Return the seed of an image's random stream: 128 bits of a hash that is the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:16], "big")
