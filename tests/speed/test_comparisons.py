"""What `run timing` compares, a benchmark each; without `--benchmark-enable` networks and images are small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from bench.timing import faithfulness, memory, metrics, peers, sweeps
from bench.timing.cases import CASES, Case, small
from bench.timing.compare import Comparison, Timed
from segcam.probe.targets import Target
from tests.speed.conftest import Measure

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SMALL = replace(small(sweeps.SWEEP), images=4)


def large_or_small(
    large: Sequence[Comparison], small: Sequence[Comparison]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise a test with pairs: what is timed, and the same with little work."""
    return pytest.mark.parametrize("comparisons", list(zip(large, small, strict=True)), ids=lambda pair: str(pair[0]))


@pytest.fixture
def comparison(comparisons: tuple[Comparison, Comparison], benchmark: Any) -> Comparison:
    return comparisons[0] if benchmark.enabled else comparisons[1]


@large_or_small(peers.comparisons(CASES, DEVICE), peers.comparisons([small(case) for case in CASES], DEVICE))
def test_maps_of_all_layers(measure: Measure, comparison: Comparison) -> None:
    """Same network, batch, target, layers and output; the maps are the same."""
    row, _ = measure(comparison)
    agreement = row["agreement"]
    assert (agreement is not None) == row["same"]
    if agreement and "bf16" in row["ours"]:
        assert agreement["pearson"] > 0.9  # bf16 has less than three digits
    elif agreement:
        assert agreement["equal"]
        assert agreement["in_float64"] is None or agreement["in_float64"] < 1e-9


@large_or_small(sweeps.comparisons(sweeps.SWEEP, DEVICE)[:2], sweeps.comparisons(SMALL, DEVICE)[:2])
def test_ten_methods(measure: Measure, comparison: Comparison) -> None:
    """Ten methods have ten times the rows, and the same values of Grad-CAM."""
    _, sides = measure(comparison)
    many, few = (next(iter(side.result.values())) for side in (sides.ours, sides.theirs) if isinstance(side, Timed))
    assert len(many["image"]) == 10 * len(few["image"])
    assert set(sweeps.SEVEN) <= many.keys()
    grad_cam = many["method"] == "grad_cam"
    assert many["energy_inside"][grad_cam] == pytest.approx(few["energy_inside"], rel=1e-4, nan_ok=True)


@large_or_small([sweeps.metrics_over_passes(sweeps.SWEEP, DEVICE)], [sweeps.metrics_over_passes(SMALL, DEVICE)])
def test_metrics_of_ten_methods(measure: Measure, comparison: Comparison) -> None:
    """Over a forward and a backward pass for each three methods."""
    measure(comparison)


@large_or_small([metrics.comparison(CASES[0], DEVICE)], [metrics.comparison(small(CASES[0]), DEVICE)])
def test_shared_metrics_against_quantus(measure: Measure, comparison: Comparison) -> None:
    """The values are the same."""
    _, sides = measure(comparison)
    ours, theirs = (side.result for side in (sides.ours, sides.theirs) if isinstance(side, Timed))
    for name in metrics.SHARED:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-3, err_msg=name)


@large_or_small(faithfulness.comparisons(CASES[0], DEVICE), faithfulness.comparisons(small(CASES[0]), DEVICE))
def test_faithfulness_against_quantus(measure: Measure, comparison: Comparison) -> None:
    measure(comparison)


@lru_cache(maxsize=1)
def whole(case: Case, targets: tuple[Target, ...]) -> memory.CamsByLayer:
    return memory.jobs(case, targets, DEVICE, torch.float64)[1][memory.WHOLE]()


@pytest.mark.parametrize("way", memory.WAYS)
@pytest.mark.parametrize("targets", [memory.TARGETS[:1], memory.TARGETS], ids=len)
@pytest.mark.parametrize("case", memory.CASES, ids=lambda case: case.name)
def test_memory(
    benchmark: Any,
    measure: Measure,
    capsys: pytest.CaptureFixture[str],
    case: Case,
    targets: tuple[Target, ...],
    way: str,
) -> None:
    """The peak of a pass in chunks is asserted, for bytes are not noisy; the maps of all ways are the same.

    These in float64, for some nearly cancel out with random weights, and more threads sum in another order.
    """
    case = case if benchmark.enabled else replace(case, images=2)
    row, _ = measure(memory.comparison(case, targets, way, DEVICE))
    assert row["met"] in (None, True)
    if benchmark.enabled:
        job = memory.jobs(case, targets, DEVICE)[1][way]
        with capsys.disabled():
            print(f"{row['theirs_values'][0] / 2**20:.0f} MiB, {Timed(job, DEVICE)():.2f} s")
    exact = memory.jobs(small(case), targets, DEVICE, torch.float64)[1][way]()
    for ours, theirs in zip(exact, whole(small(case), targets), strict=True):
        for label, maps in ours.items():
            assert maps.dtype == torch.float64
            assert torch.allclose(maps, theirs[label], rtol=0, atol=1e-9 * float(theirs[label].amax()))
