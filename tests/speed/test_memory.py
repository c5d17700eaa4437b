"""What a pass takes over what it returns, see `bench.timing.memory`; the bar for a pass in chunks is 1.25."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.timing.cases import Case
from bench.timing.memory import BAR, CASES, TARGETS, measured, network
from bench.timing.side_by_side import DEVICE
from segcam.probe.targets import Target


@pytest.mark.parametrize("targets", [TARGETS[:1], TARGETS], ids=len)
@pytest.mark.parametrize("case", CASES, ids=network)
def test_memory(benchmark: Any, capsys: pytest.CaptureFixture[str], case: Case, targets: Sequence[Target]) -> None:
    """All layers, Grad-CAM: the whole batch, saving less, and in chunks of at most the bar; the maps are the same."""
    case = case if benchmark.enabled else replace(case, images=2)
    found = benchmark.pedantic(lambda: measured(case, targets, DEVICE), rounds=1)
    benchmark.extra_info |= {"ratios": found.ratios, "bytes": found.needed, "seconds": dict(found.seconds)}
    assert found.ratios["chunks"] <= BAR
    for name in ("low_memory", "chunks"):
        for ours, theirs in zip(found.maps[name], found.maps["whole"], strict=True):
            for label, maps in ours.items():
                assert torch.allclose(maps, theirs[label], rtol=1e-3, atol=1e-4 * float(theirs[label].amax()))
    with capsys.disabled():
        told = ", ".join(f"{way} {share:.2f}" for way, share in found.ratios.items())
        told += "; " + ", ".join(f"{way} {taken:.2f} s" for way, taken in found.seconds.items())
        size = found.needed / 2**20
        print(f"\nmemory, {network(case)}, {len(targets)} target(s), {size:.0f} MiB: {told} (bar {BAR} in chunks)")
