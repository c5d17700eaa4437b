"""The maps of claims scored otherwise: laid over the images the other way, and with the masks' border counted.

A claim's verdict should not hang on such a choice; its specification curve shows whether it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from analyses.paper.claims.registration import registered
from analyses.reading.choices import claimed
from analyses.reading.variants import LEFT_OUT, RECEPTIVE_FIELD, SPECIFICATIONS, STRETCHED, Variant
from bench.measurements.material.columns import joined
from bench.measurements.material.made_maps import control_maps, gradient_maps
from bench.measurements.material.portions import portions
from bench.measurements.material.rows import Rows
from bench.measurements.material.selection import methods_called, of_first_point
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement, numbered
from bench.planning.plan import score_settings
from bench.planning.profile import Profile
from bench.planning.request import Request
from bench.planning.sections import MOST, Count, Settings
from segcam.classes import IGNORE
from segcam.methods import METHODS
from segcam.probe.placement import Placing
from segcam.probe.probe import Capture
from segcam.samples import Batch, Border, with_border
from segcam.scoring.reference import Scenery

SECTION = SPECIFICATIONS
OTHER: dict[Placing, Placing] = {STRETCHED: RECEPTIVE_FIELD, RECEPTIVE_FIELD: STRETCHED}
COUNTED: tuple[Border, ...] = ("pet", "background")
LOOKED_AT = 16
"""Masks that tell whether a data set's have a border at all."""


class Specifications(Settings):
    """Scores of `images` of the test images (0 for none) by choices that the registration could as well have made.

    Grids are laid over the images the other way than `score.placement` says; and where masks have a border, it counts
    as the object, and as background. Only maps that claims are about are scored, of the first of the targets and of the
    points; a cell has `shard` images.
    """

    images: Annotated[int, Field(ge=0, le=MOST)] = 0
    shard: Count = 100


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> list[CellPlan]:
    """Plan all test images, or as many as are wanted, for checkpoints of networks that claims are about."""
    section: Specifications = profile.section(SECTION)
    names, metrics = _asked(profile)
    about = registered().layers(claimed(checkpoint.train.model))
    if not (section.images and about and metrics and any(METHODS.get(name).gradient is not None for name in names)):
        return []
    defined = score_settings(profile.score, names)
    settings = {key: defined[key] for key in ("class_id", "placement", "methods", "parameters")}
    settings |= {"points": profile.score.points[:1], "targets": profile.score.targets[:1], "metrics": metrics}
    return numbered(data.tested(section.images), section.shard, settings | {"layers": sorted(about)})


def run(job: MeasureJob) -> dict[str, Columns]:
    """Score the cell's images, a row a map and variant: the columns of `scores`, `placement` and `border`."""
    request = _request(job)
    own: Placing = request.placement
    variants = [Variant(own, border) for border in _borders(job)]
    tables: list[Columns] = []

    def scored(rows: Sequence[int]) -> list[Columns]:
        batch = Batch.of([job.data.test[i] for i in rows], job.device)
        return [
            *_scored(job, request, batch, variants),
            *_scored(job, replace(request, placement=OTHER[own]), batch, [Variant(OTHER[own])]),
        ]

    for rows in portions(job.cell.rows, job.profile.score, job.model, scored):
        tables += scored(rows)
        job.advance(len(rows), "")
    return {SECTION: joined(tables)}


def _asked(profile: Profile) -> tuple[list[str], list[str]]:
    """Return the methods and metrics of a profile that claims compare, try or refer to."""
    registration, score = registered(), profile.score
    names = [name for name in score.methods if name in registration.methods]
    shared = [name for name in names if not METHODS.get(name).own_passes]
    return shared, [name for name in score.metrics if name in registration.metrics]


def _request(job: MeasureJob) -> Request:
    """Return what is asked: the maps that claims are about, of the first target and point alone."""
    names, metrics = _asked(job.profile)
    about = registered().layers(claimed(job.cell.train.model))
    return replace(
        job.request,
        targets=job.request.targets[:1],
        layers=tuple(layer for layer in of_first_point(job.request.layers) if layer.label in about),
        methods=tuple(methods_called(names, job.request.methods)),
        metrics=tuple(metric for metric in job.request.metrics if metric.name in metrics),
        places=(),
    )


def _borders(job: MeasureJob) -> list[Border]:
    """Return what else the border can count as; nothing where the masks have none."""
    if not job.data.opened.info.masked:
        return []
    few = Batch.of([job.data.test[i] for i in range(min(LOOKED_AT, len(job.data.test)))])
    inside = few.masks == IGNORE if few.valid is None else (few.masks == IGNORE) & few.valid
    if not bool(inside.any()):
        return []
    several = not isinstance(job.profile.score.explained, int)  # pixels of a border cannot be several classes at once
    return [border for border in COUNTED if not (several and border == "pet")]


def _scored(job: MeasureJob, request: Request, batch: Batch, variants: Sequence[Variant]) -> Iterator[Columns]:
    """Yield the rows of a batch, variant by variant; its masks' border counts for no choice of pixels to explain."""
    if not variants:
        return
    explained, precision = job.profile.score.explained, job.profile.score.precision
    probe = request.probe(job.model, precision=precision)
    captures: Sequence[Capture] = probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)
    for variant in variants:
        masks = batch.masks
        if variant.border != LEFT_OUT:
            masks = with_border(masks, variant.border, explained, batch.valid)  # type: ignore[arg-type]
        scenery = Scenery.of(replace(batch, masks=masks), explained)
        rows = Rows(scenery, captures, request.layers, request.methods, request.metrics, counter=False)
        rows.fill(control_maps(request, scenery, captures[0]))
        rows.fill(one for of_layer in gradient_maps(request, captures) for one in of_layer)
        columns = rows.columns()
        count = len(columns["image"])
        yield columns | {"placement": np.full(count, variant.placement), "border": np.full(count, variant.border)}


MEASUREMENT = MEASUREMENTS.add(Measurement(SECTION, run, plan, settings=Specifications, cost=0.4))
