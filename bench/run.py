"""Runs a profile: train, score, report; each stage does what is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from analyses.reading.files import SCORES
from analyses.reading.manifest import Manifest, level_name
from bench.measurements.sizes import counted
from bench.measuring import Scorings, Studies
from bench.output.store import MANIFEST, SCORED, Store
from bench.planning import manifest, plan
from bench.planning.cells import ResolutionCell, ScoreCell, StudyCell, TrainCell
from bench.planning.data import Data
from bench.planning.profile import Profile
from bench.progress import working
from bench.training.run import Trainings
from segcam.errors import InputError
from segcam.samples import Images


@dataclass
class Run:
    """One run of one profile into one folder.

    Attributes:
        profile: what is done.
        data: the images.
        store: where results go.
        device: where networks run.
        console: where progress is shown.
    """

    profile: Profile
    data: Data
    store: Store
    device: torch.device
    console: Console
    _manifest: Manifest = field(init=False, repr=False)

    def prepare(self) -> None:
        """Check every name, see that the folder holds no other run, and write the first manifest.

        Raises:
            InputError: an unknown name, or a folder with a run of other data, models or training.
        """
        self._manifest = manifest.of_run(self.profile, self.data, self.device)
        if self.store.has(MANIFEST):
            self._same_run(self.store.read_json(MANIFEST).get("definition"), self._manifest.definition)
        self.store.sweep()
        self._write_manifest()

    @cached_property
    def trainings(self) -> Trainings:
        """The run's trainings."""
        return Trainings(self.profile, self.data, self.store, self.device, self.console)

    @cached_property
    def scorings(self) -> Scorings:
        """The run's scorings; they can be asked for once it is prepared."""
        return Scorings(self.trainings, self._manifest)

    @cached_property
    def studies(self) -> Studies:
        """The run's studies."""
        return Studies(self.scorings)

    def train(self) -> None:
        """Train what is not trained yet."""
        self.trainings.run()
        self._write_manifest()

    def keep_others(self) -> None:
        """See that scoring would remove no scores of models that this run does not have.

        Raises:
            InputError: the folder holds some.
        """
        own = {cell.name.rpartition("-s")[0] for cell in self.trainings.cells}
        scored = {Path(name).name.rpartition("-s")[0] for name in self.store.names(SCORES)}
        if others := sorted(scored - own):
            raise InputError(
                f"{self.store.out} holds scores of {', '.join(others)}, which this run does not have: name the models "
                "with --model, too, or choose another folder with --out"
            )

    def unreached(self) -> list[str]:
        """Return the levels that no checkpoint came near, as 'unet, seed 0: 90 % (best 84.1 %, nearest 84.1 %)'."""
        return [
            f"{c['model']}, seed {c['seed']}: {level_name(c['level'])} (best {100 * c['best_miou']:.1f} %, nearest "
            f"{100 * c['nearest_miou']:.1f} %)"
            for c in self.trainings.entries()
            if not c["reached"]
        ]

    def score(self) -> None:
        """Score what is not scored yet.

        Raises:
            InputError: a training is missing, or a checkpoint is not of the profile's network.
        """
        cells = self.scorings.cells()
        studied = self.studies.cells()
        made = {name for cell in cells for name in (cell.record, *cell.outputs)}
        made |= {name for cell in studied for name in (cell.record, *cell.outputs)}
        self._clear(made | self._sizes_wanted())
        self.scorings.run(cells)
        self.studies.run(studied)
        self._test_sizes()
        self._write_manifest()

    def _size_cells(self) -> list[ResolutionCell]:
        return plan.resolutions(self.profile, self.trainings.weights())

    def _sizes_wanted(self) -> set[str]:
        return {name for cell in self._size_cells() for name in (cell.record, cell.output)}

    def _test_sizes(self) -> None:
        """Test the networks at other sizes, where that is asked for and not done yet."""
        cells = self._size_cells()
        left = [c for c in cells if not self.store.has(c.record) or not self.store.has(c.output)]
        total, images = len(self.data.test), None
        with working(self.console, "other sizes", total * len(cells), total * (len(cells) - len(left))) as task:
            for cell in left:
                if images is None or images[0].image.shape[0] != cell.size:
                    images = self.data.test_at(cell.size, None)
                started = time.monotonic()
                columns = self._counted(cell, images, partial(task.advance, note=cell.name))
                self.store.write_table(cell.output, columns, keys=("dataset", "model", "image", "training_data"))
                self.store.write_json(cell.record, {"size": cell.size, "seconds": time.monotonic() - started})

    def _counted(self, cell: ResolutionCell, images: Images, advance: Callable[[int], None]) -> dict[str, Any]:
        model = self.trainings.network(cell.train, cell.level)
        border, class_id = self.profile.data.border, self.profile.score.class_id
        columns = counted(model, images, self._classes, border, class_id, advance)
        keys = {**self.scorings.keys(cell.train, cell.level), "factor": cell.factor, "size": cell.size}
        return {name: [value] * len(images) for name, value in keys.items()} | columns

    def _clear(self, wanted: set[str]) -> None:
        """Remove what other score settings left: records first, since cells of theirs write files of the same names."""
        self.keep_others()
        found = [name for name in self.store.names("cells") if not Path(name).name.startswith("train-")]
        found += [name for folder in SCORED for name in self.store.names(folder)]
        for name in found:
            if name not in wanted:
                self.store.remove(name)  # its rows would stand twice, or its record for rows that are gone

    def _write_manifest(self) -> None:
        """Write the manifest anew from what is finished."""
        cells: list[TrainCell | ScoreCell | ResolutionCell | StudyCell] = [*self.trainings.cells]
        ready = all(map(self.trainings.finished, self.trainings.cells))
        cells += [*self.scorings.cells(), *self._size_cells(), *self.studies.cells()] if ready else []
        done = {cell.record: self.store.read_json(cell.record) for cell in cells if self.store.has(cell.record)}
        timings = {
            name: {key: value for key, value in record.items() if key not in ("history", "checkpoints", "skipped")}
            for name, record in done.items()
        }
        to_train = len(self.trainings.cells)
        planned = {"train": to_train, "score": len(cells) - to_train if ready else None}
        sections = {
            "checkpoints": self.trainings.entries(),
            "skipped": self.scorings.skipped() if ready else [],
            "studies": self.studies.described(),
            "cells": timings,
            "planned": planned,
        }
        finished = Manifest.model_validate(self._manifest.written() | sections)
        self.store.write_json(MANIFEST, finished.written())

    def _same_run(self, before: Any, now: dict[str, Any]) -> None:
        if before is None:
            return
        both = before.get("models", {}).keys() & now["models"].keys()  # models may come and go, but not change
        before, now = (_of_models(values, both) for values in (before, now))
        if before == now:
            return
        old, new = _flat(before), _flat(now)
        differing = sorted(key for key in {*old, *new} if (key in old, old.get(key)) != (key in new, new.get(key)))
        shown = ", ".join(
            f"{key} ({old.get(key, 'absent')} there, {new.get(key, 'absent')} now)" for key in differing[:5]
        )
        raise InputError(
            f"{self.store.out} holds another run: {shown}; choose another folder with --out, or delete this one"
        )

    @property
    def _classes(self) -> tuple[str, ...]:
        return self.data.opened.info.classes


def _of_models(definition: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a run's definition with what it says of some models alone."""
    of_models = {
        key: {name: definition.get(key, {}).get(name) for name in sorted(names)} for key in ("models", "train")
    }
    return definition | of_models


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}.{key}".lstrip(".")).items()}
