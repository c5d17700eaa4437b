"""What scoring and training cost, against the bare passes of the same network on the same batches.

Both sides of a ratio run in turn within one test, so that a busy machine slows both.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.measurements.scores import Scorer
from bench.planning.profile import Score, Train
from bench.planning.request import Request
from bench.timing.cases import scenes
from bench.timing.metrics import passes
from bench.timing.side_by_side import DEVICE, compare
from bench.training.optimise import precision
from bench.training.trainer import Job, Trainer
from segcam.models import create
from segcam.samples import Batch, Images

SIZE, WIDTH, IMAGES, BATCH = 128, 16, 32, 16


@pytest.fixture(scope="module")
def images() -> Images:
    """Drawn scenes, kept in memory."""
    return scenes(SIZE, IMAGES)


def network() -> nn.Module:
    """The U-Net of the `quick` and `pets` profiles, laid out as scoring and training lay it out."""
    model = create("unet", 2, {"width": WIDTH})
    return model.to(device=DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("targets", [("best_pixel:logit",), ("best_pixel:logit", "predicted:logit")], ids=len)
def test_scoring(benchmark: Any, images: Images, capsys: pytest.CaptureFixture[str], targets: tuple[str, ...]) -> None:
    """All 18 layers, all methods and metrics of the default profile; the bar is 3 times the bare passes."""
    model, settings = network(), Score(targets=targets)
    scorer = Scorer(model, Request.of(settings, "unet", model), settings, ("background", "pet"), "ignore")
    tables: list[Any] = []

    def ours() -> None:
        tables[:] = scorer.score(images, range(len(images))).values()

    ratio = compare(benchmark, passes(model.eval().requires_grad_(False), images, BATCH, DEVICE), ours)
    assert len(tables[0]["image"]) == IMAGES * len(targets) * 18 * len(settings.methods)
    with capsys.disabled():
        print(
            f"\nscoring, {len(targets)} target(s), 18 layers, {len(settings.methods)} methods, "
            f"{len(settings.metrics)} metrics, {SIZE} px: {ratio:.2f} x the bare passes (bar 3)"
        )


def test_training(benchmark: Any, images: Images, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps with loading, augmentation and averaging; the bar is 1.3 times the bare loop in the same precision."""
    settings = Train(levels=(99,), batch_size=BATCH, average=0.99)
    job = Job(network(), images, images, 2, "ignore", 1, settings, 0, DEVICE)
    trainer = Trainer(job)
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = Batch.of([images[i] for i in range(BATCH)], DEVICE)
    inputs, labels = batch.inputs().contiguous(memory_format=torch.channels_last), batch.masks.long()
    bf16 = precision("auto", DEVICE) == "bf16"

    def bare() -> None:
        for _ in range(4):
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
                logits = model(inputs)
            optimiser.zero_grad()
            F.cross_entropy(logits.float(), labels, ignore_index=255).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def ours() -> None:
        trainer.advance(trainer.step + 4, lambda *_: None)

    ratio = compare(benchmark, bare, ours)
    with capsys.disabled():
        print(f"\ntraining, batch {BATCH}, {SIZE} px: {ratio:.2f} x the bare loop (bar 1.3)")
