"""What a sweep of scoring takes: ten gradient methods over Grad-CAM, and all metrics over the network's bare passes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from bench.measurements.scores import Scorer
from bench.planning.request import Request
from bench.planning.sections import Score
from bench.timing.cases import CASES, Case, ready, scenes
from bench.timing.compare import Comparison, Sides, Timed, Work
from segcam.samples import Batch, Images

ONE = ("grad_cam",)
TEN = (
    *ONE,
    *("grad_cam_pp", "xgrad_cam", "hires_cam", "layer_cam", "element_wise", "eigen_cam", "eigen_grad_cam"),
    *("seg_xres_cam", "activation"),
)
"""All that is made of activations and gradients of every layer; `cam` needs a linear head behind its layer."""

FREE = ("blank",)
"""The metric that costs nothing."""
SEVEN = (
    *("energy_inside", "energy_gain", "background_ratio", "edge_alignment", "edge_alignment_full", "spread", *FREE),
)
ALL = Score().metrics

SWEEP = replace(CASES[0], images=32, rounds=9)


def sweep(case: Case, device: torch.device, methods: Sequence[str], metrics: Sequence[str]) -> Timed:
    """Return a sweep over all convolutions for the paper's target: images in, rows of scores out."""
    model, images = ready(case, device).channels_last, scenes(case.size, case.images)
    settings = Score(methods=tuple(methods), metrics=tuple(metrics), attention=False)
    request = Request.of(settings, case.model, model)
    scorer = Scorer(model, request, settings, ("background", "pet"), "ignore")
    return Timed(lambda: scorer.score(images, range(len(images))), device)


def passes(model: nn.Module, images: Images, size: int, device: torch.device) -> Work:
    """Return forward and backward passes for the best pixel's logit, without hooks, maps or metrics.

    Args:
        model: the network, laid out channels-last.
        images: all of them are used.
        size: of a batch.
        device: where.
    """
    starts = range(0, len(images), size)
    batches = [Batch.of([images[i] for i in range(at, min(at + size, len(images)))], device).inputs() for at in starts]

    def run() -> None:
        for batch in batches:
            inputs = batch.contiguous(memory_format=torch.channels_last).requires_grad_()
            torch.autograd.grad(model(inputs)[:, 1].flatten(1).amax(1).sum(), inputs)

    return run


def ten_methods(case: Case, device: torch.device, metrics: Sequence[str], bar: float | None = None) -> Comparison:
    """Compare ten methods with Grad-CAM, with the same metrics: all share one pass."""
    words = ", all metrics" if metrics == ALL else ""
    return Comparison(
        case=f"{case.name}-sweep",
        label=f"Sweep: {case.network}, {case.size} px, all layers",
        ours=f"segcam, ten methods{words}",
        theirs=f"segcam, Grad-CAM{words}",
        scope=f"passes, maps and {len(metrics)} metrics, rows",
        prepare=lambda: Sides(sweep(case, device, TEN, metrics), sweep(case, device, ONE, metrics)),
        rounds=case.rounds,
        bar=bar,
        same=False,
        note="not the same result: more methods",
    )


def metrics_over_passes(case: Case, device: torch.device) -> Comparison:
    """Compare what all metrics of ten methods take with a forward and a backward pass for each three methods."""

    def prepare() -> Sides:
        model = copy.deepcopy(ready(case, device).channels_last).requires_grad_(False)  # the other is shared
        bare = Timed(passes(model, scenes(case.size, case.images), 16, device), device)
        with_all, without = (sweep(case, device, TEN, metrics) for metrics in (ALL, FREE))
        return Sides(lambda: with_all() - without(), lambda: len(TEN) / 3 * bare())

    return Comparison(
        case=f"{case.name}-metrics",
        label=f"Metrics: {case.network}, {case.size} px, all layers, ten methods",
        ours=f"segcam, {len(ALL)} metrics",
        theirs="a pass for each 3 methods",
        scope=f"{len(ALL)} metrics of all maps (a sweep less one with `blank` alone); forward and backward passes",
        prepare=prepare,
        rounds=case.rounds,
        bar=1.0,
        same=False,
        note="not the same result: what metrics take, in passes",
    )


def comparisons(case: Case, device: torch.device) -> list[Comparison]:
    """Return what is compared on one case."""
    return [
        ten_methods(case, device, SEVEN, bar=1.6),
        ten_methods(case, device, ALL),
        metrics_over_passes(case, device),
    ]
