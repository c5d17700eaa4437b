"""What a pass takes over what it returns: the peak of live bytes over those of activations and gradients.

A ratio of bytes does not depend on the machine, but for what kernels make inside: on a processor nothing of that is
counted; on a GPU the allocator's own peak stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from bench.timing.cases import Case
from bench.timing.compare import Comparison, Sides
from segcam.maps import all_maps
from segcam.models import architecture, create
from segcam.probe.memory import Meter
from segcam.probe.probe import Probe
from segcam.probe.targets import Target

BAR = 1.25
"""The largest peak of a pass in chunks, over the bytes of activations and gradients, held once."""

CASES = (
    Case("unet", {"width": 16}, 128, images=8),
    Case("unet", {"width": 32}, 256),
    Case("segformer", {}, 128, images=8),
)
TARGETS = (Target(1, "image"), Target(1, "best_pixel"))  # neither depends on what a network without training predicts

WHOLE, SAVING, CHUNKS = WAYS = ("whole batch", "whole batch, saving less", "in chunks")

CamsByLayer = list[dict[str, Tensor]]
Pass = Callable[[], CamsByLayer]


@lru_cache(maxsize=2)
def jobs(
    case: Case, targets: tuple[Target, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> tuple[int, dict[str, Pass]]:
    """Return the bytes of activations and gradients, and the ways to Grad-CAM of all layers.

    The network is laid out as scoring does, and has random weights and images.
    """
    model = create(case.model, 2, case.parameters, seed=0)
    model = model.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    layers = architecture(case.model).layers(model, "conv")
    probe, saving = (Probe(model, layers, channels_last=True, low_memory=low) for low in (False, True))
    batch = torch.randn(case.images, 3, case.size, case.size, generator=torch.Generator().manual_seed(0))
    batch = batch.to(device, dtype)
    activations = probe.many(batch, targets)[0].activations
    needed = sum(stack.nbytes for stack in activations.values()) * (1 + len(targets))
    del activations
    ways: dict[str, Pass] = {
        WHOLE: lambda: all_maps(probe, batch, targets, ["grad_cam"]),
        SAVING: lambda: all_maps(saving, batch, targets, ["grad_cam"]),
        CHUNKS: lambda: all_maps(probe, batch, targets, ["grad_cam"], max_memory=int(BAR * needed)),
    }
    ways[CHUNKS]()  # which measures what an image takes
    return needed, ways


def live(job: Pass) -> float:
    """Return the peak of live bytes during a job."""
    with Meter() as meter:
        job()
    return float(meter.peak)


def allocated(job: Pass) -> float:
    """Return the allocator's peak during a job on a GPU, less what was there before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    job()
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before)


def comparison(
    case: Case, targets: tuple[Target, ...], way: str, device: torch.device, *, allocator: bool = False
) -> Comparison:
    """Compare the peak of one way with the bytes of activations and gradients."""
    many = "one target" if len(targets) == 1 else f"{len(targets)} targets"

    def prepare() -> Sides:
        needed, ways = jobs(case, targets, device)
        peak = allocated if allocator else live
        return Sides(lambda: peak(ways[way]), lambda: float(needed))

    return Comparison(
        case=f"{case.name.rpartition('-')[0]}-{len(targets)}",
        label=f"Memory: {case.label.rpartition(', ')[0]}, {many}",
        ours=f"segcam, {way}{', allocator' if allocator else ''}",
        theirs="activations and gradients, held once",
        scope="peak of live bytes beside parameters and images",
        prepare=prepare,
        quantity="memory",
        bar=BAR if way == CHUNKS else None,
    )


def comparisons(cases: Sequence[Case], device: torch.device) -> list[Comparison]:
    """Return a comparison a case, number of targets and way; on a GPU the allocator's too."""
    return [
        comparison(case, targets, way, device, allocator=allocator)
        for case in cases
        for targets in (TARGETS[:1], TARGETS)
        for way in WAYS
        for allocator in ((False, True) if device.type == "cuda" else (False,))
    ]
