"""Records of finished cells, `cells/*.json`: what was made, and how long it took; see `bench.training.record`, too."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from analyses.reading.files import ResultsError
from analyses.reading.manifest import Cell, File, Gap
from analyses.reading.sealed import Document


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
