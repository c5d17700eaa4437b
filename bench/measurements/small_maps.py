"""Small maps of all test images: the page opens them from its scatter of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator

from analyses.reading import small_maps
from analyses.reading.files import PREDICTED
from bench.measurements.material.columns import joined
from bench.measurements.material.kept import Arrays, image_arrays, map_arrays, npz
from bench.measurements.material.made_maps import gradient_maps
from bench.measurements.material.portions import portions
from bench.measurements.material.selection import methods_called, targets_called
from bench.networks.predictions import class_maps
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, MeasureJob, Measurement, numbered
from bench.planning.plan import score_settings
from bench.planning.profile import Profile
from bench.planning.request import Request
from bench.planning.sections import MOST, Count, Seeds, Settings, distinct
from segcam.errors import InputError
from segcam.methods import METHODS
from segcam.samples import Batch

SECTION = "small_maps"


class SmallMaps(Settings):
    """Small maps of `images` of the test images (0 for none), which the page opens from its scatter of scores.

    They are averaged to at most 32 cells a side. Without `methods` they are of Grad-CAM, or else of the first gradient
    method of the section score; without `targets` of its first target. `levels` says whether every checkpoint is meant
    or that of each training's highest level, `training_seeds` of which training seeds: 'all', the 'first' or the
    lowest so many; a file has those of `shard` images.
    """

    images: Annotated[int, Field(ge=0, le=MOST)] = 0
    levels: Literal["all", "highest"] = "all"
    training_seeds: Seeds = "first"
    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    shard: Count = 100

    _once = field_validator("targets", "methods")(distinct)


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> list[CellPlan]:
    """Plan all test images, or as many as are wanted, chosen like those that figures show."""
    section: SmallMaps = profile.section(SECTION)
    methods = methods_of(section, profile)
    if not section.images or not methods or not checkpoint.among(section.levels, section.training_seeds):
        return []
    defined = score_settings(profile.score, methods)
    keys = ("class_id", "points", "placement", "methods", "parameters")
    settings = {key: defined[key] for key in keys} | {"targets": list(section.targets or profile.score.targets[:1])}
    return numbered(data.tested(section.images), section.shard, settings)


def methods_of(section: SmallMaps, profile: Profile) -> list[str]:
    """Return the methods of which maps are kept; none where the section score has no gradient method.

    Raises:
        InputError: one that is named is no gradient method.
    """
    if wrong := [name for name in section.methods if METHODS.get(name).gradient is None]:
        raise InputError(f"small_maps.methods names {wrong[0]}, which is no gradient method: leave it out")
    gradient = [name for name in profile.score.methods if METHODS.get(name).gradient is not None]
    return list(section.methods) or (["grad_cam"] if "grad_cam" in gradient else gradient[:1])


def run(job: MeasureJob) -> dict[str, bytes]:
    """Return masks, predictions, photographs and maps as the bytes of an .npz file, maps as `target|method|layer`."""
    request = _request(job)
    probe = request.probe(job.model, precision=job.profile.score.precision)

    def arrays_of(rows: Sequence[int]) -> Arrays:
        batch = Batch.of([job.data.test[i] for i in rows], job.device)
        captures = probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)
        made = (one for of_layer in gradient_maps(request, captures) for one in of_layer)
        height, width = batch.masks.shape[1:]
        predicted = {PREDICTED: class_maps(captures[0], request).to(torch.uint8).cpu().numpy()}
        return image_arrays(batch) | predicted | _small(map_arrays(request, made, (height, width)))

    tables = []
    for rows in portions(job.cell.rows, job.profile.score, job.model, arrays_of):
        tables.append(arrays_of(rows))
        job.advance(len(rows), "")
    return {SECTION: npz(_packed(joined(tables)))}


def _request(job: MeasureJob) -> Request:
    """Return what is asked: the section's targets and methods alone."""
    section: SmallMaps = job.profile.section(SECTION)
    return replace(
        job.request,
        targets=targets_called(section.targets, job.request.targets[0]) or job.request.targets[:1],
        methods=tuple(methods_called(methods_of(section, job.profile), job.request.methods)),
        places=(),
    )


def _small(maps: Arrays) -> dict[str, Any]:
    """Return maps `(b, h, w)` as arrays of small ones, `(b,)`: they are small before the next images come."""
    small = {}
    for name, values in maps.items():
        small[name] = np.empty(len(values), dtype=object)
        small[name][:] = [small_maps.SmallMap.of(one) for one in values]
    return small


def _packed(arrays: Arrays) -> Arrays:
    """Return what the file holds of all images."""
    maps = {name: values.tolist() for name, values in arrays.items() if "|" in name}
    rest = {name: arrays[name] for name in ("ids", "masks", PREDICTED)}
    return rest | small_maps.arrays_of(maps, list(arrays["images"]))


MEASUREMENT = MEASUREMENTS.add(Measurement(SECTION, run, plan, settings=SmallMaps, cost=0.1))
