"""A short training of a small network that draws random numbers wherever it can."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

IMAGES = torch.rand(8, 3, 16, 24, generator=torch.Generator().manual_seed(0))
MASKS = (IMAGES[:, 0] > 0.5).long()
Look = Callable[[int], object]


class Network(nn.Module):
    """Norms, dropout, noise that is drawn in eval mode too, and a buffer that counts every pass."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.body = nn.Sequential(nn.Dropout2d(0.3), nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(2, width))
        self.head = nn.Conv2d(width, 2, 1)
        self.register_buffer("passes", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        noise = torch.rand(1) + float(np.random.rand()) + random.random()  # noqa: NPY002
        body = nn.functional.relu(self.body(self.stem(x)) + 0.01 * noise)
        return nn.functional.interpolate(self.head(body), x.shape[2:], mode="bilinear")


def network(**parameters: Any) -> Network:
    torch.manual_seed(1)
    return Network(**parameters)


def train(
    model: nn.Module,
    look: Look,
    *,
    looks: str = "epochs",
    autocast: bool = False,
    accumulate: int = 1,
    workers: int = 0,
) -> dict[str, Tensor]:
    """Train for two epochs and return weights, buffers, and what the streams give next.

    Args:
        model: the network.
        look: called with a step.
        looks: when: 'epochs', behind each; 'batches', between backward pass and step; 'graph', before the backward
            pass.
        autocast: whether the forward pass, and a look at it, run under one.
        accumulate: batches whose gradients are summed up.
        workers: processes that load.
    """
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    model.train()
    model.stem[1].eval()  # type: ignore[index,operator]  # frozen, as some do
    model.head.bias.requires_grad_(False)  # type: ignore[union-attr,operator]
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.01)
    loader = DataLoader(TensorDataset(IMAGES, MASKS), 2, shuffle=True, num_workers=workers)
    step = 0
    for epoch in range(1, 3):
        for batch, (images, masks) in enumerate(loader):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = nn.functional.cross_entropy(model(images).float(), masks)
                if looks == "graph":
                    look(step)
            loss.backward()
            if looks == "batches":
                look(step)
            step += 1
            if (batch + 1) % accumulate == 0:
                optimiser.step()
                optimiser.zero_grad()
        if looks == "epochs":
            look(epoch)
    streams = {"torch": torch.rand(2), "numpy": torch.tensor(np.random.rand(2))}  # noqa: NPY002
    return {**{k: v.clone() for k, v in model.state_dict().items()}, **streams, "python": torch.tensor(random.random())}
