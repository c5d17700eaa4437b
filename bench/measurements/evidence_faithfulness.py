"""Faithfulness of maps where the evidence is known: does it rank methods as the evidence does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.made_maps import MadeMaps, gradient_maps
from bench.measurements.material.scene_batch import ANIMAL, SceneBatch
from bench.measurements.material.selection import layers_like
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement, numbered
from bench.planning.profile import Profile
from bench.planning.sections import FewImages, distinct
from segcam.checks.faithfulness import Subjects, Subsets, curves, infidelity, order, sensitivity_n
from segcam.checks.faithfulness.curves import Kind
from segcam.datasets.scenes_cues import CueSplit

AREAS: dict[str, tuple[Kind, bool]] = {
    "deletion": ("deletion", False),
    "insertion": ("insertion", False),
    "context_deletion": ("deletion", True),
    "context_insertion": ("insertion", True),
}
"""Areas under curves: their kind, and whether the predicted animal stays."""


class EvidenceFaithfulness(FewImages):
    """Faithfulness of gradient methods' maps on the first `images` scenes (0 for none); of eight each has other traits.

    The first target of the section score is explained. `layers` are labels or patterns of them; all without any.
    Curves have `steps` points beside the first, and pixels that go become the blurred image's. `samples` sets of tiles
    are taken away for each of four shares, for infidelity and sensitivity-n.
    """

    layers: tuple[str, ...] = ()
    steps: Annotated[int, Field(ge=2, le=1000)] = 5
    samples: Annotated[int, Field(ge=3, le=10**4)] = 25

    _once = field_validator("layers")(distinct)


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> Sequence[CellPlan]:
    """Plan the first scenes."""
    section: EvidenceFaithfulness = profile.section("evidence_faithfulness")
    count = min(section.images, len(data.test))
    if not count or not checkpoint.among(section.levels, section.training_seeds):
        return ()
    settings = section.model_dump(mode="json", exclude=set(FewImages.model_fields))
    score = profile.score.model_dump(mode="json", include={"targets", "methods", "points", "parameters"})
    return numbered(range(count), section.batch_size, [settings, score])


def run(job: MeasureJob) -> dict[str, Columns]:
    """Score maps as the predicted animal, or what lies beside it, fades.

    Returns:
        `evidence_faithfulness`, a row a scene, layer, method and measure: areas under curves of the class's mean
        probability over the predicted animal, infidelity and sensitivity-n; NaN where it is predicted nowhere.
    """
    section: EvidenceFaithfulness = job.profile.section("evidence_faithfulness")
    images = job.data.test
    assert isinstance(images, CueSplit)  # the data set is one of the stage's own
    scenes = SceneBatch.of(images, job.cell.rows, job.device)
    request = replace(
        job.request,
        layers=tuple(layers_like(section.layers, job.request.layers)) or job.request.layers,
        methods=tuple(method for method in job.request.methods if method.kind == "gradient"),
        targets=tuple(scenes.targets(job.request.targets)[:1]),
    )
    inputs, animal = scenes.batch.inputs(), scenes.regions[ANIMAL]
    (capture,) = request.probe(job.model).many(inputs, request.targets, masks=scenes.batch.masks)
    made = list(chain.from_iterable(gradient_maps(request, [capture])))
    sides = (animal.foreground, animal.background)
    subjects = Subjects.of(job.model, inputs, scenes.classes, sides, scenes.batch.ids, capture.target)
    labels = {
        "target": capture.target.name,
        "layer": [request.layers[one.layers[0]].label for one in made for _ in one.methods],
        "method": [request.methods[m].name for one in made for m in one.methods],
    }
    tables = []
    for measure, scores in _scores(subjects, made, section).items():
        defined = scores.masked_fill(subjects.empty[:, None], torch.nan)
        tables.append(map_rows(scenes.batch.ids, labels | {"measure": measure}, {"value": defined}))
    columns = joined(tables)
    rows = dict(zip(scenes.batch.ids, scenes.rows, strict=True))
    columns["scene"] = np.array([rows[image] for image in columns["image"]], np.int32)
    job.advance(len(rows), "")
    return {"evidence_faithfulness": {"cue": np.full(len(columns["image"]), images.cue)} | columns}


def _scores(
    subjects: Subjects, made: Sequence[MadeMaps], section: EvidenceFaithfulness
) -> dict[str, Float[Tensor, "b m"]]:
    """Return each measure of all maps, one after the other."""
    size = (int(subjects.chosen.shape[1]), int(subjects.chosen.shape[2]))
    orders = torch.cat([order(one.maps, subjects.ids, size, 0, one.placement) for one in made], 1)
    scores = {
        name: curves(subjects, orders, kind, context=context, steps=section.steps).area()
        for name, (kind, context) in AREAS.items()
    }
    subsets = Subsets.draw(subjects, samples=section.samples, tiles=min(16, *size))
    for name, measure in (("infidelity", infidelity), ("sensitivity_n", sensitivity_n)):
        scores[name] = torch.cat([measure(one.maps, subsets, one.placement) for one in made], 1)
    return scores


MEASUREMENT = MEASUREMENTS.add(
    Measurement("evidence_faithfulness", run, plan, settings=EvidenceFaithfulness, stage="evidence", cost=30.0)
)
