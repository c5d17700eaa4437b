"""What scoring and training cost, against the bare passes of the same network on the same batches."""

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
from bench.timing.compare import Comparison, Sides, Timed
from bench.timing.sweeps import passes
from bench.training.optimise import precision
from bench.training.trainer import Trainer, TrainJob
from segcam.models import create
from segcam.samples import Batch, Images
from tests.speed.conftest import Measure
from tests.speed.test_comparisons import DEVICE

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
def test_scoring(measure: Measure, images: Images, targets: tuple[str, ...]) -> None:
    """All 18 layers, all methods and metrics of the default profile; the bar is 3 times the bare passes."""
    model, settings = network(), Score(targets=targets)
    scorer = Scorer(model, Request.of(settings, "unet", model), settings, ("background", "pet"), "ignore")
    ours = Timed(lambda: list(scorer.score(images, range(len(images))).values()), DEVICE)
    bare = Timed(passes(model.eval().requires_grad_(False), images, BATCH, DEVICE), DEVICE)
    scope = f"18 layers, {len(settings.methods)} methods, {len(settings.metrics)} metrics"
    label = f"Scoring, {len(targets)} target(s), {scope}, {SIZE} px"
    measure(Comparison("scoring", label, "segcam", "the bare passes", scope, lambda: Sides(ours, bare), 5, bar=3))
    assert len(ours.result[0]["image"]) == IMAGES * len(targets) * 18 * len(settings.methods)


def test_training(measure: Measure, images: Images) -> None:
    """Steps with loading, augmentation and averaging; the bar is 1.3 times the bare loop in the same precision."""
    settings = Train(levels=(99,), batch_size=BATCH, average=0.99)
    trainer = Trainer(TrainJob(network(), images, images, 2, "ignore", 1, settings, 0, DEVICE))
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

    def ours() -> Any:
        return trainer.advance(trainer.step + 4, lambda *_: None)

    def sides() -> Sides:
        return Sides(Timed(ours, DEVICE), Timed(bare, DEVICE))

    label = f"Training, batch {BATCH}, {SIZE} px"
    measure(Comparison("training", label, "segcam", "the bare loop", "4 steps", sides, 5, bar=1.3))
