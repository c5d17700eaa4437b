"""Attention matrices of random blocks, and the networks that have some."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from segcam import Layer
from segcam.models import MODELS, create
from segcam.probe.attention import Attention, AttentionPlace
from tests.reference import attention as slow

NETWORKS = ("segformer", "vit")


def images(h: int = 64, w: int = 96, count: int = 2) -> Tensor:
    return torch.randn(count, 3, h, w, generator=torch.Generator().manual_seed(0))


def network(name: str) -> tuple[nn.Module, list[Layer], list[AttentionPlace]]:
    """A network whose attention is far from uniform."""
    model = create(name, 2, seed=1)
    with torch.no_grad():
        for key, weights in model.named_parameters():
            if weights.ndim == 2 and any(part in key for part in ("qkv", "q_proj", "k_proj", "query", "key")):
                weights.mul_(5)
    return model, MODELS.get(name).layers(model, "conv"), MODELS.get(name).attentions(model)


def attention(
    rng: np.random.Generator, b: int, grid: tuple[int, int], reduction: int = 1, prefix: int = 0
) -> Attention:
    """Random matrices of two heads, float64, rows summing to 1."""
    n, m = grid[0] * grid[1] + prefix, (grid[0] // reduction) * (grid[1] // reduction) + prefix
    weights = torch.from_numpy(rng.random((b, 2, n, m)) ** 4 + 1e-3)
    return Attention(weights / weights.sum(-1, keepdim=True), grid, reduction)


def twin(made: Attention, i: int) -> slow.Block:
    return slow.Block(made.weights[i].numpy(), made.grid, made.reduction)
