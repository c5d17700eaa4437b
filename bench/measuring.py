"""The scorings of a run: does what is left to do, checkpoint by checkpoint, and gathers what could not be done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from torch import nn

from analyses.reading.manifest import Manifest
from bench.measurements import Job, Study, faithfulness, sanity
from bench.measurements.kept_maps import gallery
from bench.measurements.own_passes import CostlyScorer
from bench.measurements.scores import KEYS, Scorer
from bench.planning import plan
from bench.planning.asked import Gap, Instruments
from bench.planning.cells import ScoreCell, StudyCell, TrainCell
from bench.progress import working
from bench.training.run import Trainings
from segcam.errors import InputError
from segcam.probe.layers import INPUT
from segcam.samples import Batch
from segcam.scoring.reference import Scenery

CODED = (*(key for key in KEYS if key not in ("level", "seed")), "other", "block", "training_data")
"""Columns of few values, which tables hold as codes."""


@dataclass
class Scorings:
    """The scorings of one run: every checkpoint with all methods.

    Attributes:
        trainings: what made the checkpoints; the run's profile, data and store are theirs.
        described: the manifest as it is before anything is run.
    """

    trainings: Trainings
    described: Manifest

    def cells(self) -> list[ScoreCell]:
        """List them.

        Raises:
            InputError: a training is not finished.
        """
        missing = [cell.name for cell in self.trainings.cells if not self.trainings.finished(cell)]
        if missing:
            raise InputError(
                f"nothing is trained for {', '.join(missing)} in {self.trainings.store.out}: run train (or all) first"
            )
        data = self.trainings.data
        attentive = [name for name, blocks in self.described.attention.blocks.items() if blocks]
        weights = self.trainings.weights()
        return plan.scoring(self.trainings.profile, weights, len(data.test), data.gallery, attentive, data.costly)

    def run(self, cells: Sequence[ScoreCell]) -> None:
        """Do those that are not done yet: first what shares its passes, on all images, then the rest.

        Raises:
            InputError: a checkpoint is not of the profile's network.
        """
        self._run("scoring", [cell for cell in cells if not cell.costly])
        self._run("methods with passes of their own", [cell for cell in cells if cell.costly])

    def keys(self, cell: TrainCell, level: int) -> dict[str, Any]:
        """Return the key columns that are the same in all of a checkpoint's rows."""
        info = self.trainings.data.opened.info
        return {
            "dataset": info.name,
            "model": cell.model,
            "level": level,
            "seed": cell.seed,
            "training_data": info.training_data,
        }

    def skipped(self) -> list[dict[str, Any]]:
        """Return every map that there is not, by model, layer, method and reason, with the number of cells.

        The layer is '' where a whole network is meant; no cell tells of methods that no image was set aside for.
        """
        store, score = self.trainings.store, self.trainings.profile.score
        found: Counter[tuple[str, str, str, str]] = Counter()
        for cell in self.cells():
            for gap in store.read_json(cell.record).get("skipped", []) if store.has(cell.record) else []:
                found[cell.train.model, gap["layer"], gap["method"], gap["reason"]] += 1
        if not score.costly_images:
            unasked = [name for name, method in self.described.methods.items() if method.costly]
            why = "it takes passes of its own, and score.costly_images is 0"
            found.update({(model, "", name, why): 0 for model in self.described.models for name in unasked})
        names = ("model", "layer", "method", "reason")
        return [{**dict(zip(names, key, strict=True)), "cells": count} for key, count in found.items()]

    def _run(self, name: str, cells: Sequence[ScoreCell]) -> None:
        """Do some cells, and show how far they are: in images, or in maps where each takes its time."""
        left = [cell for cell in cells if not self._finished(cell)]
        total, open_ = (sum(len(cell.rows) * self._steps(cell) for cell in some) for some in (cells, left))
        if not cells:
            return
        with working(self.trainings.console, name, total, total - open_) as task:
            for (train, level), group in groupby(left, key=lambda cell: (cell.train, cell.level)):
                score = self._scoring(train, self.trainings.network(train, level))
                for cell in group:
                    started, gaps = time.monotonic(), set[Gap]()

                    def advance(by: int, step: str = "", cell: ScoreCell = cell) -> None:
                        task.advance(by, f"{cell.name}: {step}" if step else cell.name)

                    score(cell, advance, gaps.add)
                    record = {"level": cell.level, "part": cell.part, "images": len(cell.rows)}
                    record |= {"skipped": [asdict(gap) for gap in sorted(gaps)]}
                    self.trainings.store.write_json(cell.record, record | {"seconds": time.monotonic() - started})

    def _finished(self, cell: ScoreCell) -> bool:
        return all(map(self.trainings.store.has, (cell.record, *cell.outputs)))

    def _steps(self, cell: ScoreCell) -> int:
        """Return what an image counts: one, or the maps of a costly method, were there no gaps."""
        if not cell.costly:
            return 1
        layers = sum(layer.role != INPUT.role for layer in self.described.layers[cell.train.model])
        methods = [method for method in self.described.methods.values() if method.costly]
        maps = sum(1 if method.scope == "input" else layers for method in methods)
        return maps * len(self.trainings.profile.score.costly())

    def _scoring(self, train: TrainCell, model: nn.Module) -> Callable[..., None]:
        """Return what scores one cell of a checkpoint: `(cell, advance, note) -> None`."""
        profile, data = self.trainings.profile, self.trainings.data
        tools = Instruments.of(profile.score, train.model, model)
        scorer = Scorer(model, tools, profile.score, data.opened.info.classes, profile.data.border)
        return partial(self._score, scorer, CostlyScorer(model, tools, profile.score))

    def _score(
        self,
        scorer: Scorer,
        costly: CostlyScorer,
        cell: ScoreCell,
        advance: Callable[..., None],
        note: Callable[[Gap], None],
    ) -> None:
        images, keys, store = self.trainings.data.test, self.keys(cell.train, cell.level), self.trainings.store
        if cell.part == "gallery":
            store.write(cell.outputs[0], gallery(scorer, images, cell.rows))
            advance(len(cell.rows))
            return
        tables = (
            (costly.score(images, cell.rows, keys, advance, note),)
            if cell.costly
            else scorer.score(images, cell.rows, keys, advance, note)
        )
        for name, columns in zip(cell.outputs, tables, strict=True):
            store.write_table(name, columns, keys=CODED)


STUDIES: dict[str, Study] = {study.name: study for study in (faithfulness.STUDY, sanity.STUDY)}


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
