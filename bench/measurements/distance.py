"""How far: energy of maps and effect on the score in rings about the object's outline, in pixels of the image."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from bench.measurements.material.columns import joined, map_rows
from bench.measurements.material.regional import Regional, cells, layers_of, methods_of, targets_of
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from segcam.checks.distance import by_distance
from segcam.errors import InputError
from segcam.scoring.distances import EDGES, ring_edges

SECTION = "distance"
METHODS = ("grad_cam", "hires_cam", "layer_cam", "uniform", "random", "gaussian", "mask_oracle")
"""What is measured where nothing is said, as far as it is scored."""


class Distance(Regional):
    """How far maps and effects reach: rings about the outline, whose `edges` are in pixels from it, negative inside.

    The first and the last ring have no other end. `targets` are explained, all predicted pixels unless told otherwise.
    Without `methods` those of `METHODS` that are scored are measured. `layers` are labels or patterns of them
    ('Encoder 5_*'); a network with none of them, or where none is given, has all measured of the first of the score's
    points. `imputation` is what takes a removed ring's place: the picture's mean colour, a blur of it, or what its
    neighbours give.
    """

    edges: Annotated[tuple[float, ...], Field(min_length=1, max_length=100)] = EDGES

    @field_validator("edges", mode="before")
    @classmethod
    def _numbers(cls, values: object) -> object:
        """Take whole numbers, too."""
        if isinstance(values, (list, tuple)):
            return tuple(float(one) if type(one) is int else one for one in values)
        return values

    @field_validator("edges")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        try:
            return ring_edges(values)
        except InputError as error:
            raise ValueError(str(error)) from error


def run(job: MeasureJob) -> dict[str, Columns]:
    """Measure the maps and the score of the explained class by distance from its outline.

    Returns:
        `distance`, a row an image, target, layer, method and ring, with `energy` and `area`, the shares of the map and
        of the pixels; `distance_half`, a row an image, target, layer and method, with `half_distance`; and
        `distance_removal`, a row an image, target and ring, with the `score`, its `score_change` and `ring_pixels`.
        `inner` and `outer` are the ring's ends, NaN where it has none.
    """
    section: Distance = job.profile.section(SECTION)
    methods = methods_of(SECTION, section, METHODS, job.request.methods)
    layers = layers_of(section, job.request.layers)
    probe = job.request.probe(job.model, layers)
    inner, outer = (np.nan, *section.edges), (*section.edges, np.nan)
    rings = {
        "ring": np.arange(len(inner), dtype=np.int32),
        "inner": np.array(inner, np.float32),
        "outer": np.array(outer, np.float32),
    }
    maps, halves, removals = [], [], []
    for target in targets_of(section, job):
        job.advance(0, target.name)
        found = by_distance(
            probe,
            job.batch,
            target,
            methods,
            class_id=job.profile.score.explained,
            edges=section.edges,
            imputation=section.imputation,
            seed=job.scenery.seed,
        )
        ids = job.batch.ids
        scores = found.scores[:, None].expand_as(found.change)
        named = {"target": target.name, **rings, "imputation": section.imputation}
        numbers = {"ring_pixels": found.ring_pixels.int(), "score": scores, "score_change": found.change}
        removals.append(map_rows(ids, named, numbers))
        for layer, energy in found.energy.items():
            names = list(found.methods)
            of_layer = {"target": target.name, "layer": layer}
            halves.append(map_rows(ids, of_layer | {"method": names}, {"half_distance": found.half[layer]}))
            area = found.area[layer][:, None].expand_as(energy)
            repeated = {name: np.tile(column, len(names)) for name, column in rings.items()}
            keys = of_layer | {"method": np.repeat(names, len(inner)), **repeated}
            maps.append(map_rows(ids, keys, {"energy": energy.flatten(1), "area": area.flatten(1)}))
    job.advance(len(job.batch.ids), "")
    return {SECTION: joined(maps), "distance_half": joined(halves), "distance_removal": joined(removals)}


MEASUREMENT = MEASUREMENTS.add(Measurement(SECTION, run, partial(cells, SECTION, METHODS), settings=Distance, cost=0.7))
