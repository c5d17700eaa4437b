"""What ten gradient methods take with their metrics, over one sweep of Grad-CAM: all share one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bench.measurements.scores import Scorer
from bench.planning.profile import Score
from bench.planning.request import Request
from bench.timing.cases import CASES, Case, Ready, ready, scenes
from bench.timing.rows import Row
from bench.timing.side_by_side import Work, in_turns, ratio
from segcam.samples import Images

BAR = 1.6
"""The largest ratio that is wanted of ten methods with seven metrics, over Grad-CAM with the same."""

ONE = ("grad_cam",)
TEN = (
    *ONE,
    *("grad_cam_pp", "xgrad_cam", "hires_cam", "layer_cam", "element_wise", "eigen_cam", "eigen_grad_cam"),
    *("seg_xres_cam", "activation"),
)
"""All that is made of activations and gradients of every layer; `cam` needs a linear head behind its layer."""

SEVEN = (
    *("energy_inside", "energy_gain", "background_ratio", "edge_alignment", "edge_alignment_full", "spread", "blank"),
)
ALL = Score().metrics

IMAGES = 32
ROUNDS = 9
CASE = CASES[0]


def settings(methods: Sequence[str], metrics: Sequence[str]) -> Score:
    """Return the profile's section for a sweep: the paper's target, nothing beside the maps."""
    return Score(methods=tuple(methods), metrics=tuple(metrics), attention=False)


def sweep(prepared: Ready, images: Images, methods: Sequence[str], metrics: Sequence[str]) -> Work:
    """Return a sweep over all convolutions: images in, rows of scores out."""
    model, asked = prepared.swift, settings(methods, metrics)
    request = Request.of(asked, prepared.case.model, model)
    scorer = Scorer(model, request, asked, ("background", "pet"), "ignore")
    return lambda: scorer.score(images, range(len(images)))


def sweeps(prepared: Ready, images: Images) -> dict[str, Work]:
    """Return the sweeps that are timed, by name."""
    return {
        "Grad-CAM": sweep(prepared, images, ONE, SEVEN),
        "ten methods": sweep(prepared, images, TEN, SEVEN),
        "Grad-CAM, all metrics": sweep(prepared, images, ONE, ALL),
        "ten methods, all metrics": sweep(prepared, images, TEN, ALL),
    }


PAIRS = (("ten methods", "Grad-CAM", BAR), ("ten methods, all metrics", "Grad-CAM, all metrics", None))
"""Ours, what it is held against, and the bar."""


def timed(
    device: torch.device, case: Case = CASE, images: int = IMAGES, rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Time the sweeps in turns; seconds a round, by name."""
    prepared = ready(case, device)
    works = sweeps(prepared, scenes(case.size, images))
    return in_turns(works, dict.fromkeys(works, rounds), device)


def rows(device: torch.device, **given: Any) -> list[Row]:
    """Return a row a pair of sweeps, as `run timing` writes them.

    Args:
        device: where.
        given: what `timed` takes beside it.
    """
    case = given.get("case", CASE)
    seconds = timed(device, **given)
    layers = len(ready(case, device).layers)
    return [
        Row(
            case=f"{case.name}-sweep",
            label=f"Sweep: {case.label.partition(',')[0]}, {case.size} px, {layers} layers",
            ours=f"segcam, {ours}",
            theirs=f"segcam, {theirs}",
            scope=f"passes, maps and {len(SEVEN if bar else ALL)} metrics, rows",
            ours_values=tuple(seconds[ours]),
            theirs_values=tuple(seconds[theirs]),
            ratio=ratio(seconds[ours], seconds[theirs]),
            bar=bar,
            same=False,
            note="not the same result: more methods",
        )
        for ours, theirs, bar in PAIRS
    ]
