"""What a pass takes over what it returns: the peak of live bytes over those of activations and gradients.

A ratio of bytes does not depend on the machine, but for what kernels make inside: on a processor nothing of that is
counted; on a GPU the allocator's own peak stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.timing.cases import Case
from bench.timing.rows import Row
from bench.timing.side_by_side import Ratio, seconds
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

WAYS = {"whole": "whole batch", "low_memory": "whole batch, saving less", "chunks": "in chunks"}

Maps = list[dict[str, Tensor]]


@dataclass(frozen=True)
class Measured:
    """What Grad-CAM of all layers takes, by way: the whole batch at once, saving less, and in chunks.

    Attributes:
        needed: bytes of activations and gradients.
        peaks: bytes alive at once, at most.
        seconds: of one call.
        maps: what was computed.
    """

    needed: int
    peaks: Mapping[str, int]
    seconds: Mapping[str, float]
    maps: Mapping[str, Maps]

    @property
    def ratios(self) -> dict[str, float]:
        """The peaks over what is needed."""
        return {name: peak / self.needed for name, peak in self.peaks.items()}


def network(case: Case) -> str:
    """Return the case's name without its target, of which there are several."""
    return case.name.rpartition("-")[0]


def measured(case: Case, targets: Sequence[Target], device: torch.device) -> Measured:
    """Measure one network and batch; it is laid out as scoring does, and has random weights and images."""
    model = create(case.model, 2, case.parameters, seed=0)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    layers = architecture(case.model).layers(model, "conv")
    probe, saving_probe = (Probe(model, layers, channels_last=True, low_memory=saving) for saving in (False, True))
    batch = torch.randn(case.images, 3, case.size, case.size, generator=torch.Generator().manual_seed(0)).to(device)
    captures = probe.many(batch, targets)
    needed = sum(stack.nbytes for stack in captures[0].activations.values()) * (1 + len(targets))
    del captures
    limit = int(BAR * needed)
    jobs: dict[str, Callable[[], Maps]] = {
        "whole": lambda: all_maps(probe, batch, targets, ["grad_cam"]),
        "low_memory": lambda: all_maps(saving_probe, batch, targets, ["grad_cam"]),
        "chunks": lambda: all_maps(probe, batch, targets, ["grad_cam"], max_memory=limit),
    }
    jobs["chunks"]()  # which measures what an image takes
    peaks, taken, maps = {}, {}, {}
    for name, job in jobs.items():
        with Meter() as meter:
            maps[name] = job()
        peaks[name] = meter.peak
        if device.type == "cuda":
            peaks[f"{name}, allocator"] = _allocated(job)
        taken[name] = seconds(job, device)
    return Measured(needed, peaks, taken, maps)


def _allocated(job: Callable[[], object]) -> int:
    """Return the allocator's peak during a job, less what was there before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    job()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated()) - before


def rows(device: torch.device, cases: Sequence[Case] = CASES) -> list[Row]:
    """Return a row a case, number of targets and way, as `run timing` writes them."""
    found = []
    for case in cases:
        for targets in (TARGETS[:1], TARGETS):
            values = measured(case, targets, device)
            many = "one target" if len(targets) == 1 else f"{len(targets)} targets"
            for name, share in values.ratios.items():
                found.append(
                    Row(
                        case=f"{network(case)}-{len(targets)}",
                        label=f"Memory: {case.label.rpartition(', ')[0]}, {many}",
                        ours=f"segcam, {WAYS.get(name, name)}",
                        theirs="activations and gradients, held once",
                        scope="peak of live bytes beside parameters and images",
                        quantity="memory",
                        ours_values=(float(values.peaks[name]),),
                        theirs_values=(float(values.needed),),
                        ratio=Ratio(share, share, share, 1),
                        bar=BAR if name.startswith("chunks") else None,
                    )
                )
    return found
