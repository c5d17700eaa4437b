"""What it costs to follow a training, against an epoch of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.timing.compare import Comparison, Sides, Timed
from segcam.follow import Follow
from segcam.models import create
from tests.speed.conftest import Measure
from tests.speed.test_comparisons import DEVICE

SIZE, BATCH, STEPS = 128, 16, 16


@pytest.mark.parametrize("masked", [True, False], ids=["masks", "no masks"])
def test_following(measure: Measure, tmp_path: Path, masked: bool, benchmark: object) -> None:
    """An epoch of 256 images with a look at four of them behind it, at the defaults; the bar is 1.05."""
    model = create("unet", 2, {"width": 16}).to(DEVICE).train()
    large = getattr(benchmark, "enabled", False)
    size, batch, steps = (SIZE, BATCH, STEPS) if large else (32, 2, 1)
    images = torch.rand(batch, 3, size, size, device=DEVICE)
    labels = (images[:, 0] > 0.5).long()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    masks: Tensor | None = labels[:4] if masked else None
    follow = Follow(model, images[:4], masks=masks, out=tmp_path, strict=True)
    done = [0]

    def epoch() -> None:
        for _ in range(steps):
            optimiser.zero_grad()
            F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def followed() -> int:
        epoch()
        done[0] += 1
        follow(done[0])
        return done[0]

    def sides() -> Sides:
        return Sides(Timed(followed, DEVICE), Timed(epoch, DEVICE))

    scope = f"{steps} steps of {batch}, {size} px, {len(follow.layers)} layers, 4 images"
    label = f"Following a training, {'with' if masked else 'without'} masks, {scope}"
    measure(Comparison("follow", label, "an epoch that is followed", "one that is not", scope, sides, 3, bar=1.05))
    assert follow.folder.steps() == list(range(1, done[0] + 1))
