"""The trainings of a run: does what is left to do, and finds again what they left."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch
from rich.console import Console
from torch import nn

from analyses.reading.files import LOG, LOG_TEXT
from analyses.reading.manifest import Checkpoint, File, level_name
from bench import endings
from bench.output.store import Store
from bench.planning import plan
from bench.planning.cells import TrainCell
from bench.planning.data import Data
from bench.planning.measurement import MEASUREMENTS
from bench.planning.profile import Profile
from bench.planning.work import Perform, Work
from bench.progress import Piece, say, working
from bench.training.distillation import Hints
from bench.training.levels import Evaluation, LevelSearch, baseline
from bench.training.record import TrainRecord
from bench.training.trainer import Filming, Trainer, TrainJob, steps
from segcam.channels import RGB
from segcam.errors import InputError, first_line
from segcam.files import sha256
from segcam.models import architecture, create
from segcam.models.weights.checkpoints import load, pack


@dataclass
class Trainings:
    """The trainings of one run: every model with every seed.

    Attributes:
        profile: what is trained, and how.
        data: the images.
        store: where checkpoints and records go.
        device: where networks run.
        console: where progress is shown.
        filming: gives what takes a training's film, by its cell, network and number of steps.
        perform: trains in other processes, where several are left; None for one after the other in this one.
    """

    profile: Profile
    data: Data
    store: Store
    device: torch.device
    console: Console
    filming: Callable[[TrainCell, nn.Module, int], Filming | None] = lambda *_: None
    perform: Perform | None = None
    _logged: tuple[list[TrainCell], dict[str, File]] = field(default_factory=lambda: ([], {}), init=False, repr=False)

    @cached_property
    def cells(self) -> list[TrainCell]:
        """The trainings, teachers first."""
        return plan.training(self.profile, self.data.digest)

    def run(self) -> None:
        """Train what is not trained yet."""
        for cell in self.cells:
            if not self.finished(cell):
                self._tried(cell)
        left = self._left()
        if self.perform is not None and len(left) > 1:
            self.perform(_several(left), left, sum(work.steps for work in left), self.log)
        for cell in self.cells:
            self.train(cell)
        self.log()

    def train(self, cell: TrainCell) -> None:
        """Train a network, or go on where an earlier process was stopped, unless it is finished."""
        if not self.finished(cell):
            self._train(cell)
        self.store.remove(cell.state)  # here, since a run may have been killed right after the record

    def _left(self) -> list[Work]:
        return [
            Work(cell, steps(self.profile.recipe(cell.model), len(self.data.train)))
            for cell in self.cells
            if not self.finished(cell)
        ]

    def pieces(self) -> list[Piece]:
        """Return what is left to do, in steps."""
        left = self._left()
        if self.perform is not None and len(left) > 1:
            return [Piece(_several(left), sum(work.steps for work in left))]
        return [Piece(f"training {work.cell.name}", work.steps) for work in left]

    def log(self) -> dict[str, File]:
        """Write the training log of the finished trainings, and return what the manifest says of it and of films."""
        done = [cell for cell in self.cells if self.finished(cell)]
        if done and self._logged[0] != done:
            rows = [row for cell in done for row in self._training_rows(cell)]
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            self._logged = (done, {LOG: self.store.write_table(LOG, columns, keys=LOG_TEXT)})
        films = {cell.film: cell for cell in done if self.store.has(cell.film)}
        files = {name: File(cell=cell.id, sha256=sha256(self.store.path(name), "film")) for name, cell in films.items()}
        return self._logged[1] | files if done else {}

    def finished(self, cell: TrainCell) -> bool:
        """Return whether a training is finished and the checkpoints that it gave are there."""
        if not self.store.has(cell.record):
            return False
        return all(self.store.has(entry.file) for entry in self.record(cell).checkpoints if entry.file)

    def record(self, cell: TrainCell) -> TrainRecord:
        """Return a cell's record."""
        return self.store.read(TrainRecord, cell.record)

    def others(self) -> list[str]:
        """Return the trainings here of the same models and seeds, but under another definition."""
        records = {cell.record for cell in self.cells}
        names = [f"cells/train-{cell.name}-" for cell in self.cells]
        return [
            name
            for name in self.store.names("cells")
            if name.startswith(tuple(names)) and name.endswith(".json") and name not in records
        ]

    def weights(self, cells: Sequence[TrainCell] | None = None) -> dict[TrainCell, dict[int, str]]:
        """Return for trainings, all by default, their reached levels, with the hash of each checkpoint's weights."""
        return {
            cell: {entry.level: entry.sha256 for entry in self.record(cell).checkpoints if entry.reached}
            for cell in (self.cells if cells is None else cells)
        }

    def network(self, cell: TrainCell, level: int) -> nn.Module:
        """Load a checkpoint onto the device, having seen that it is the right one.

        Raises:
            InputError: it was changed, or is another one's.
        """
        name = cell.checkpoint(level)
        if sha256(self.store.path(name), "checkpoint") != self.weights([cell])[cell][level]:
            raise InputError(
                f"{self.store.path(name)} is not the checkpoint that the training wrote: put the right file back, or "
                "remove this one, and run train or run all trains it again"
            )
        model, _ = load(self.store.path(name))
        moved: nn.Module = model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def entries(self) -> list[Checkpoint]:
        """Return what is known of every level's checkpoint, reached or not, of the finished trainings."""
        return [entry for cell in self.cells if self.finished(cell) for entry in self.record(cell).checkpoints]

    def _train(self, cell: TrainCell) -> None:
        data, settings = self.data, self.profile.recipe(cell.model)
        model = self._created(cell)
        border, foreground = self.profile.data.border, self.profile.score.foreground
        job = TrainJob(
            model=model,
            train=data.train,
            val=data.val,
            classes=len(self.data.opened.info.classes),
            border=border,
            foreground=foreground,
            settings=settings,
            seed=cell.seed,
            device=self.device,
            hints=self._hints(cell, model) if cell.teacher else None,
        )
        trainer = Trainer(job)
        trainer.film = self.filming(cell, trainer.model, trainer.total)
        if trainer.film is not None:
            say(self.console, f"maps while {cell.name} learns, a picture made anew: {self.store.path(cell.look)}")
        if self.store.has(cell.state):
            trainer.restore(self.store.path(cell.state))
        with endings.deferred():  # until the checkpoints are kept, too
            with working(self.console, f"training {cell.name}", trainer.total, trainer.step) as task:
                search = trainer.run(
                    report=lambda step, _total, search: task.to(step, _note(search)),
                    save=lambda state: self._save(cell, state),
                )
                task.result = _result(search)
            self._keep(cell, trainer, search)

    def _save(self, cell: TrainCell, state: bytes) -> None:
        self.store.write(cell.state, state)

    def _created(self, cell: TrainCell) -> nn.Module:
        parameters = plan.parameters(self.profile, cell.model)
        return create(cell.model, len(self.data.opened.info.classes), parameters, cell.seed)

    @torch.no_grad()
    def _tried(self, cell: TrainCell) -> None:
        """See, before hours of training, that weights can be had and the smallest images are not too small."""
        least = min([self.profile.data.size, *(side for m in MEASUREMENTS for side in m.sizes(self.profile))])
        network = self._created(cell).eval()
        try:
            network(torch.zeros(1, self.data.val[0].image.shape[2], least, least))
        except RuntimeError as error:
            raise InputError(
                f"{cell.model} cannot take images of {least} x {least} pixels: {first_line(error)}"
            ) from error

    def _hints(self, cell: TrainCell, model: nn.Module) -> Hints:
        """Return what a network learns from its teacher, of whose checkpoints the highest is taken."""
        assert cell.teacher is not None  # that is why it is asked
        levels = self.weights([cell.teacher])[cell.teacher]
        teacher = self.network(cell.teacher, max(levels)).cpu()
        layers, teacher_layers = (
            architecture(name).layers(net, "conv") for name, net in ((cell.model, model), (cell.teacher.model, teacher))
        )
        return Hints(model, layers, teacher, teacher_layers, self.profile.data.size, cell.seed)

    def _keep(self, cell: TrainCell, trainer: Trainer, search: LevelSearch) -> None:
        """Write the checkpoints of the levels reached, then the record that says how the training ended."""
        base = baseline(trainer.validation.pixels())
        entries = []
        missed = not all(map(search.reached, search.levels))
        for level in search.kept:
            evaluation, weights = search.nearest[level]
            entry = {
                "model": cell.model,
                "seed": cell.seed,
                "level": level,
                "reached": search.reached(level),
                "tolerance": search.tolerance,
                "best_miou": search.best(),
                "nearest_miou": evaluation.miou,
                "baseline_miou": base,
                "training_data": self.data.opened.info.training_data,
                "file": None,
            }
            if search.reached(level):
                entry |= self._measured(evaluation) | {"file": cell.checkpoint(level)}
                packed = pack(weights, self._header(cell, entry))
                entry["sha256"] = hashlib.sha256(packed).hexdigest()
                entry["seconds"] = evaluation.seconds  # not in the file, which is to be the same in every run
                self.store.write(cell.checkpoint(level), packed)
            if level in search.levels or missed:
                entries.append(entry)  # the best one is scored beside the levels where one of them is not there
        starts = search.earlier, search.history
        history = [asdict(e) for evaluations in starts for e in sorted(evaluations, key=lambda e: e.step)]
        record = {"checkpoints": entries, "history": history, "seconds": trainer.seconds, "steps": trainer.step}
        self.store.write(cell.record, TrainRecord.model_validate({"id": cell.id, **record}).written())

    def _measured(self, evaluation: Evaluation) -> dict[str, Any]:
        return {
            "initial_answer": evaluation.initial_answer,
            "step": evaluation.step,
            "images_seen": evaluation.images_seen,
            "miou": evaluation.miou,
            "iou": dict(zip(self.data.opened.info.classes, evaluation.iou, strict=True)),
            "predicted_share": evaluation.predicted_share,
        }

    def _header(self, cell: TrainCell, entry: dict[str, Any]) -> dict[str, Any]:
        """Return what rebuilds the network, and what it was when it was kept."""
        channels = self.data.val[0].channels
        return {
            **{key: value for key, value in entry.items() if key != "file"},
            "architecture": cell.model,
            "parameters": plan.parameters(self.profile, cell.model),
            "classes": list(self.data.opened.info.classes),
            "size": self.profile.data.size,
            "mean": list(channels.mean),
            "std": list(channels.std),
            **({} if channels == RGB else {"range": [channels.low, channels.high]}),
            "dataset": self.data.opened.info.name,
            "border": self.profile.data.border,
            "averaged": self.profile.recipe(cell.model).average > 0,
            "cell": cell.id,
        }

    def _training_rows(self, cell: TrainCell) -> Iterator[dict[str, Any]]:
        for validated in self.record(cell).history:
            yield {
                "model": cell.model,
                "seed": cell.seed,
                "initial_answer": validated.initial_answer,
                "step": validated.step,
                "images_seen": validated.images_seen,
                "loss": validated.loss,
                "learning_rate": validated.learning_rate,
                "miou": validated.miou,
                **{f"iou_{n}": v for n, v in zip(self.data.opened.info.classes, validated.iou, strict=True)},
                "predicted_share": validated.predicted_share,
                "training_data": self.data.opened.info.training_data,
            }


def _several(left: Sequence[Work]) -> str:
    return f"training {len(left)} networks"


def _note(search: LevelSearch) -> str:
    last = search.history[-1] if search.history else None
    return f"mean IoU {100 * last.miou:.1f} %, reached: {_reached(search)}" if last else ""


def _reached(search: LevelSearch, *, whether: bool = True) -> str:
    return ", ".join(level_name(level) for level in search.levels if search.reached(level) is whether) or "none"


def _result(search: LevelSearch) -> str:
    """Return how a training ended."""
    if all(map(search.reached, search.levels)):
        return f"all levels reached: {_reached(search)}"
    best = f"best mean IoU {100 * search.best():.1f} %"
    return f"not reached: {_reached(search, whether=False)}; reached: {_reached(search)}; {best}"
