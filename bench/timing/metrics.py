"""What metrics take: all of ours over the bare passes of the network, and those that Quantus has over Quantus' own."""

from __future__ import annotations

import copy
import importlib.util
import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.timing.cases import Case, ready, scenes
from bench.timing.methods import ALL, CASE, IMAGES, ROUNDS, TEN, sweep
from bench.timing.peers import INSTALL
from bench.timing.rows import Row
from bench.timing.side_by_side import Work, in_turns, ratio
from segcam.metrics import METRICS, measure
from segcam.samples import Batch, Images
from segcam.scoring.reference import Scenery

BAR = 1.0
"""The largest ratio that is wanted of all metrics of ten methods, over a forward and a backward pass for each three."""

NOTHING = ("blank",)
"""The metric that costs nothing."""

SHARED = {
    "energy_inside": "RelevanceMassAccuracy",
    "pointing_game": "PointingGame",
    "gini": "Sparseness",
    "spread": "Complexity",
}
"""Metrics that Quantus has as well, by our name; its complexity is the entropy itself, ours is over that of noise."""

MAPS = 10
"""Maps of each of four images that are scored by both."""

Values = dict[str, npt.NDArray[np.float64]]
"""The values of each metric, `(images * maps,)`."""


def passes(model: nn.Module, images: Images, size: int, device: torch.device) -> Work:
    """Return forward and backward passes for the best pixel's logit, without hooks, maps or metrics.

    Args:
        model: the network, laid out channels-last.
        images: all of them are used.
        size: of a batch.
        device: where.
    """
    parts = [range(at, min(at + size, len(images))) for at in range(0, len(images), size)]
    batches = [Batch.of([images[i] for i in part], device).inputs() for part in parts]

    def run() -> None:
        for batch in batches:
            inputs = batch.contiguous(memory_format=torch.channels_last).requires_grad_()
            torch.autograd.grad(model(inputs)[:, 1].flatten(1).amax(1).sum(), inputs)

    return run


def over_passes(device: torch.device, case: Case = CASE, images: int = IMAGES, rounds: int = ROUNDS) -> Row:
    """Return what all metrics of ten methods take, over a forward and a backward pass for each three methods."""
    prepared, drawn = ready(case, device), scenes(case.size, images)
    model = copy.deepcopy(prepared.swift).requires_grad_(False)  # the other is shared
    works = {
        "all": sweep(prepared, drawn, TEN, ALL),
        "none": sweep(prepared, drawn, TEN, NOTHING),
        "passes": passes(model, drawn, 16, device),
    }
    seconds = in_turns(works, dict.fromkeys(works, rounds), device)
    ours = [whole - without for whole, without in zip(seconds["all"], seconds["none"], strict=True)]
    theirs = [len(TEN) / 3 * found for found in seconds["passes"]]
    return Row(
        case=f"{case.name}-metrics",
        label=f"Metrics: {case.label.partition(',')[0]}, {case.size} px, {len(prepared.layers)} layers, ten methods",
        ours=f"segcam, {len(ALL)} metrics",
        theirs="a pass for each 3 methods",
        scope=f"{len(ALL)} metrics of all maps (a sweep less one with `blank` alone); forward and backward passes",
        ours_values=tuple(ours),
        theirs_values=tuple(theirs),
        ratio=ratio(ours, theirs),
        bar=BAR,
        same=False,
        note="not the same result: what metrics take, in passes",
    )


def sides(case: Case, device: torch.device, given: dict[str, Values]) -> dict[str, Work]:
    """Return both ways to the shared metrics of the same maps, at the images' resolution; each leaves its values."""
    quantus = importlib.import_module("quantus")
    drawn = scenes(case.size, case.images)
    batch = Batch.of([drawn[i] for i in range(case.images)], device)
    scenery = Scenery.of(batch, 1)
    # Each map has its pixels' ranks in random order: Quantus takes the first of tied maxima, ours all of them.
    ranks = np.tile(np.arange(1.0, case.size**2 + 1) / case.size**2, (case.images * MAPS, 1))
    noise = np.random.default_rng(0).permuted(ranks, axis=1).reshape(case.images, MAPS, case.size, case.size)
    maps = torch.from_numpy(noise).float().to(device)
    mask = scenery.foreground.cpu().numpy().repeat(MAPS, 0)[:, None]
    flat = noise.reshape(-1, 1, case.size, case.size)
    shown = np.zeros((len(flat), 3, case.size, case.size), np.float32)
    # The border counts in Quantus, which knows two sides alone: here it is taken for background by both.
    whole = Scenery(scenery.luminance, scenery.foreground, ~scenery.foreground, scenery.ids)

    def ours() -> None:
        reference = Scenery(whole.luminance, whole.foreground, whole.background, whole.ids).on((case.size, case.size))
        found = measure(maps, reference, [METRICS.get(name) for name in SHARED])
        given["ours"] = {name: values.double().cpu().numpy().ravel() for name, values in found.items()}

    def theirs() -> None:
        given["theirs"] = {}
        for name, other in SHARED.items():
            metric = getattr(quantus, other)(disable_warnings=True, display_progressbar=False)
            found = metric(
                model=nn.Identity(),
                x_batch=shown,
                y_batch=np.ones(len(flat), int),
                a_batch=flat,
                s_batch=mask.astype(float),
            )
            values = np.asarray(found, dtype=float).ravel()
            given["theirs"][name] = values / math.log(case.size**2) if name == "spread" else values

    return {"ours": ours, "theirs": theirs}


def against_quantus(device: torch.device, case: Case = CASE, rounds: int = 3) -> Row:
    """Return what the metrics that Quantus has take over Quantus, on the same maps."""
    row = Row(
        case=f"{case.name}-metrics",
        label=f"Metrics: {case.images * MAPS} maps of {case.size} px",
        ours="segcam",
        theirs="Quantus",
        scope=f"{', '.join(SHARED)} of maps at the images' resolution",
    )
    if importlib.util.find_spec("quantus") is None:
        return replace(row, note=f"not installed: {INSTALL}")
    works = sides(case, device, {})
    seconds = in_turns(works, dict.fromkeys(works, rounds), device)
    found = {name: tuple(values) for name, values in seconds.items()}
    return replace(
        row, ours_values=found["ours"], theirs_values=found["theirs"], ratio=ratio(found["ours"], found["theirs"])
    )


def rows(device: torch.device) -> list[Row]:
    """Return both comparisons, as `run timing` writes them."""
    return [over_passes(device), against_quantus(device)]
