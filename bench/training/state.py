"""The saved state of a training: seen to be whole and of this training before anything of the trainer is changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from analyses.reading.manifest import BEST
from bench.training.levels import InitialAnswer
from segcam.errors import InputError
from segcam.models.weights.checkpoints import unpack
from segcam.models.weights.values import not_finite

if TYPE_CHECKING:
    from bench.training.trainer import Trainer

CURE = "delete it, and this training starts anew from its first step; no other result is touched"
SLOTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of a parameter."""
LOSSES = "losses"


def _share(value: float) -> float:
    if not (math.isnan(value) or 0 <= value <= 1):
        raise ValueError("a number from 0 to 1 is needed")
    return value


Step = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, AfterValidator(_share)]
"""A number from 0 to 1, or NaN: the IoU of a class that the truth does not hold."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class SavedEvaluation(_Part):
    """An `Evaluation`, as JSON holds it."""

    step: Step
    images_seen: Step
    loss: float
    learning_rate: Amount
    miou: Share
    iou: list[Share]
    predicted_share: Share
    seconds: Amount
    initial_answer: InitialAnswer


class SavedSearch(_Part):
    """What `LevelSearch.state` gives."""

    interval: Annotated[int, Field(ge=1)]
    history: list[SavedEvaluation]
    earlier: list[SavedEvaluation]
    nearest: dict[str, SavedEvaluation]


class SavedHeader(_Part):
    """The header of a state."""

    start: Step
    step: Step
    begun: Step
    seconds: Amount
    search: SavedSearch


@dataclass(frozen=True)
class State:
    """A state that a trainer may take back.

    Attributes:
        tensors: of the network, its average, the hints, the optimiser and the weights nearest to each level.
        start: which of the training's starts it is of.
        step: steps done.
        begun: steps done at the last evaluation.
        seconds: wall time until then.
        search: what `LevelSearch.restore` takes.
    """

    tensors: dict[str, Tensor]
    start: int
    step: int
    begun: int
    seconds: float
    search: dict[str, Any]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with a prefix, without it."""
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}

    @property
    def losses(self) -> Tensor:
        """The losses of the steps since the last evaluation."""
        return self.tensors.get(LOSSES, torch.empty(0))

    def slots(self) -> dict[int, dict[str, Tensor]]:
        """Return what the optimiser kept of each parameter, by the parameter's number."""
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in self.below("optimiser.").items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        return slots


def read_state(file: Path, trainer: Trainer) -> State:
    """Read a state, and see that it is one of this trainer's.

    Raises:
        InputError: it is absent, damaged, or of another training; the message says what to do.
    """
    tensors, header = unpack(file, tuple(SavedHeader.model_fields), CURE)
    try:
        saved = SavedHeader.model_validate(header)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])[:100]
        raise _damaged(file, f"'{where}' of the header: {first['msg'][0].lower()}{first['msg'][1:]}") from error
    if problem := next(chain(_header_problems(saved, trainer), _tensor_problems(saved, tensors, trainer)), ""):
        raise _damaged(file, problem)
    return State(tensors, saved.start, saved.step, saved.begun, saved.seconds, header["search"])


def _damaged(file: Path, problem: str) -> InputError:
    return InputError(f"{file} cannot be read as the state of this training ({problem}): {CURE}")


def _header_problems(saved: SavedHeader, trainer: Trainer) -> Iterator[str]:
    """Say what of a header does not fit the trainer."""
    search, starts = saved.search, trainer.starts
    if saved.start >= len(starts):
        yield f"it is of start {saved.start + 1} of {len(starts)}"
        return
    answer = starts[saved.start].initial_answer
    before = {str(level) for start in starts[: saved.start] for level in start.levels}
    levels = before | ({str(level) for level in (*starts[saved.start].levels, BEST)} if search.history else set())
    evaluations = [*search.history, *search.earlier]
    if saved.step > trainer.total:
        yield f"it is at step {saved.step} of {trainer.total}"
    if search.interval > trainer.search.longest:
        yield f"its interval of {search.interval} steps is longer than {trainer.search.longest}"
    if search.nearest.keys() != levels:
        yield f"its levels are {', '.join(sorted(search.nearest)) or 'none'}, not {', '.join(sorted(levels)) or 'none'}"
    if any(evaluation.initial_answer != answer for evaluation in search.history):
        yield f"its evaluations did not begin at the answer '{answer}'"
    if saved.begun > saved.step:
        yield f"its last evaluation is after its step {saved.step}"
    if any(evaluation.step > saved.step for evaluation in search.history):
        yield f"it knows of evaluations after its step {saved.step}"
    if len({evaluation.step for evaluation in search.history}) < len(search.history):
        yield "it holds two evaluations of one step"
    if any(len(evaluation.iou) != trainer.job.classes for evaluation in evaluations):
        yield f"its evaluations are not of {trainer.job.classes} classes"
    if any(repr(evaluation) not in set(map(repr, evaluations)) for evaluation in search.nearest.values()):
        yield "its nearest evaluations are not among all"  # by their texts: NaN is unlike itself


def _tensor_problems(saved: SavedHeader, tensors: dict[str, Tensor], trainer: Trainer) -> Iterator[str]:
    """Say what of the tensors does not fit the header and the trainer."""
    wanted = _wanted(saved, trainer)
    present = {name.rpartition(".")[0] for name in tensors if name.startswith("optimiser.")}
    wanted |= {n: t for n, t in _slots(trainer).items() if n.rpartition(".")[0] in present}
    steps = {name.split(".")[1] for name in tensors if name.startswith("snapshots.")}
    kept = {n for n in steps if n.isdecimal() and len(n) < 20 and saved.begun < int(n) <= saved.step}
    wanted |= {f"snapshots.{step}.{n}": t for step in kept for n, t in trainer.model.state_dict().items()}
    for name in sorted({*tensors, *wanted}):
        have, want = (_form(values[name]) if name in values else "absent" for values in (tensors, wanted))
        if have != want:
            yield f"tensor '{name}' is {have} in the file and {want} in the training"
    if LOSSES in tensors and not_finite(tensors[LOSSES]):
        return  # the training itself diverged, and its next evaluation says so
    for name in filter(lambda name: not_finite(tensors[name]), tensors):
        yield f"tensor '{name}' holds NaN or infinity; where it does so again, lower train.learning_rate"


def _wanted(saved: SavedHeader, trainer: Trainer) -> dict[str, Tensor]:
    """Return what a state must hold, in tensors of the same form."""
    model = trainer.model.state_dict()
    wanted = {f"model.{n}": t for n, t in model.items()}
    wanted |= {f"average.{n}": t for n, t in trainer.average.state_dict().items()}
    wanted |= {f"hints.{n}": t for n, t in trainer.hints.state_dict().items()} if trainer.hints else {}
    wanted |= {f"nearest.{level}.{n}": t for level in saved.search.nearest for n, t in model.items()}
    if saved.step > saved.begun:
        wanted[LOSSES] = torch.empty(saved.step - saved.begun, device="meta")
    return wanted


def _slots(trainer: Trainer) -> dict[str, Tensor]:
    """Return what a state holds of the optimiser, in tensors of the same form.

    A parameter that took part in no step yet has no slots.
    """
    parameters = [p for group in trainer.optimiser.param_groups for p in group["params"]]
    return {
        f"optimiser.{index}.{slot}": torch.empty(()) if slot == "step" else parameter
        for index, parameter in enumerate(parameters)
        for slot in SLOTS
    }


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
