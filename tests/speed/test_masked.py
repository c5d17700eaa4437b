"""What RISE takes over the bare forward passes of its masks: to make them and to sum them up is to cost little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.timing.cases import CASES, Case, ready, scenes, small
from bench.timing.compare import Comparison, Sides, Timed
from segcam import Probe
from segcam.methods import METHODS
from segcam.methods.material.passes import SAMPLES
from segcam.methods.material.subject import examining
from segcam.models import architecture
from segcam.probe.layers import INPUT
from segcam.probe.targets import Target
from segcam.samples import Batch
from tests.speed.conftest import Measure

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BAR = 1.15


def rise(case: Case, masks: int) -> Comparison:
    """Compare RISE of one image with as many forward passes, in batches of the same size."""
    model = ready(case, DEVICE).channels_last
    method = METHODS.get("rise").configured({"masks": masks})
    step = SAMPLES if DEVICE.type == "cpu" else 8 * SAMPLES
    images = Batch.of([scenes(case.size, 1)[0]], DEVICE).inputs()
    probe = Probe(model, architecture(case.model).layers(model, "conv")[-1:], channels_last=True)
    capture = probe(images, Target.parse(case.target))
    batch = images.expand(step, -1, -1, -1).contiguous(memory_format=torch.channels_last)

    def ours() -> torch.Tensor:
        assert method.run is not None
        with examining(probe, images, capture) as subject:
            return method.run(subject, INPUT)

    @torch.no_grad()
    def bare() -> None:
        for _ in range(masks // step):
            model(batch)

    return Comparison(
        case=f"{case.name}-rise",
        label=f"RISE: {case.network}, {case.size} px, {masks} masks",
        ours="segcam",
        theirs="bare forward passes",
        scope="masks, passes and the map; forward passes of as many samples",
        prepare=lambda: Sides(Timed(ours, DEVICE), Timed(bare, DEVICE)),
        rounds=case.rounds,
        bar=BAR,
        same=False,
    )


@pytest.mark.parametrize("masks", [1000])
def test_rise_over_its_passes(measure: Measure, benchmark: Any, masks: int) -> None:
    """The map says something; the ratio is printed beside its bar."""
    case = replace(CASES[0] if benchmark.enabled else small(CASES[0]), rounds=5)
    _, sides = measure(rise(case, masks if benchmark.enabled else 2 * SAMPLES))
    assert isinstance(sides.ours, Timed)
    assert sides.ours.result.std() > 0
