"""Runs a profile: train, score, report; each stage does what is left to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import torch
from rich.console import Console

from analyses.paper.claims.registration import registered
from analyses.reading.manifest import Explained, Gap, Images, Manifest, Planned
from bench.checkpoints import Checkpoints
from bench.filming import film_of
from bench.measuring import Biased, Measuring
from bench.networks.given import Given
from bench.output.store import MANIFEST, Store
from bench.planning import manifest
from bench.planning.cells import MeasureCell
from bench.planning.data import Data, of_class
from bench.planning.differences import differences
from bench.planning.profile import Profile
from bench.planning.sections import members
from bench.planning.views import MOST, Pixels, View, pixels_of, shown_in, views
from bench.planning.work import Perform, Place
from bench.progress import Piece, say
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
        perform: does cells in other processes; None for one after the other in this one.
    """

    profile: Profile
    data: Data
    store: Store
    device: torch.device
    console: Console
    may_drop: MayDrop
    perform: Perform | None = None
    _manifest: Manifest = field(init=False, repr=False)

    def prepare(self) -> None:
        """Check every name, see that the folder holds no other run, and write the first manifest.

        Raises:
            InputError: an unknown name, a folder with a run of other data, models or training, or one with scores of
                other settings that may not be dropped.
        """
        self._manifest = manifest.of_run(self.profile, self.data, self.device, self.checkpoints.given)
        before = self.store.manifest() if self.store.path(MANIFEST).exists() else None
        if before:
            self._same_run(before.definition, self._manifest.definition)
        if others := self.trainings.others():
            raise InputError(
                f"{self.store.out} holds trainings of another run ({others[0]}): move them away, or choose another "
                "folder with --out"
            )
        self.ask(self.measurings, before)
        self._manifest = self._manifest.model_copy(update={"registration": before.registration if before else ""})
        self._write_manifest()

    @cached_property
    def trainings(self) -> Trainings:
        """The run's trainings."""
        filming = partial(film_of, self.profile, self.data, self.store)
        return Trainings(self.profile, self.data, self.store, self.device, self.console, filming, self.perform)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints: of its trainings, and of networks that were there already."""
        return Checkpoints(self.trainings, Given(self.profile, self.data, self.device))

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The classes that the run explains; those that no image shows are told and left out."""
        info = self.data.opened.info

        @cache
        def test() -> Pixels:
            return pixels_of(self.data.test, len(info.classes)) if info.masked else next(self.checkpoints.predicted())

        found, without = views(self.profile, info.classes, test)
        if without:
            shown = f"{', '.join(without[:5])}{f' and {len(without) - 5} more' if len(without) > 5 else ''}"
            say(self.console, f"left out, as no image shows them: {shown}")
        if len(self.profile.score.classes) == 1 == len(found) and not shown_in(test(), found[0].explained):
            note = f"no photograph shows {found[0].label}: it has no region to explain, and its best pixel alone is"
            say(self.console, note)
        if self.profile.score.classes == (MOST,):
            say(self.console, f"explained: {found[0].label}, the class of the most pixels")
        return found

    @cached_property
    def measurings(self) -> tuple[Measuring, ...]:
        """The run's measurements, of each class that it explains."""
        return tuple(self.measuring_of(view) for view in self.views)

    def perform_with(self, perform: Perform | None) -> None:
        """Do cells from now on in other processes; None for one after the other in this one."""
        self.perform = self.trainings.perform = perform
        for measuring in self.measurings:
            measuring.perform = perform

    def measuring_of(self, view: View, stage: str = "score", prefix: str = "", store: Store | None = None) -> Measuring:
        """Return the measurements of one class.

        Args:
            view: the class.
            stage: which measurements.
            prefix: what the names of their files begin with, where several runs share a folder.
            store: that folder, if it is not the run's.
        """
        store = store or self.store
        profile = view.of(self.profile)
        data = of_class(self.data, profile, view.explained) if self.profile.score.classes else self.data
        label = view.label if view.prefix else ""
        place = Place(view, stage, prefix, store.out)
        return Measuring(self.checkpoints, store, profile, data, place, prefix + view.prefix, label, self.perform)

    def pieces(self, stage: str) -> list[Piece]:
        """Return what is left to do, in its order: of 'all', 'train' or 'score'."""
        training = self.trainings.pieces() if stage != "score" and self.profile.models else []
        measuring = [piece for one in self.measurings for piece in one.pieces()] if stage != "train" else []
        return [*training, *measuring]

    def train(self) -> None:
        """Train what is not trained yet."""
        self.trainings.run()
        self._write_manifest()

    def unreached(self) -> list[str]:
        """Return the levels that no checkpoint came near, as 'unet, seed 0: 90 % (best 84.1 %, nearest 84.1 %)'."""
        return [
            f"{c.model}, seed {c.seed}: {c.label} (best {100 * c.best_miou:.1f} %, nearest "
            f"{100 * c.nearest_miou:.1f} %)"
            for c in self.trainings.entries()
            if not c.reached
        ]

    def blank(self) -> tuple[list[str], bool]:
        """Return the targets whose maps are blank since their score is a bias alone, and whether most are of some.

        Told as 'unet, 90 %: best_pixel:logit in 80 of 100', behind the class where the run explains several.
        """
        found = [(measuring.label, one) for measuring in self.measurings for one in measuring.bias_alone()]
        names = {(entry.model, entry.level): entry.label for entry in self.checkpoints.entries()}
        lines = [
            f"{label and f'{label}: '}{one.model}, {names[one.model, one.level]}: {one.target} in {one.blank} of "
            f"{one.images}"
            for label, one in found
            if one.blank
        ]
        groups: dict[tuple[str, str, str], list[Biased]] = {}
        for label, one in found:
            groups.setdefault((label, one.model, one.target), []).append(one)
        most = any(2 * sum(one.blank for one in few) > sum(one.images for one in few) for few in groups.values())
        return lines, most

    def score(self) -> None:
        """Measure what is not measured yet.

        Raises:
            InputError: a training is missing, or a checkpoint is not of the profile's network.
        """
        every = self.ask(self.measurings)
        self.measurings[0].check()  # before anything is cleared: of what is not trained no cell is known
        replace(self.measurings[0], prefix="").clear(every)  # of classes that are explained no more, too
        if self.profile.models and not any(self.store.has(cell.record) for cell in every):
            self._manifest = self._manifest.model_copy(update={"registration": registered().sha256})
            self._write_manifest()  # before the first score, so that none is older than the registration that it names
        for measuring in self.measurings:
            measuring.run(self._write_manifest)
        self._write_manifest()

    def ask(
        self, measurings: Sequence[Measuring], before: Manifest | None = None, prefix: str = ""
    ) -> list[MeasureCell]:
        """Ask whether finished scores of other settings may be dropped, where there are some; return all cells.

        Args:
            measurings: the measurements of which they are, one a class.
            before: the manifest that tells of which settings they are.
            prefix: what the names of their files begin with, where several runs share a folder.

        Raises:
            InputError: they may not be dropped.
        """
        every = [cell for measuring in measurings for cell in measuring.cells()]
        whole = replace(measurings[0], prefix=prefix)
        dropped = whole.outdated(every, [measuring.prefix for measuring in measurings])
        if not dropped:
            return every
        differing = differences(before.profile, self._manifest.profile) if before else []
        why = (
            f": {', '.join(f'{key} ({old} there, {new} now)' for key, old, new in differing[:5])}" if differing else ""
        )
        minutes = sum(record.seconds for record in dropped.values()) / 60
        where = whole.store.out
        what = f"{where} holds {len(dropped)} finished cells of other settings ({minutes:.1f} min){why}"
        cure = "choose another folder with --out, or add --yes to drop them"
        run = {*self.profile.models, *self.profile.networks}
        if others := sorted({record.model for record in dropped.values()} - run):
            what = f"{where} holds scores of {', '.join(others)}, which this run does not have"
            cure = f"name the models with --model, too; {cure}" if self.profile.models else cure
        if not self.may_drop(what):
            raise InputError(f"{what}; {cure}")
        return every

    def _write_manifest(self) -> None:
        """Write the manifest anew from what is finished."""
        trainings = self.trainings
        trained = {cell.record: trainings.record(cell).brief() for cell in self.checkpoints.trained()}
        ready = len(trained) == len(trainings.cells)
        measured = [pair for measuring in self.measurings for pair in measuring.records()] if ready else []
        planned = sum(len(measuring.cells()) for measuring in self.measurings) if ready else None
        first = self.measurings[0]
        sections = {
            "checkpoints": tuple(self.checkpoints.entries()),
            "skipped": tuple(map(Gap.model_validate, first.skipped(measured))) if ready else (),
            "studies": _studies(first),
            "cells": {**trained, **{cell.record: record.brief() for cell, record in measured}},
            "planned": Planned(train=len(trainings.cells), score=planned),
            "files": {
                **trainings.log(),
                **{name: file for _, record in measured for name, file in record.files.items()},
            },
        }
        if first.label:
            sections["views"] = tuple(map(_described, self.views, self.measurings))
        elif self.profile.score.classes:  # one class, which was not known when the manifest was begun
            told = _described(self.views[0], first)
            ids = told.ids[0] if len(told.ids) == 1 else told.ids
            targets = self._manifest.targets
            sections["targets"] = {name: one.model_copy(update={"class_id": ids}) for name, one in targets.items()}
            sections |= {"gallery": told.gallery, "own_passes": told.own_passes}
        self.store.write(MANIFEST, self._manifest.model_copy(update=sections).written())

    def _same_run(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        if not before:
            return
        both = before.get("models", {}).keys() & now["models"].keys()  # models may come and go, but not change
        before, now = (_of_models(values, both) for values in (before, now))
        if before == now:
            return
        of_files = {"digest": "images and masks, or how they are brought to size"}
        found = [(of_files.get(key, key), old, new) for key, old, new in differences(before, now)[:5]]
        shown = ", ".join(f"{key} ({old} there, {new} now)" for key, old, new in found)
        raise InputError(f"{self.store.out} holds another run: {shown}; choose another folder with --out")


def _studies(measuring: Measuring) -> dict[str, Images]:
    """Return the images set aside for measurements, and how they were chosen."""
    return {name: Images.model_validate(few) for name, few in measuring.few_images().items()}


def _described(view: View, measuring: Measuring) -> Explained:
    """Return what the manifest says of a class that the run explains."""
    data = measuring.data
    return Explained(
        label=view.label,
        ids=tuple(sorted(members(view.explained))),
        prefix=view.prefix,
        folder=view.folder,
        gallery=manifest.gallery(data),
        own_passes=manifest.own_passes(measuring.profile, data),
        studies=_studies(measuring),
    )


def _of_models(definition: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a run's definition with what it says of some models alone."""
    of_models = {
        key: {name: definition.get(key, {}).get(name) for name in sorted(names)} for key in ("models", "train")
    }
    return definition | of_models
