"""Each training's highest level on the test images at other sizes than it was trained at: confusion counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator

from bench.measurements.material.columns import counted
from bench.networks.predictions import classifier
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, CellPlan, Checkpoint, Columns, MeasureJob, Measurement
from bench.planning.profile import Profile
from bench.planning.sections import Settings, distinct
from segcam.errors import InputError


class Resolution(Settings):
    """At which multiples of the training size each network is tested, at its highest level; none by default."""

    factors: tuple[Annotated[float, Field(gt=0, le=8)], ...] = ()

    _once = field_validator("factors")(distinct)


def sizes(profile: Profile) -> dict[float, int]:
    """Return the size in pixels of each factor.

    Raises:
        InputError: two are the same.
    """
    factors = profile.section("resolution").factors
    sides = [max(1, round(factor * profile.data.size)) for factor in factors]
    if twice := [f"{factor:g}" for factor, side in zip(factors, sides, strict=True) if sides.count(side) > 1]:
        raise InputError(f"key 'resolution.factors': {' and '.join(twice)} give the same size")
    return dict(zip(factors, sides, strict=True))


def plan(profile: Profile, data: Data, checkpoint: Checkpoint) -> Iterator[CellPlan]:
    """Yield a cell a size."""
    for factor, side in sizes(profile).items() if checkpoint.highest and data.opened.info.masked else ():
        yield CellPlan(f"{side}px", tuple(range(len(data.test))), [factor, side])


def run(job: MeasureJob) -> dict[str, Columns]:
    """Return a row an image."""
    factor, side = next(item for item in sizes(job.profile).items() if f"{item[1]}px" == job.cell.part)
    columns = counted(
        job.model,
        job.data.test_at(side),
        job.data.opened.info.classes,
        job.profile.data.border,
        job.profile.score.explained,
        lambda images: job.advance(images, ""),
        classifier(job.model, job.request) if job.cell.train.model in job.profile.networks else None,
    )
    rows = len(columns["image"])
    return {"resolution": {"factor": np.full(rows, factor), "size": np.full(rows, side)} | columns}


MEASUREMENT = MEASUREMENTS.add(
    Measurement(
        "resolution", run, plan, settings=Resolution, sizes=lambda profile: tuple(sizes(profile).values()), cost=0.05
    )
)
