"""The measurements of a run: does what is left to do, checkpoint by checkpoint, and gathers what could not be done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from analyses.reading.files import LOG, SCORES
from bench.output.store import Store
from bench.planning import plan
from bench.planning.cells import MeasureCell
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.request import Gap, Request, methods_of
from bench.progress import Task, working
from bench.training.run import Trainings
from segcam.errors import InputError
from segcam.models import create


@dataclass
class Measuring:
    """The measurements of one run.

    Attributes:
        trainings: what made the checkpoints; the run's profile and data are theirs.
        store: where tables and records go.
        stage: which measurements are done.
        prefix: what the names of the files begin with, where several runs share the store.
    """

    trainings: Trainings
    store: Store
    stage: str = "score"
    prefix: str = ""

    @property
    def measurements(self) -> list[Measurement]:
        """The stage's measurements, in the order in which they are done."""
        measurements = [measurement for measurement in MEASUREMENTS if measurement.stage == self.stage]
        return sorted(measurements, key=lambda measurement: measurement.turn)

    def cells(self) -> list[MeasureCell]:
        """List the cells.

        Raises:
            InputError: a training is not finished.
        """
        trainings = self.trainings
        missing = [cell.name for cell in trainings.cells if not trainings.finished(cell)]
        if missing:
            raise InputError(
                f"nothing is trained for {', '.join(missing)} in {trainings.store.out}: run train (or all) first"
            )
        weights = trainings.weights()
        return plan.measuring(trainings.profile, trainings.data, weights, self.measurements, self.prefix)

    def run(self) -> None:
        """Remove what other settings left, and do what is not done yet.

        Raises:
            InputError: a training is missing, or a checkpoint is not of the profile's network.
        """
        cells = self.cells()
        self._clear(cells)
        for name, group in groupby(cells, key=lambda cell: cell.measurement):
            self._run(MEASUREMENTS.get(name), list(group))

    def finished(self, cell: MeasureCell) -> bool:
        """Return whether a cell's record and all files that it made are there."""
        return self.store.has(cell.record) and all(map(self.store.has, self.store.read_json(cell.record)["files"]))

    def records(self) -> list[tuple[MeasureCell, dict[str, Any]]]:
        """Return the finished cells, each with its record."""
        return [(cell, self.store.read_json(cell.record)) for cell in self.cells() if self.store.has(cell.record)]

    def few_images(self) -> dict[str, Any]:
        """Return what the manifest says: for each measurement of a few images which, and how they were chosen."""
        data = self.trainings.data
        images = {m.name: m.images(self.trainings.profile, data) for m in self.measurements}
        return {
            name: {"rule": rule, "ids": [data.test[i].id for i in rows]}
            for name, (rows, rule) in images.items()
            if rows
        }

    def skipped(self) -> list[dict[str, Any]]:
        """Return every map that there is not, by model, layer, method and reason, with the number of cells.

        The layer is '' where a whole network is meant; no cell tells of methods that no image was set aside for.
        """
        counts: Counter[tuple[str, str, str, str]] = Counter()
        for cell, record in self.records():
            for gap in record["skipped"]:
                counts[cell.train.model, gap["layer"], gap["method"], gap["reason"]] += 1
        profile = self.trainings.profile
        if not profile.score.own_pass_images:
            methods = [method.name for method in methods_of(profile.score) if method.own_passes]
            why = "it takes passes of its own, and score.own_pass_images is 0"
            counts.update({(model, "", name, why): 0 for model in profile.models for name in methods})
        names = ("model", "layer", "method", "reason")
        return [{**dict(zip(names, key, strict=True)), "cells": count} for key, count in counts.items()]

    def _clear(self, cells: Sequence[MeasureCell]) -> None:
        """Remove what other settings left: its rows would stand twice, or its record for rows that are gone."""
        records = {cell.record for cell in cells if self.finished(cell)}
        files = {LOG, *(name for record in records for name in self.store.read_json(record)["files"])}
        for name in self.store.names("cells"):  # records first, since new tables may have the old names
            kind, _, rest = Path(name).name.partition("-")
            if kind != "train" and rest.startswith(self.prefix) and name not in records:
                self.store.remove(name)
        for name in self.store.below(SCORES):
            if Path(name).name.startswith(self.prefix) and name not in files:
                self.store.remove(name)

    def _run(self, measurement: Measurement, cells: Sequence[MeasureCell]) -> None:
        left = [cell for cell in cells if not self.finished(cell)]
        steps = {name: self._steps(measurement, name) for name in {cell.train.model for cell in cells}}
        total, to_do = (sum(len(cell.rows) * steps[cell.train.model] for cell in group) for group in (cells, left))
        name = self.prefix.replace("-", " ") + measurement.name.replace("_", " ")
        with working(self.trainings.console, name, total, total - to_do) as task:
            for (train, level), group in groupby(left, key=lambda cell: (cell.train, cell.level)):
                model = self.trainings.network(train, level)
                request = Request.of(self.trainings.profile.score, train.model, model)
                for cell in group:
                    self.measure(measurement, cell, model, request, task)

    def _steps(self, measurement: Measurement, name: str) -> int:
        """Return what an image of a model counts in the progress."""
        if measurement.steps is None:
            return 1
        profile, classes = self.trainings.profile, len(self.trainings.data.opened.info.classes)
        network = create(name, classes, plan.parameters(profile, name), pretrained=False)
        return measurement.steps(Request.of(profile.score, name, network))

    def measure(
        self, measurement: Measurement, cell: MeasureCell, model: nn.Module, request: Request, task: Task
    ) -> None:
        """Do one cell: write its tables, then the record that says that it is done."""
        started, gaps, files = time.monotonic(), set[Gap](), list[str]()

        def advance(steps: int, text: str) -> None:
            task.advance(steps, f"{cell.name}: {text}" if text else cell.name)

        job = MeasureJob(self.trainings.profile, self.trainings.data, cell, model, request, advance, gaps.add)
        for table, made in measurement.run(job).items():
            if isinstance(made, bytes):
                files.append(cell.file(table, "npz"))
                self.store.write(files[-1], made)
            else:
                files.append(cell.file(table))
                columns = self._keyed(cell, made)
                text = [name for name, values in columns.items() if np.asarray(values).dtype.kind in "UO"]
                self.store.write_table(files[-1], columns, keys=text)
        record = {"level": cell.level, "part": cell.part, "images": len(cell.rows), "files": files}
        record |= {"skipped": [asdict(gap) for gap in sorted(gaps)], "seconds": time.monotonic() - started}
        self.store.write_json(cell.record, record)

    def _keyed(self, cell: MeasureCell, columns: Columns) -> Columns:
        """Put the columns that are the same in all rows before a table."""
        info = self.trainings.data.opened.info
        keys = {
            "dataset": info.name,
            "model": cell.train.model,
            "level": cell.level,
            "seed": cell.train.seed,
            "training_data": info.training_data,
        }
        rows = len(next(iter(columns.values()), ()))
        return {name: np.full(rows, value) for name, value in keys.items()} | columns
