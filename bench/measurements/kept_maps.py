"""What is kept of the images that figures show: photographs, masks, and all maps that share the passes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analyses.reading.files import PIXELS
from bench.measurements.material.made_maps import (
    attention_maps,
    control_maps,
    gradient_maps,
    named,
    shared_probe,
)
from bench.measurements.material.portions import portions
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, Checkpoint, Job, Measurement, Part
from bench.planning.plan import score_settings, shared_methods
from bench.planning.profile import Profile
from segcam.probe.probe import Capture
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

Arrays = dict[str, NDArray[Any]]


def run(job: Job) -> dict[str, bytes]:
    """Return images, their masks and their maps as the bytes of an .npz file, maps as `target|method|layer`."""
    request, settings = job.request, job.profile.score
    probe = shared_probe(job.model, request, settings)

    def kept(rows: Sequence[int]) -> Arrays:
        batch = Batch.of([job.data.test[i] for i in rows], job.device)
        captures = probe.many(batch.inputs(), request.targets, masks=batch.masks)
        arrays: Arrays = {
            "ids": np.array(batch.ids),
            "images": batch.images.permute(0, 2, 3, 1).cpu().numpy(),
            "masks": batch.masks.cpu().numpy(),
        }
        arrays |= {f"{PIXELS}{capture.target.name}": _pixels(capture) for capture in captures}
        scenery = Scenery.of(batch, settings.class_id)
        layers = chain.from_iterable(gradient_maps(request, captures, {}, lambda _: None))
        for made in chain(control_maps(request, scenery, captures[0]), attention_maps(request, captures), layers):
            arrays |= dict(named(request, made))
        return arrays

    tables = [kept(rows) for rows in portions(job.cell.rows, settings, job.model, kept)]
    buffer = io.BytesIO()
    joined: dict[str, Any] = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    np.savez_compressed(buffer, **joined)
    job.advance(len(job.cell.rows), "")
    return {"gallery": buffer.getvalue()}


def _pixels(capture: Capture) -> NDArray[Any]:
    """Return row and column of each image's explained pixel, -1 where there is not just one."""
    chosen = capture.explained.chosen
    at = chosen.flatten(1).float().argmax(1)
    places = torch.stack([at // chosen.shape[2], at % chosen.shape[2]], 1)
    return places.masked_fill((capture.target_pixels != 1)[:, None], -1).cpu().numpy()


def plan(profile: Profile, data: Data, _: Checkpoint) -> Iterator[Part]:
    """Yield one cell, of the images that figures show."""
    settings = score_settings(profile.score, shared_methods(profile.score))
    yield Part("", data.gallery, settings)


MEASUREMENT = MEASUREMENTS.add(Measurement("kept_maps", run, plan))
