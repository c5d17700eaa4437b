"""The studies of a run: plans them, does what is left to do, and says what was done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from bench import faithful, plan, sanity_study
from bench.cells import StudyCell
from bench.instruments import Instruments
from bench.progress import working
from bench.scorings import CODED, Scorings
from bench.studies import Job, Study
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

STUDIES: dict[str, Study] = {study.name: study for study in (faithful.STUDY, sanity_study.STUDY)}


@dataclass
class Studies:
    """The studies of one run.

    Attributes:
        scorings: the run's scorings, whose trainings made the checkpoints.
    """

    scorings: Scorings

    def cells(self) -> list[StudyCell]:
        """List them; none of studies that the profile asks no image for."""
        trainings, found = self.scorings.trainings, list[StudyCell]()
        weights = trainings.weights()
        for study in STUDIES.values():
            rows, _ = trainings.data.chosen(study.settings(trainings.profile).images)
            found += plan.studies(trainings.profile, weights, study.name, study.tables, rows)
        return found

    def described(self) -> dict[str, Any]:
        """Return what the manifest says: for each study that is asked for its images and how they were chosen."""
        trainings, found = self.scorings.trainings, dict[str, Any]()
        for study in STUDIES.values():
            rows, rule = trainings.data.chosen(study.settings(trainings.profile).images)
            if rows:
                found[study.name] = {"rule": rule, "ids": [trainings.data.test[i].id for i in rows]}
        return found

    def run(self, cells: Sequence[StudyCell]) -> None:
        """Do those that are not done yet."""
        for name, own in groupby(cells, key=lambda cell: cell.study):
            self._run(STUDIES[name], list(own))

    def _run(self, study: Study, cells: Sequence[StudyCell]) -> None:
        trainings = self.scorings.trainings
        left = [cell for cell in cells if not all(map(trainings.store.has, (cell.record, *cell.outputs)))]
        total, open_ = (sum(len(cell.rows) for cell in some) for some in (cells, left))
        with working(trainings.console, study.name, total, total - open_) as task:
            for (train, level), group in groupby(left, key=lambda cell: (cell.train, cell.level)):
                model = trainings.network(train, level)
                tools = Instruments.of(trainings.profile.score, train.model, model)
                for cell in group:
                    started = time.monotonic()
                    batch = Batch.of([trainings.data.test[i] for i in cell.rows], trainings.device)
                    scenery = Scenery.of(batch, trainings.profile.score.class_id)
                    job = Job(trainings.profile, train, level, model, tools, batch, scenery, trainings.data)

                    def advance(by: int, step: str, cell: StudyCell = cell) -> None:
                        task.advance(by, f"{cell.name}: {step}" if step else cell.name)

                    for output, columns in zip(cell.outputs, study.run(job, advance), strict=True):
                        rows = len(next(iter(columns.values()), ()))
                        keys = {key: np.full(rows, v) for key, v in self.scorings.keys(train, level).items()}
                        coded = [name for name, values in columns.items() if np.asarray(values).dtype.kind in "UO"]
                        trainings.store.write_table(output, keys | columns, keys=(*CODED, *coded))
                    record = {"level": level, "part": cell.number, "images": len(cell.rows)}
                    trainings.store.write_json(cell.record, record | {"seconds": time.monotonic() - started})
