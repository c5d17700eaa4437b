"""Scores of methods that take passes of their own, on a few images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from bench.measurements.material.columns import joined
from bench.measurements.material.own_maps import OwnPasses
from bench.measurements.material.portions import portions
from bench.measurements.material.rows import Rows
from bench.planning import plan as planning
from bench.planning.data import Data
from bench.planning.measurement import (
    MEASUREMENTS,
    Advance,
    CellPlan,
    Checkpoint,
    Columns,
    MeasureJob,
    Measurement,
    numbered,
    quiet,
)
from bench.planning.profile import Profile
from bench.planning.request import Gap, Request, methods_of
from bench.planning.sections import Score
from segcam.samples import Batch, Images
from segcam.scoring.reference import Scenery

IMAGES = 2
"""Images in a cell: some methods take half a minute for one, and little is to be lost where a run is interrupted."""


def score(
    model: nn.Module,
    request: Request,
    settings: Score,
    images: Images,
    rows: Sequence[int],
    advance: Advance = quiet,
    note: Callable[[Gap], None] = quiet,
) -> Columns:
    """Score images and return the columns of a table with a row a map.

    Args:
        model: the network, on its device.
        request: what is asked.
        settings: the profile's section.
        images: the split.
        rows: which of them.
        advance: told of each method and layer before it is begun, and of the maps that are done.
        note: told of every map that there is not.
    """
    passes = OwnPasses(model, request, settings.max_memory)

    def scored(few: Sequence[int], advance: Advance = quiet, note: Callable[[Gap], None] = quiet) -> Columns:
        batch = Batch.of([images[i] for i in few], passes.device)
        scenery = Scenery.of(batch, settings.explained)
        captures = passes.probe.many(batch.inputs(), request.own_pass_targets, masks=batch.masks, valid=batch.valid)
        table = Rows(scenery, captures, passes.layers, passes.methods, request.metrics, counter=settings.counter)
        table.fill(passes.maps(batch, scenery, captures, advance, note))
        return table.columns()

    return joined([scored(few, advance, note) for few in portions(rows, settings, model, scored)])


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> list[CellPlan]:
    """Plan a few images a cell, for the checkpoints that are asked for."""
    settings = profile.score
    methods = methods_of(settings)
    running = [method for method in methods if method.own_passes]
    if not running or not checkpoint.among(settings.own_pass_levels, settings.own_pass_seeds):
        return []
    beside = any(method.scope == "input" for method in running) and not any(method.fuses for method in methods)
    controls = [method for method in methods if method.control is not None and beside]
    definition = planning.score_settings(settings, [method.name for method in (*running, *controls)])
    definition = {key: definition[key] for key in ("class_id", "metrics", "points", "counter", "methods", "parameters")}
    rows, _ = data.choose(settings.own_pass_images)
    return numbered(rows, IMAGES, definition | {"targets": settings.own_targets()}, prefix="own-pass-")


def run(job: MeasureJob) -> dict[str, Columns]:
    """Score the cell's images."""
    return {
        "scores": score(job.model, job.request, job.profile.score, job.data.test, job.cell.rows, job.advance, job.note)
    }


MEASUREMENT = MEASUREMENTS.add(
    Measurement("own_passes", run, plan, steps=lambda request: request.own_pass_maps, cost=40.0)
)
