"""Cells, the units of work: what they are called, and which files they make."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.reading.files import FILMS, folder

SCHEMA = 1
"""Version of the tables and the manifest; it is part of every cell's identity."""


@dataclass(frozen=True, slots=True)
class TrainCell:
    """One network trained with one seed.

    Attributes:
        model: name of the architecture.
        seed: training seed.
        id: hash of what defines the result.
        teacher: the training whose network is its teacher, if it has one.
    """

    model: str
    seed: int
    id: str
    teacher: TrainCell | None = None

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.model.replace(':', '-')}-s{self.seed}"

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished, and how it ended."""
        return f"cells/train-{self.name}-{self.id}.json"

    @property
    def state(self) -> str:
        """Return the file of the state from which training goes on."""
        return f"cells/train-{self.name}-{self.id}.safetensors"

    @property
    def film(self) -> str:
        """Return the file of the film."""
        return f"{FILMS}/{self.name}.npz"

    @property
    def look(self) -> str:
        """Return the picture of the maps so far."""
        return f"looks/{self.name}.webp"

    def checkpoint(self, level: int) -> str:
        """Return the file of a level's checkpoint."""
        return f"checkpoints/{self.name}-l{level}.safetensors"


@dataclass(frozen=True, slots=True)
class MeasureCell:
    """One measurement of one checkpoint on some test images.

    Attributes:
        measurement: its name.
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        part: which of the checkpoint's cells it is, such as '003'; '' for the only one.
        rows: indices of its test images.
        id: hash of what defines the result.
        prefix: what its name begins with, where several runs share a folder.
    """

    measurement: str
    train: TrainCell
    level: int
    part: str
    rows: tuple[int, ...]
    id: str
    prefix: str = ""

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.prefix}{self.train.name}-l{self.level}" + (f"-{self.part}" if self.part else "")

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished, and which files it made."""
        return f"cells/{self.measurement}-{self.name}-{self.id}.json"

    def file(self, table: str, suffix: str = "parquet") -> str:
        """Return its file in a table's folder."""
        return f"{folder(table)}/{self.name}.{suffix}"
