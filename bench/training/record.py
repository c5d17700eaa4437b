"""The record of a finished training, `cells/train-*.json`."""

from __future__ import annotations

from typing import ClassVar

from analyses.reading.manifest import Cell, Checkpoint
from bench.planning.records import Record
from bench.training.levels import Evaluation


class TrainRecord(Record):
    """A finished training: the checkpoints of its levels, reached or not, and all validations."""

    WHAT: ClassVar[str] = "training record"
    CURE: ClassVar[str] = (
        "put it back from a copy; or remove it and run the same command again, which does this one training anew"
    )

    checkpoints: tuple[Checkpoint, ...]
    history: tuple[Evaluation, ...]
    seconds: float
    steps: int

    def brief(self) -> Cell:
        """Return what the manifest says of it."""
        return Cell(id=self.id, seconds=self.seconds, steps=self.steps)
