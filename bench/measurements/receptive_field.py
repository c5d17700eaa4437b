"""Effective receptive fields before and after attention: how wide the input is that cells answer to, in pixels.

Beside the trained network stands the same with all weights drawn anew: what its structure alone sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from bench.measurements.material.columns import map_rows
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement, numbered
from bench.planning.profile import Profile
from bench.planning.sections import FewImages
from segcam.checks.sanity import cascading, execution_order, randomised
from segcam.models import architecture
from segcam.probe.attention import no_attention

ROLES = ("before attention", "after attention")
"""Of the layers that are looked at."""


class ReceptiveField(FewImages):
    """At how many cells receptive fields are measured: `cells` along each axis of a layer's grid, spread evenly.

    Each is two passes back to the input, one of a network without training. Networks of segcam without attention are
    left out.
    """

    cells: Annotated[int, Field(ge=1, le=16)] = 2


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> Iterator[CellPlan]:
    """Plan a few images of networks with attention."""
    section: ReceptiveField = profile.section("receptive_field")
    model = checkpoint.train.model
    attends = model in profile.networks or architecture(model).attentions is not no_attention
    if attends and checkpoint.among(section.levels, section.training_seeds):
        rows, _ = data.choose(section.images)
        settings = section.model_dump(mode="json", exclude=set(FewImages.model_fields))
        yield from numbered(rows, section.batch_size, settings)


def run(job: MeasureJob) -> dict[str, Columns]:
    """Return `receptive_field`, a row an image, layer and cell; no table where the network has no such layer.

    `width` is of the checkpoint, `width_untrained` of the same network with new weights.
    """
    section: ReceptiveField = job.profile.section("receptive_field")
    layers = [layer for layer in job.request.layers if layer.role in ROLES]
    if not layers:
        return {}
    inputs = job.batch.inputs()
    weights = cascading(execution_order(job.model, inputs[:1]))[-1]
    untrained = randomised(job.model, weights, job.cell.train.seed)
    fields, bare = (
        job.request.probe(model, layers).receptive_fields(inputs, cells=section.cells)
        for model in (job.model, untrained)
    )
    pairs = [(layer, cell) for layer in layers for cell in range(fields[layer.label].shape[1])]
    labels = {
        "layer": [layer.label for layer, _ in pairs],
        "stage": np.array([layer.stage for layer, _ in pairs], np.int32),
        "depth": np.array([layer.depth for layer, _ in pairs], np.int32),
        "cell": np.array([cell for _, cell in pairs], np.int32),
    }
    widths = {
        name: torch.cat([of_layers[layer.label] for layer in layers], 1)
        for name, of_layers in (("width", fields), ("width_untrained", bare))
    }
    job.advance(len(job.batch.ids), "")
    return {"receptive_field": map_rows(job.batch.ids, labels, widths)}


MEASUREMENT = MEASUREMENTS.add(Measurement("receptive_field", run, plan, settings=ReceptiveField))
