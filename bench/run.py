"""Runs a profile: train, score, report; each stage does what is left to do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from rich.console import Console

from analyses.reading.manifest import Gap, Images, Manifest, Planned, level_name
from bench.measuring import Biased, Measuring
from bench.output.store import MANIFEST, Store
from bench.planning import manifest
from bench.planning.data import Data
from bench.planning.profile import Profile
from bench.training.run import Trainings
from segcam.errors import InputError

MayDrop = Callable[[str], bool]
"""Told what would be dropped; returns whether it may be."""


@dataclass
class Run:
    """One run of one profile into one folder.

    Attributes:
        profile: what is done.
        data: the images.
        store: where results go.
        device: where networks run.
        console: where progress is shown.
        may_drop: asked, with what it is, whether finished scores of other settings may be dropped.
    """

    profile: Profile
    data: Data
    store: Store
    device: torch.device
    console: Console
    may_drop: MayDrop
    _manifest: Manifest = field(init=False, repr=False)

    def prepare(self) -> None:
        """Check every name, see that the folder holds no other run, and write the first manifest.

        Raises:
            InputError: an unknown name, a folder with a run of other data, models or training, or one with scores of
                other settings that may not be dropped.
        """
        self._manifest = manifest.of_run(self.profile, self.data, self.device)
        before = self.store.manifest() if self.store.path(MANIFEST).exists() else None
        if before:
            self._same_run(before.definition, self._manifest.definition)
        if others := self.trainings.others():
            raise InputError(
                f"{self.store.out} holds trainings of another run ({others[0]}): move them away, or choose another "
                "folder with --out"
            )
        self.ask(self.measuring, before)
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

    def unreached(self) -> list[str]:
        """Return the levels that no checkpoint came near, as 'unet, seed 0: 90 % (best 84.1 %, nearest 84.1 %)'."""
        return [
            f"{c.model}, seed {c.seed}: {level_name(c.level)} (best {100 * c.best_miou:.1f} %, nearest "
            f"{100 * c.nearest_miou:.1f} %)"
            for c in self.trainings.entries()
            if not c.reached
        ]

    def blank(self) -> tuple[list[str], bool]:
        """Return the targets whose maps are blank since their score is a bias alone, and whether most are of some.

        Told as 'unet, 90 %: best_pixel:logit in 80 of 100'.
        """
        found = self.measuring.bias_alone()
        lines = [
            f"{one.model}, {level_name(one.level)}: {one.target} in {one.blank} of {one.images}"
            for one in found
            if one.blank
        ]
        groups: dict[tuple[str, str], list[Biased]] = {}
        for one in found:
            groups.setdefault((one.model, one.target), []).append(one)
        most = any(2 * sum(one.blank for one in few) > sum(one.images for one in few) for few in groups.values())
        return lines, most

    def score(self) -> None:
        """Measure what is not measured yet.

        Raises:
            InputError: a training is missing, or a checkpoint is not of the profile's network.
        """
        self.ask(self.measuring)
        self.measuring.run(self._write_manifest)
        self._write_manifest()

    def ask(self, measuring: Measuring, before: Manifest | None = None) -> None:
        """Ask whether finished scores of other settings may be dropped, where there are some.

        Args:
            measuring: the measurements of which they are.
            before: the manifest that tells of which settings they are.

        Raises:
            InputError: they may not be dropped.
        """
        dropped = measuring.outdated()
        if not dropped:
            return
        differing = _differences(before.profile, self._manifest.profile) if before else []
        why = (
            f": {', '.join(f'{key} ({old} there, {new} now)' for key, old, new in differing[:5])}" if differing else ""
        )
        minutes = sum(record.seconds for record in dropped.values()) / 60
        what = f"{measuring.store.out} holds {len(dropped)} finished cells of other settings ({minutes:.1f} min){why}"
        cure = "choose another folder with --out, or add --yes to drop them"
        if others := sorted({record.model for record in dropped.values()} - self.profile.models.keys()):
            what = f"{measuring.store.out} holds scores of {', '.join(others)}, which this run does not have"
            cure = f"name the models with --model, too; {cure}"
        if not self.may_drop(what):
            raise InputError(f"{what}; {cure}")

    def _write_manifest(self) -> None:
        """Write the manifest anew from what is finished."""
        trainings, measured = self.trainings, self.measuring.records()
        trained = {cell.record: trainings.record(cell).brief() for cell in trainings.cells if trainings.finished(cell)}
        ready = len(trained) == len(trainings.cells)
        sections = {
            "checkpoints": tuple(trainings.entries()),
            "skipped": tuple(map(Gap.model_validate, self.measuring.skipped(measured))) if ready else (),
            "studies": {name: Images.model_validate(few) for name, few in self.measuring.few_images().items()},
            "cells": {**trained, **{cell.record: record.brief() for cell, record in measured}},
            "planned": Planned(train=len(trainings.cells), score=len(self.measuring.cells()) if ready else None),
            "files": {
                **trainings.log(),
                **{name: file for _, record in measured for name, file in record.files.items()},
            },
        }
        self.store.write(MANIFEST, self._manifest.model_copy(update=sections).written())

    def _same_run(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        if not before:
            return
        both = before.get("models", {}).keys() & now["models"].keys()  # models may come and go, but not change
        before, now = (_of_models(values, both) for values in (before, now))
        if before == now:
            return
        shown = ", ".join(f"{key} ({old} there, {new} now)" for key, old, new in _differences(before, now)[:5])
        raise InputError(f"{self.store.out} holds another run: {shown}; choose another folder with --out")


def _of_models(definition: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a run's definition with what it says of some models alone."""
    of_models = {
        key: {name: definition.get(key, {}).get(name) for name in sorted(names)} for key in ("models", "train")
    }
    return definition | of_models


def _differences(before: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """Return the keys, with dots, that differ, and both values."""
    old, new = _flat(before), _flat(now)
    pairs = ((key, old.get(key, "absent"), new.get(key, "absent")) for key in sorted({*old, *new}))
    return [(key, a, b) for key, a, b in pairs if a != b]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}.{key}".lstrip(".")).items()}
