"""What is kept of the images that figures show: photographs, masks, predictions, and all maps that share the passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from analyses.reading.files import NEGATIVE, PIXELS, PREDICTED
from bench.measurements.material.columns import joined
from bench.measurements.material.kept import Arrays, image_arrays, map_arrays, npz
from bench.measurements.material.made_maps import (
    SIGN_BALANCE,
    MadeMaps,
    attention_maps,
    control_maps,
    gradient_maps,
)
from bench.measurements.material.portions import portions
from bench.networks.predictions import class_maps
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, MeasureJob, Measurement
from bench.planning.plan import score_settings, shared_methods
from bench.planning.profile import Profile
from bench.planning.request import Request
from segcam.probe.probe import Capture
from segcam.samples import Batch, Sample
from segcam.scoring.reference import Scenery


def run(job: MeasureJob) -> dict[str, bytes]:
    """Return images, their masks, predictions and maps as the bytes of an .npz file, maps as `target|method|layer`.

    Free photographs are the last images. They have no mask, and no maps of controls that look at it: these are NaN.
    """
    request, settings = job.request, job.profile.score
    probe = request.probe(job.model, precision=settings.precision, attention=True)

    def arrays_of(samples: Sequence[Sample]) -> Arrays:
        batch = Batch.of(samples, job.device)
        captures = probe.many(batch.inputs(), request.targets, masks=batch.masks, valid=batch.valid)
        arrays = image_arrays(batch) | {f"{PIXELS}{capture.target.name}": _pixels(capture) for capture in captures}
        arrays[PREDICTED] = class_maps(captures[0], request).to(torch.uint8).cpu().numpy()
        scenery = Scenery.of(batch, settings.explained)
        image_alone, attention = control_maps(request, scenery, captures[0]), attention_maps(request, captures)
        maps = [*chain(image_alone, attention, *gradient_maps(request, captures))]
        arrays[NEGATIVE] = _negative(request, batch.ids, maps)
        return arrays | map_arrays(request, maps, scenery.size)

    def of_rows(rows: Sequence[int]) -> Arrays:
        return arrays_of([job.data.test[i] for i in rows])

    tables = [of_rows(rows) for rows in portions(job.cell.rows, settings, job.model, of_rows)]
    tables += [_without_mask(arrays_of([sample]), request) for sample in job.data.free]
    job.advance(len(job.cell.rows), "")
    return {"gallery": npz(joined(tables))}


def _without_mask(arrays: Arrays, request: Request) -> Arrays:
    """Return the arrays of an image without mask, those of the controls that look at one being NaN."""
    blind = {f"|{method.name}|" for method in request.methods if method.masks}
    return {
        name: np.full_like(values, np.nan) if any(part in name for part in blind) else values
        for name, values in arrays.items()
    }


def _negative(request: Request, ids: Sequence[str], maps: Sequence[MadeMaps]) -> NDArray[np.str_]:
    """Name the maps that all speaks against before ReLU, as `image|target|method|layer`: they are blank for it."""
    names = [
        "|".join((ids[i], request.targets[made.targets[0]].name, method, request.layers[made.layers[0]].label))
        for made in maps
        if SIGN_BALANCE in made.numbers
        for i, balances in enumerate(made.numbers[SIGN_BALANCE].tolist())
        for method, balance in zip((request.methods[m].name for m in made.methods), balances, strict=True)
        if balance == 0
    ]
    return np.array(names, dtype=np.str_)


def _pixels(capture: Capture) -> NDArray[np.int64]:
    """Return row and column of each image's explained pixel, -1 where there is not just one."""
    pixels = capture.explained.chosen
    at = pixels.flatten(1).float().argmax(1)
    places = torch.stack([at // pixels.shape[2], at % pixels.shape[2]], 1)
    return places.masked_fill((capture.target_pixels != 1)[:, None], -1).cpu().numpy()


def plan(profile: Profile, data: Data, _: Checkpoint) -> Iterator[CellPlan]:
    """Yield one cell, of the images that figures show: test images, and photographs that are free."""
    settings = score_settings(profile.score, shared_methods(profile.score))
    if data.free:  # ids of cells of other data are as they were without them
        pictures = {sample.id: hashlib.sha256(sample.image.tobytes()).hexdigest() for sample in data.free}
        settings |= {"free": pictures}
    yield CellPlan("", data.gallery, settings)


MEASUREMENT = MEASUREMENTS.add(Measurement("kept_maps", run, plan, cost=1.3))
