"""Runs a profile: train, score, report; each stage does what is left to do."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bench import manifest, plan
from bench.config import Profile
from bench.data import Data
from bench.levels import Evaluation, LevelSearch
from bench.plan import ScoreCell, TrainCell
from bench.progress import working
from bench.score import KEYS, Instruments, Scorer
from bench.store import MANIFEST, SCHEMA, Store
from bench.train import Job, Trainer, baseline
from segcam.checkpoints import load, pack
from segcam.errors import InputError
from segcam.models import complete, create
from segcam.samples import MEAN, STD


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
    _manifest: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def prepare(self) -> None:
        """Check every name, see that the folder holds no other run, and write the first manifest.

        Raises:
            InputError: an unknown name, or a folder with a run of other data, models or training.
        """
        described = manifest.describe_profile(self.profile, len(self._classes))
        definition = plan.definition(self.profile, self.data.digest)
        if self.store.has(MANIFEST):
            self._same_run(self.store.read_json(MANIFEST).get("definition"), definition)
        self.store.sweep()
        info = manifest.describe_data(self.data)
        self._manifest = {
            "schema": SCHEMA,
            "profile": self.profile.portable(),
            "definition": definition,
            "versions": manifest.versions(),
            "hardware": manifest.hardware(self.device),
            "dataset": info,
            "border": self.profile.data.border,
            "scored_images": len(self.data.test),
            "gallery": {"rule": self.data.rule, "ids": [self.data.test[i].id for i in self.data.gallery]},
            **described,
        }
        self._write_manifest()

    def train(self) -> None:
        """Train what is not trained yet."""
        for cell in self._train_cells():
            if not self._trained(cell):
                self._train(cell)
            self.store.remove(cell.state)  # here, since a run may have been killed right after the record
        rows = [row for cell in self._train_cells() for row in self._training_rows(cell)]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        self.store.write_table("training.parquet", columns, keys=("model", "training_data"))
        self._write_manifest()

    def unreached(self) -> list[str]:
        """Return the levels that no checkpoint came near, as 'unet, seed 0: 90 % (best 84.1 %, nearest 84.1 %)'."""
        return [
            f"{c['model']}, seed {c['seed']}: {c['level']} % (best {100 * c['best_miou']:.1f} %, nearest "
            f"{100 * c['nearest_miou']:.1f} %)"
            for c in self._checkpoints()
            if not c["reached"]
        ]

    def score(self) -> None:
        """Score what is not scored yet.

        Raises:
            InputError: a training is missing, or a checkpoint is not of the profile's network.
        """
        cells = self._score_cells()
        self._clear(cells)
        left = [c for c in cells if not self.store.has(c.record) or not all(map(self.store.has, c.outputs))]
        total, open_ = (sum(len(c.rows) for c in some) for some in (cells, left))
        with working(self.console, "scoring", total, total - open_) as task:
            loaded: tuple[tuple[TrainCell, int] | None, Scorer | None] = (None, None)
            for cell in left:
                key = (cell.train, cell.level)
                if loaded[0] != key:
                    loaded = (key, self._scorer(cell))
                assert loaded[1] is not None  # set together with the key
                started = time.monotonic()
                self._score(cell, loaded[1], lambda n, cell=cell: task.advance(n, cell.name))
                self.store.write_json(cell.record, self._record(cell, time.monotonic() - started))
        self._write_manifest()

    def _trained(self, cell: TrainCell) -> bool:
        """Return whether a training is finished and the checkpoints that it gave are there."""
        if not self.store.has(cell.record):
            return False
        found = [entry["file"] for entry in self.store.read_json(cell.record)["checkpoints"] if entry["reached"]]
        return all(self.store.has(name) for name in found)

    def _train(self, cell: TrainCell) -> None:
        data, settings = self.data, self.profile.train
        model = create(cell.model, len(self._classes), self.profile.models[cell.model], cell.seed)
        border, foreground = self.profile.data.border, self.profile.score.class_id
        job = Job(model, data.train, data.val, len(self._classes), border, foreground, settings, cell.seed, self.device)
        trainer = Trainer(job)
        if self.store.has(cell.state):
            trainer.restore(self.store.path(cell.state))
        with working(self.console, f"training {cell.name}", trainer.total, trainer.step) as task:
            search = trainer.run(
                report=lambda step, _total, found: task.to(step, _note(found)),
                save=lambda found: self._save(cell, found),
            )
        self._keep(cell, trainer, search)

    def _save(self, cell: TrainCell, state: bytes) -> None:
        self.store.write(cell.state, state)

    def _keep(self, cell: TrainCell, trainer: Trainer, search: LevelSearch) -> None:
        """Write the checkpoints of the levels reached, then the record that says how the training ended."""
        base = baseline(self.data.val, len(self._classes), self.profile.data.border, self.profile.score.class_id)
        entries = []
        for level in search.levels:
            found, weights = search.kept[level]
            entry = {
                "model": cell.model,
                "seed": cell.seed,
                "level": level,
                "reached": search.reached(level),
                "tolerance": search.tolerance,
                "best_miou": search.best(),
                "nearest_miou": found.miou,
                "baseline_miou": base,
                "training_data": self.data.opened.info.training_data,
                "file": None,
            }
            if search.reached(level):
                entry |= self._measured(found) | {"file": cell.checkpoint(level)}
                packed = pack(weights, self._header(cell, entry))
                entry["sha256"] = hashlib.sha256(packed).hexdigest()
                entry["seconds"] = found.seconds  # not in the file, which is to be the same in every run
                self.store.write(cell.checkpoint(level), packed)
            entries.append(entry)
        history = sorted((asdict(e) for e in search.history), key=lambda e: e["step"])
        record = {"checkpoints": entries, "history": history, "seconds": trainer.seconds, "steps": trainer.step}
        self.store.write_json(cell.record, record)

    def _measured(self, found: Evaluation) -> dict[str, Any]:
        return {
            "step": found.step,
            "images_seen": found.images_seen,
            "miou": found.miou,
            "iou": dict(zip(self._classes, found.iou, strict=True)),
            "predicted_share": found.predicted_share,
        }

    def _header(self, cell: TrainCell, entry: dict[str, Any]) -> dict[str, Any]:
        """Return what rebuilds the network, and what it was when it was kept."""
        return {
            **{key: value for key, value in entry.items() if key != "file"},
            "architecture": cell.model,
            "parameters": complete(cell.model, self.profile.models[cell.model]),
            "classes": list(self._classes),
            "size": self.profile.data.size,
            "mean": list(MEAN),
            "std": list(STD),
            "dataset": self.data.opened.info.name,
            "border": self.profile.data.border,
            "averaged": self.profile.train.average > 0,
            "cell": cell.id,
        }

    def _scorer(self, cell: ScoreCell) -> Scorer:
        name = cell.train.checkpoint(cell.level)
        wanted = complete(cell.train.model, self.profile.models[cell.train.model])
        model, header = load(self.store.path(name))
        found = (header["architecture"], header["parameters"], header.get("cell"), header.get("level"))
        if found != (cell.train.model, wanted, cell.train.id, cell.level):
            raise InputError(
                f"{self.store.path(name)} holds a {found[0]} with {found[1]} of training {found[2]}, level {found[3]}; "
                f"this run's is a {cell.train.model} with {wanted} of training {cell.train.id}, level {cell.level}: "
                "put the right file back, or delete this one to train again"
            )
        tools = Instruments.of(self.profile.score, cell.train.model, model)
        model = model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Scorer(model, tools, self.profile.score, self._classes, self.profile.data.border)

    def _score(self, cell: ScoreCell, scorer: Scorer, advance: Any) -> None:
        if cell.part == "gallery":
            self.store.write(cell.outputs[0], scorer.gallery(self.data.test, cell.rows))
            advance(len(cell.rows))
            return
        keys = {
            "dataset": self.data.opened.info.name,
            "model": cell.train.model,
            "level": cell.level,
            "seed": cell.train.seed,
            "training_data": self.data.opened.info.training_data,
        }
        tables = scorer.score(self.data.test, cell.rows, keys, advance)
        coded = (*KEYS, "training_data")
        for name, columns in zip(cell.outputs, tables, strict=True):
            self.store.write_table(name, columns, keys=[k for k in coded if k not in ("level", "seed")])

    def _clear(self, cells: list[ScoreCell]) -> None:
        """Remove what other score settings left: records first, since cells of theirs write files of the same names."""
        wanted = {name for cell in cells for name in (cell.record, *cell.outputs)}
        found = [name for name in self.store.names("cells") if not Path(name).name.startswith("train-")]
        found += [name for folder in ("scores", "predictions", "gallery") for name in self.store.names(folder)]
        for name in found:
            if name not in wanted:
                self.store.remove(name)  # its rows would stand twice, or its record for rows that are gone

    def _record(self, cell: ScoreCell, seconds: float) -> dict[str, Any]:
        return {"level": cell.level, "part": cell.part, "images": len(cell.rows), "seconds": seconds}

    def _training_rows(self, cell: TrainCell) -> Iterator[dict[str, Any]]:
        for found in self.store.read_json(cell.record)["history"]:
            nan = float("nan")
            yield {
                "model": cell.model,
                "seed": cell.seed,
                "step": found["step"],
                "images_seen": found["images_seen"],
                "loss": nan if found["loss"] is None else found["loss"],
                "learning_rate": found["learning_rate"],
                "miou": found["miou"],
                **{
                    f"iou_{name}": nan if value is None else value
                    for name, value in zip(self._classes, found["iou"], strict=True)
                },
                "predicted_share": found["predicted_share"],
                "training_data": self.data.opened.info.training_data,
            }

    def _train_cells(self) -> list[TrainCell]:
        return plan.training(self.profile, self.data.digest)

    def _score_cells(self) -> list[ScoreCell]:
        missing = [cell.name for cell in self._train_cells() if not self._trained(cell)]
        if missing:
            raise InputError(
                f"nothing is trained for {', '.join(missing)} in {self.store.out}: run train (or all) first"
            )
        trained = {
            cell: {c["level"]: c["sha256"] for c in self.store.read_json(cell.record)["checkpoints"] if c["reached"]}
            for cell in self._train_cells()
        }
        return plan.scoring(self.profile, trained, len(self.data.test), self.data.gallery)

    def _checkpoints(self) -> list[dict[str, Any]]:
        done = [cell for cell in self._train_cells() if self.store.has(cell.record)]
        return [entry for cell in done for entry in self.store.read_json(cell.record)["checkpoints"]]

    def _write_manifest(self) -> None:
        """Write the manifest anew from what is finished."""
        cells: list[TrainCell | ScoreCell] = [*self._train_cells()]
        ready = all(map(self._trained, self._train_cells()))
        cells += self._score_cells() if ready else []
        done = {cell.record: self.store.read_json(cell.record) for cell in cells if self.store.has(cell.record)}
        timings = {
            name: {key: value for key, value in record.items() if key not in ("history", "checkpoints")}
            for name, record in done.items()
        }
        to_train = len(self._train_cells())
        planned = {"train": to_train, "score": len(cells) - to_train if ready else None}
        self.store.write_json(
            MANIFEST, {**self._manifest, "checkpoints": self._checkpoints(), "cells": timings, "planned": planned}
        )

    def _same_run(self, before: Any, now: dict[str, Any]) -> None:
        if before == now or before is None:
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


def _note(search: LevelSearch) -> str:
    last = search.history[-1] if search.history else None
    found = ", ".join(f"{level}" for level in search.levels if search.reached(level)) or "none"
    return f"mean IoU {100 * last.miou:.1f} %, levels reached: {found}" if last else ""


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}.{key}".lstrip(".")).items()}
