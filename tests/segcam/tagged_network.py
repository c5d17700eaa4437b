"""A small U-Net that learned from scenes of which some carry a tag, as a test of groups takes it.

`python -m tests.segcam.tagged_network` trains it anew, three minutes of one core, and writes the file beside this one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from segcam import Batch
from segcam.datasets import DatasetOptions
from segcam.datasets.scenes_tagged import open_tagged
from segcam.models import create
from segcam.samples import IGNORE

FILE = Path(__file__).with_suffix(".safetensors")
SIZE, STEPS, SCENES = 64, 1600, 1200


def load() -> nn.Module:
    """Return the network, in full precision; its file holds halves."""
    model = _untrained()
    model.load_state_dict(load_file(FILE))
    return model.eval()


def train() -> nn.Module:
    """Train the network."""
    images = open_tagged(DatasetOptions(size=SIZE, counts=(SCENES, 1, 1))).splits["train"]
    batch = Batch.of([images[i] for i in range(len(images))])
    inputs, masks = batch.inputs(), batch.masks.long()
    generator = torch.Generator().manual_seed(0)
    model = _untrained().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        rows = torch.randperm(len(masks), generator=generator)[:16]
        loss = cross_entropy(model(inputs[rows]), masks[rows], ignore_index=IGNORE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def _untrained() -> nn.Module:
    return create("unet_he", 3, {"width": 8}, 0)


def main() -> None:
    """Train the network and write its file."""
    weights = train().state_dict()
    save_file({name: one.half() if one.is_floating_point() else one for name, one in weights.items()}, FILE)


if __name__ == "__main__":
    main()
