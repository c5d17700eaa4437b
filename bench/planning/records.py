"""Records of finished cells, `cells/*.json`: what was made, and how long it took."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from analyses.reading.files import ResultsError
from analyses.reading.manifest import Cell, Checkpoint, File, Gap, Number, Share
from analyses.reading.sealed import Document, Entry


class Validated(Entry):
    """One validation during a training, see `bench.training.levels.Evaluation`."""

    step: int
    images_seen: int
    loss: Number
    learning_rate: float
    miou: Share
    iou: tuple[Share, ...]
    predicted_share: Share
    seconds: float = 0.0


class Record(Document):
    """What is said of a finished cell; the cell's id stands in it, and in the file's name."""

    id: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record.

        Raises:
            ResultsError: as of any such file; or it is the record of another cell.
        """
        record = super().read(path)
        if not path.stem.endswith(f"-{record.id}"):
            raise ResultsError(f"{cls.WHAT} {path}: it is of another cell, {record.id[:40]!r}; {cls.CURE}")
        return record


class TrainRecord(Record):
    """A finished training: the checkpoints of its levels, reached or not, and all validations."""

    WHAT: ClassVar[str] = "training record"
    CURE: ClassVar[str] = (
        "put it back from a copy; or remove it and run the same command again, which does this one training anew"
    )

    checkpoints: tuple[Checkpoint, ...]
    history: tuple[Validated, ...]
    seconds: float
    steps: int

    def brief(self) -> Cell:
        """Return what the manifest says of it."""
        return Cell(id=self.id, seconds=self.seconds, steps=self.steps)


class MeasureRecord(Record):
    """A finished measurement of a checkpoint on some images: the files that it made, and the maps that there are not.

    `part` says which of the checkpoint's cells it is, '' for the only one.
    """

    WHAT: ClassVar[str] = "record"
    CURE: ClassVar[str] = "remove it and run the same command again, which measures this one cell anew"

    model: str
    level: int
    part: str
    images: int
    files: dict[str, File]
    skipped: tuple[Gap, ...]
    seconds: float

    def brief(self) -> Cell:
        """Return what the manifest says of it."""
        return Cell(id=self.id, level=self.level, part=self.part, images=self.images, seconds=self.seconds)
