"""Planted attributions on known evidence: what each metric says of maps whose share on the evidence is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.planted_maps import PLANTS, STEPS, WIDEST, planted
from bench.measurements.material.scene_batch import SceneBatch
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement
from bench.planning.profile import Profile
from segcam.datasets.scenes_cues import CueSplit
from segcam.metrics import Metric, measure
from segcam.scoring.grids import Grid
from segcam.scoring.reference import Scenery

AT_ONCE = 16
"""Scenes that are measured together."""


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> Iterator[CellPlan]:
    """Yield all scenes, once: no network plays a part, but that its layers say which grids are of interest."""
    if checkpoint.highest and checkpoint.first:
        settings = [list(PLANTS), STEPS, WIDEST, profile.score.metrics, profile.score.points]
        yield CellPlan("", tuple(range(len(data.test))), settings)


def run(job: MeasureJob) -> dict[str, Columns]:
    """Return `planted`, a row a scene, plant, step and grid."""
    images = job.data.test
    assert isinstance(images, CueSplit)  # the data set is one of the stage's own
    grids = _grids(job, images)
    tables = []
    for first in range(0, len(job.cell.rows), AT_ONCE):
        rows = job.cell.rows[first : first + AT_ONCE]
        scenes = SceneBatch.of(images, rows, job.device)
        tables.append(measured(scenes.regions[images.cue], rows, grids, job.request.metrics))
        job.advance(len(rows), "")
    columns = joined(tables)
    return {"planted": {"cue": np.full(len(columns["image"]), images.cue)} | columns}


def measured(scenery: Scenery, rows: Sequence[int], grids: Sequence[Grid], metrics: Sequence[Metric]) -> Columns:
    """Measure planted maps against the evidence, brought to grids as area means.

    Args:
        scenery: scenes with the evidence as their foreground.
        rows: their indices in the split.
        grids: rows and columns of the layers.
        metrics: of maps.

    Returns:
        A row a scene, plant, step and grid: `cell`, the side of a cell in pixels; `share`, that of the map's energy
        which lies on the evidence before it is brought to the grid; and the metrics.
    """
    fields, shares = planted(scenery.foreground.cpu().numpy(), scenery.ids, scenery.seed)
    stacked = torch.from_numpy(np.concatenate(list(fields.values()), axis=1)).to(scenery.luminance)
    share = torch.from_numpy(np.concatenate(list(shares), axis=1))
    count = stacked.shape[1]
    tables = []
    for grid in grids:
        reference = scenery.on(grid)
        maps = torch.stack([reference.pool(fields_of_step) for fields_of_step in stacked.unbind(1)], 1)
        values: dict[str, Tensor] = {"share": share} | measure(maps, reference, metrics)
        labels = {
            "plant": np.repeat(list(PLANTS), STEPS),
            "step": np.tile(np.arange(STEPS, dtype=np.int32), len(PLANTS)),
            "cell": np.full(count, scenery.size[0] // grid[0], np.int32),
        }
        tables.append(map_rows(scenery.ids, labels, values) | {"scene": np.repeat(np.asarray(rows, np.int32), count)})
    return joined(tables)


def _grids(job: MeasureJob, images: CueSplit) -> list[Grid]:
    """Return the grids of the network's layers, the finest first."""
    probe = job.request.probe(job.model)
    scenes = SceneBatch.of(images, job.cell.rows[:1], job.device)
    capture = probe(scenes.batch.inputs(), scenes.targets(job.request.targets)[0], masks=scenes.batch.masks)
    shapes = [activations.shape[-2:] for activations in capture.activations.values()]
    return sorted({(int(height), int(width)) for height, width in shapes}, reverse=True)


MEASUREMENT = MEASUREMENTS.add(Measurement("planted", run, plan, stage="evidence", cost=2.0))
