"""The measurements of a run: does what is left to do, checkpoint by checkpoint, and gathers what could not be done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from torch import nn

from analyses.reading import manifest
from analyses.reading.files import LOG, SCORES, SLACK
from analyses.reading.manifest import File
from bench.checkpoints import Checkpoints
from bench.measurements.material.rows import BIAS
from bench.output.store import Store, digest, made_by, with_cell
from bench.planning import plan
from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS, Columns, MeasureJob, Measurement
from bench.planning.profile import Profile
from bench.planning.records import MeasureRecord
from bench.planning.request import Gap, Request, methods_of
from bench.planning.work import Perform, Place, Work
from bench.progress import Piece, Task, working
from segcam.errors import InputError, SegcamError
from segcam.metrics import METRICS


class Biased(NamedTuple):
    """How often a target's score was a bias alone, over the seeds and images of a model's level."""

    model: str
    level: int
    target: str
    blank: int
    images: int


class Loaded(NamedTuple):
    """A checkpoint at work: its network, what is asked of every image, and the images."""

    train: TrainCell
    level: int
    model: nn.Module
    request: Request
    data: Data


@dataclass
class Measuring:
    """The measurements of one run, for one class.

    Attributes:
        checkpoints: what is measured.
        store: where tables and records go.
        profile: what is asked.
        data: the images.
        place: which measurements are done, and where they go.
        prefix: what the names of the files begin with, where several runs or classes share the store.
        label: the class's name in tables, where the run explains several.
        perform: does cells in other processes, where several are left; None for one after the other in this one.
    """

    checkpoints: Checkpoints
    store: Store
    profile: Profile
    data: Data
    place: Place
    prefix: str = ""
    label: str = ""
    perform: Perform | None = None
    _loaded: Loaded | None = field(default=None, init=False, repr=False)

    @property
    def measurements(self) -> list[Measurement]:
        """The stage's measurements, in the order in which they are done."""
        measurements = [measurement for measurement in MEASUREMENTS if measurement.stage == self.place.stage]
        return sorted(measurements, key=lambda measurement: measurement.turn)

    def cells(self) -> list[MeasureCell]:
        """List the cells of the checkpoints that are there."""
        points = self.checkpoints
        weights = points.weights([cell for cell in points.cells if points.finished(cell)])
        return plan.measuring(self.profile, self.data, weights, self.measurements, self.prefix)

    def run(self, saved: Callable[[], None] = lambda: None) -> None:
        """Remove what other settings left, and do what is not done yet.

        Args:
            saved: called whenever a checkpoint's cells of one measurement are done.

        Raises:
            InputError: a training is missing, a checkpoint is not of the profile's network, or a file of the user's
                stands in the way.
        """
        self.check()
        cells = self.cells()
        self.clear(cells)
        for name, group in groupby(cells, key=lambda cell: cell.measurement):
            self._run(MEASUREMENTS.get(name), list(group), saved)
        self._loaded = None  # of many classes each would keep its own

    def check(self) -> None:
        """See that all checkpoints are there.

        Raises:
            InputError: a training is missing.
        """
        if missing := [cell.name for cell in self.checkpoints.missing()]:
            raise InputError(
                f"nothing is trained for {', '.join(missing)} in {self.store.out}: run train (or all) first"
            )

    def finished(self, cell: MeasureCell) -> bool:
        """Return whether a cell's record is there, and all files that it made are as they were written."""
        return self.store.has(cell.record) and all(
            self.store.intact(name, file) for name, file in self.record(cell).files.items()
        )

    def record(self, cell: MeasureCell) -> MeasureRecord:
        """Return a cell's record."""
        return self.store.read(MeasureRecord, cell.record)

    def records(self) -> list[tuple[MeasureCell, MeasureRecord]]:
        """Return the finished cells, each with its record."""
        return [(cell, self.record(cell)) for cell in self.cells() if self.finished(cell)]

    def outdated(self, cells: Sequence[MeasureCell], prefixes: Sequence[str]) -> dict[str, MeasureRecord]:
        """Return the records of finished cells that these settings do not have, and would be dropped, by name.

        Of trainings that are not finished none is told: which cells they have hangs on the weights that they give.

        Args:
            cells: all that these settings have.
            prefixes: what the names of cells begin with.
        """
        known = {cell.record for cell in cells}
        open_ones = tuple(f"{prefix}{cell.name}-l" for cell in self.checkpoints.missing() for prefix in prefixes)
        names = (
            name
            for name in self._records()
            if name not in known and not Path(name).name.partition("-")[2].startswith(open_ones)
        )
        return {name: self.store.read(MeasureRecord, name) for name in names}

    def _records(self) -> list[str]:
        """Return the names of all records of measurements here."""
        parts = ((name, *Path(name).name.partition("-")[::2]) for name in self.store.names("cells"))
        return [
            name
            for name, kind, rest in parts
            if kind != "train" and rest.startswith(self.prefix) and rest.endswith(".json")
        ]

    def few_images(self) -> dict[str, Any]:
        """Return what the manifest says: for each measurement of a few images which, and how they were chosen."""
        data = self.data
        images = {m.name: m.images(self.profile, data) for m in self.measurements}
        return {
            name: {"rule": rule, "ids": [data.test[i].id for i in rows]}
            for name, (rows, rule) in images.items()
            if rows
        }

    def skipped(self, records: Sequence[tuple[MeasureCell, MeasureRecord]]) -> list[dict[str, Any]]:
        """Return every map that there is not in some cells, by model, layer, method and reason, and how many they are.

        The layer is '' where a whole network is meant; no cell tells of methods that no image was set aside for.
        """
        counts: Counter[tuple[str, str, str, str]] = Counter()
        for cell, record in records:
            for gap in record.skipped:
                counts[cell.train.model, gap.layer, gap.method, gap.reason] += 1
        profile = self.profile
        if not profile.score.own_pass_images:
            methods = [method.name for method in methods_of(profile.score) if method.own_passes]
            why = "it takes passes of its own, and score.own_pass_images is 0"
            counts.update(
                {(model, "", name, why): 0 for model in (*profile.models, *profile.networks) for name in methods}
            )
        names = ("model", "layer", "method", "reason")
        return [{**dict(zip(names, key, strict=True)), "cells": count} for key, count in counts.items()]

    def bias_alone(self) -> list[Biased]:
        """Return in how many images each target's score is a bias alone, so that its maps are blank."""
        images: Counter[tuple[str, int, str]] = Counter()
        blank: Counter[tuple[str, int, str]] = Counter()
        for cell, record in self.records():
            for name in record.files if cell.measurement == SCORES else ():
                path = self.store.path(name)
                if not name.startswith(f"{SCORES}/") or BIAS not in pq.read_schema(path).names:
                    continue  # a table of something else, or of before the column
                frame = pq.read_table(path, columns=["image", "target", BIAS]).to_pandas().drop_duplicates()
                for target, alone in frame.groupby("target", observed=True)[BIAS]:
                    images[cell.train.model, cell.level, str(target)] += len(alone)
                    blank[cell.train.model, cell.level, str(target)] += int(alone.sum())
        return [Biased(*key, blank[key], images[key]) for key in images]

    def clear(self, cells: Sequence[MeasureCell]) -> None:
        """Remove what other settings left: its rows would stand twice, or its record for rows that are gone.

        Files that no run made stay, but for one whose place is needed.

        Args:
            cells: all that these settings have.

        Raises:
            InputError: a file of the user's stands in the way.
        """
        records = {cell.record for cell in cells if self.finished(cell)}
        files, ours = {LOG}, set[str]()
        for name in self._records():  # records first, since new tables may have the old names
            of_record = self.store.read(MeasureRecord, name).files.keys()
            ours |= of_record
            if name in records:
                files |= of_record
            else:
                self.store.remove(name)
        stems = {cell.name for cell in cells}
        for name in self.store.below(SCORES):
            path = Path(name)
            if not path.name.startswith(self.prefix) or name in files:
                continue
            if name in ours or made_by(self.store.path(name)):
                self.store.remove(name)
            elif path.stem in stems:
                raise InputError(
                    f"{self.store.path(name)} is not of this run, and scores would be written over it: move it away"
                )

    def _run(self, measurement: Measurement, cells: Sequence[MeasureCell], saved: Callable[[], None]) -> None:
        left = [cell for cell in cells if not self.finished(cell)]
        sources = {cell.train.model: cell.train for cell in cells}
        asked, score = measurement.steps, self.profile.score
        steps = {
            name: 1 if asked is None else asked(self.checkpoints.request(cell, score)) for name, cell in sources.items()
        }
        works = [Work(cell, len(cell.rows) * steps[cell.train.model], self.place) for cell in left]
        name, total = self._called(measurement.name), sum(len(cell.rows) * steps[cell.train.model] for cell in cells)
        if self.perform is not None and len(works) > 1:
            self.perform(name, works, total, saved)
            return
        with working(self.checkpoints.console, name, total, total - sum(work.steps for work in works)) as task:
            for _, group in groupby(left, key=lambda cell: (cell.train, cell.level)):
                for cell in group:
                    self.do(cell, task)
                saved()

    def _called(self, measurement: str) -> str:
        """Return what a measurement's progress is called."""
        of = f"{self.label} " if self.label else self.prefix.replace("-", " ")
        return of + measurement.replace("_", " ")

    def pieces(self) -> list[Piece]:
        """Return what is left to do, of trainings to come, too; a training that is to come is taken to end well."""
        points, data, costs = self.checkpoints, self.data, Counter[str]()
        missing = points.missing()
        weights = points.weights([cell for cell in points.cells if cell not in missing])
        weights |= {cell: dict.fromkeys(self.profile.recipe(cell.model).levels, "") for cell in missing}
        for cell in plan.measuring(self.profile, data, weights, self.measurements, self.prefix):
            if not self.store.has(cell.record):
                costs[cell.measurement] += len(cell.rows)
        return [Piece(self._called(name), MEASUREMENTS.get(name).cost * count) for name, count in costs.items()]

    def do(self, cell: MeasureCell, task: Task) -> None:
        """Do one cell: write its tables, then the record that says that it is done."""
        measurement, loaded = MEASUREMENTS.get(cell.measurement), self._load(cell.train, cell.level)
        started, gaps, files = time.monotonic(), set[Gap](), dict[str, File]()

        def advance(steps: int, text: str) -> None:
            task.advance(steps, f"{cell.name}: {text}" if text else cell.name)

        job = MeasureJob(self.profile, loaded.data, cell, loaded.model, loaded.request, advance, gaps.add)
        for table, made in measurement.run(job).items():
            if isinstance(made, bytes):
                name = cell.file(table, "npz")
                files[name] = File(cell=cell.id, sha256=digest(marked := with_cell(made, cell.id)))
                self.store.write(name, marked)
            else:
                name = cell.file(table)
                columns = self._keyed(cell, made)
                self._within(columns)
                text = [key for key, values in columns.items() if np.asarray(values).dtype.kind in "UO"]
                files[name] = self.store.write_table(name, columns, keys=text, cell=cell.id)
        record = MeasureRecord(
            id=cell.id,
            model=cell.train.model,
            level=cell.level,
            part=cell.part,
            images=len(cell.rows),
            files=files,
            skipped=tuple(manifest.Gap(**asdict(gap)) for gap in sorted(gaps)),
            seconds=time.monotonic() - started,
        )
        self.store.write(cell.record, record.written())

    def _load(self, train: TrainCell, level: int) -> Loaded:
        """Return a checkpoint's network and what is asked of it; that of the last cell is kept."""
        if self._loaded is None or (self._loaded.train, self._loaded.level) != (train, level):
            self._loaded = None  # before another one takes memory
            model = self.checkpoints.network(train, level)
            request = self.checkpoints.request(train, self.profile.score, model)
            data = self.checkpoints.data_of(self.data, train, level, model, request)
            self._loaded = Loaded(train, level, model, request, data)
        return self._loaded

    def _within(self, columns: Columns) -> None:
        """See that no metric's value lies outside the metric's bounds.

        Raises:
            SegcamError: one does; names the metric and the value.
        """
        for metric in [METRICS.get(name) for name in self.profile.score.metrics if name in columns]:
            values = np.asarray(columns[metric.name], dtype=float)
            low = -np.inf if metric.lower is None else metric.lower
            high = np.inf if metric.upper is None else metric.upper
            wrong = values[(values < low - SLACK) | (values > high + SLACK)]
            if len(wrong):
                raise SegcamError(
                    f"metric '{metric.name}' gave {wrong[0]:g}, outside its bounds {low:g} to {high:g}: mend the "
                    "metric, or its bounds"
                )

    def _keyed(self, cell: MeasureCell, columns: Columns) -> Columns:
        """Put the columns that are the same in all rows before a table."""
        info = self.data.opened.info
        keys = {
            "dataset": info.name,
            "model": cell.train.model,
            "level": cell.level,
            "seed": cell.train.seed,
            "training_data": info.training_data,
            **({"class": self.label} if self.label else {}),
        }
        rows = len(next(iter(columns.values()), ()))
        return {name: np.full(rows, value) for name, value in keys.items()} | columns
