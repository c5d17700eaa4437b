"""Runs a profile: train, score, report; each stage does what is left to do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from analyses.reading.files import SCORES
from analyses.reading.manifest import Manifest, level_name
from bench.measuring import Measuring
from bench.output.store import MANIFEST, Store
from bench.planning import manifest
from bench.planning.data import Data
from bench.planning.profile import Profile
from bench.training.run import Trainings
from segcam.errors import InputError


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
    def measuring(self) -> Measuring:
        """The run's measurements."""
        return Measuring(self.trainings, self.store)

    def train(self) -> None:
        """Train what is not trained yet."""
        self.trainings.run()
        self._write_manifest()

    def keep_others(self) -> None:
        """See that scoring would remove no scores of models that this run does not have.

        Raises:
            InputError: the folder holds some.
        """
        models = {cell.name.rpartition("-s")[0] for cell in self.trainings.cells}
        scored = {Path(name).name.rpartition("-s")[0] for name in self.store.names(SCORES)}
        if others := sorted(scored - models):
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
        """Measure what is not measured yet.

        Raises:
            InputError: a training is missing, or a checkpoint is not of the profile's network.
        """
        self.keep_others()
        self.measuring.run()
        self._write_manifest()

    def _write_manifest(self) -> None:
        """Write the manifest anew from what is finished."""
        ready = all(map(self.trainings.finished, self.trainings.cells))
        planned = self.measuring.cells() if ready else []
        records = [*(cell.record for cell in self.trainings.cells), *(cell.record for cell in planned)]
        done = {name: self.store.read_json(name) for name in records if self.store.has(name)}
        beside = ("history", "checkpoints", "skipped", "files")
        sections = {
            "checkpoints": self.trainings.entries(),
            "skipped": self.measuring.skipped() if ready else [],
            "studies": self.measuring.few_images(),
            "cells": {n: {k: v for k, v in record.items() if k not in beside} for n, record in done.items()},
            "planned": {"train": len(self.trainings.cells), "score": len(planned) if ready else None},
        }
        self.store.write_json(MANIFEST, Manifest.model_validate(self._manifest.written() | sections).written())

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
