"""Overlap of maps with the object at each threshold, on images to choose one on, and on others to judge it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from analyses.reading.thresholds import CHOOSE, OTSU, TABLE, TEST, column
from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.made_maps import MadeMaps, attention_maps, control_maps, gradient_maps
from bench.measurements.material.portions import portions
from bench.measurements.material.selection import narrowed, spread, targets_called, with_controls
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement, numbered
from bench.planning.plan import score_settings
from bench.planning.profile import Profile
from bench.planning.request import Request
from bench.planning.sections import MOST, Count, Seeds, Settings, distinct
from segcam.metrics import METRICS
from segcam.samples import Batch, Images
from segcam.scoring.overlap import THRESHOLDS, overlap_curve
from segcam.scoring.reference import Scenery

CONTROLS = ("uniform", "random", "sobel", "mask_oracle")
"""What maps are compared with; the last one is the ceiling of a grid, and 'uniform' marks all of the image."""
VALIDATION = "val"


class Thresholds(Settings):
    """How maps of `images` of the test images (0 for none), cut at `thresholds` of their maximum, overlap the object.

    As many validation images, evenly spread, are measured to choose a threshold on; where the data have none, every
    second of the test images is. Test images are chosen like those that figures show. Without `targets` the first of
    the section score is explained; without `methods` Grad-CAM is measured, or else the first gradient method, beside
    the controls. `levels` says whether every checkpoint is meant or that of each training's highest level,
    `training_seeds` of which training seeds: 'all', the 'first' or the lowest so many; a cell has `shard` images.
    """

    images: Annotated[int, Field(ge=0, le=MOST)] = 0
    levels: Literal["all", "highest"] = "highest"
    training_seeds: Seeds = "all"
    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    thresholds: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=2)] = THRESHOLDS
    shard: Count = 100

    _once = field_validator("targets", "methods", "thresholds")(distinct)


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> list[CellPlan]:
    """Plan the images that a threshold is chosen on, and those that it is judged on; none of data without masks."""
    section: Thresholds = profile.section(TABLE)
    methods = methods_of(section, profile)
    wanted = section.images and methods and data.opened.info.masked
    if not wanted or not checkpoint.among(section.levels, section.training_seeds):
        return []
    defined = score_settings(profile.score, methods)
    settings = {key: defined[key] for key in ("class_id", "points", "placement", "methods", "parameters")}
    settings |= {"targets": list(section.targets or profile.score.targets[:1]), "thresholds": section.thresholds}
    tested = list(data.tested(section.images))
    if VALIDATION in data.opened.splits:
        chosen, prefix = spread(len(data.val), section.images), f"{VALIDATION}-"
    else:
        chosen, tested, prefix = tested[1::2], tested[::2], f"{CHOOSE}-"
    return [
        *numbered(chosen, section.shard, settings, prefix),
        *numbered(tested, section.shard, settings, f"{TEST}-"),
    ]


def run(job: MeasureJob) -> dict[str, Columns]:
    """Return `thresholds`, a row a map: the IoU at each threshold, `iou_0.05` and so on, and at Otsu's, `otsu`."""
    request = _request(job)
    section: Thresholds = job.profile.section(TABLE)
    images: Images = job.data.val if job.cell.part.startswith(VALIDATION) else job.data.test
    split = TEST if job.cell.part.startswith(TEST) else CHOOSE
    probe = request.probe(job.model, precision=job.profile.score.precision, attention=True)

    def measured(rows: Sequence[int]) -> Columns:
        batch = Batch.of([images[i] for i in rows], job.device)
        captures = probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)
        scenery = Scenery.of(batch, job.profile.score.explained)
        gradient = chain.from_iterable(gradient_maps(request, captures))
        made = chain(control_maps(request, scenery, captures[0]), attention_maps(request, captures), gradient)
        return joined([rows for one in made for rows in _rows(request, scenery, one, section.thresholds)])

    tables = []
    for rows in portions(job.cell.rows, job.profile.score, job.model, measured):
        tables.append(measured(rows))
        job.advance(len(rows), "")
    columns = joined(tables)
    return {TABLE: {"split": np.full(len(columns["image"]), split)} | columns}


def _rows(request: Request, scenery: Scenery, made: MadeMaps, thresholds: Sequence[float]) -> Iterator[Columns]:
    """Yield the rows of maps; those of controls once for each target and layer that they stand for."""
    reference = scenery.on(made.grid, made.placement)
    positive = made.maps.relu()  # overlaps are of what speaks for the target
    curve = overlap_curve(positive, reference, thresholds).iou
    values = {OTSU: METRICS.get("iou").compute(positive, reference)}
    values |= {column(share): curve[..., t] for t, share in enumerate(thresholds)}
    methods = [request.methods[m].name for m in made.methods]
    for target in made.targets:
        for layer in made.layers:
            labels = {"target": request.targets[target].name, "layer": request.layers[layer].label, "method": methods}
            yield map_rows(scenery.ids, labels, values)


def methods_of(section: Thresholds, profile: Profile) -> list[str]:
    """Return the methods that are measured, controls behind them; see `with_controls`."""
    return with_controls(TABLE, section.methods, profile.score.methods, CONTROLS)


def _request(job: MeasureJob) -> Request:
    """Return what is asked: the section's targets and methods, the layers of the first point."""
    section: Thresholds = job.profile.section(TABLE)
    return replace(
        narrowed(job.request, methods_of(section, job.profile)),
        targets=targets_called(section.targets, job.request.targets[0]) or job.request.targets[:1],
    )


MEASUREMENT = MEASUREMENTS.add(Measurement(TABLE, run, plan, settings=Thresholds, cost=0.3))
