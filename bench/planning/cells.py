"""Cells, the units of work: what they are called, and which files they make."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.reading.files import GALLERY, SCORES, folder

COSTLY = "costly-"
"""How the parts begin that are of methods with passes of their own."""


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

    def checkpoint(self, level: int) -> str:
        """Return the file of a level's checkpoint."""
        return f"checkpoints/{self.name}-l{level}.safetensors"


@dataclass(frozen=True, slots=True)
class ScoreCell:
    """One checkpoint on one shard of the test images, on the gallery's images, or on a few of the costly methods'.

    Attributes:
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        part: 'gallery', the shard's number, or 'costly-' with a number.
        rows: indices of its test images.
        id: hash of what defines the result.
        attention: whether the attention of the network is measured as well.
        agreement: whether the maps of several targets are compared.
    """

    train: TrainCell
    level: int
    part: str
    rows: tuple[int, ...]
    id: str
    attention: bool = False
    agreement: bool = False

    @property
    def costly(self) -> bool:
        """Return whether it is of methods that take passes of their own."""
        return self.part.startswith(COSTLY)

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.train.name}-l{self.level}" + ("" if self.part == "gallery" else f"-{self.part}")

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished."""
        kind = "gallery" if self.part == "gallery" else "score"
        return f"cells/{kind}-{self.name}-{self.id}.json"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the files that it makes."""
        if self.part == "gallery":
            return (f"{GALLERY}/{self.name}.npz",)
        if self.costly:
            return (f"{SCORES}/{self.name}.parquet",)
        tables = [SCORES, "predictions"]
        tables += [name for name, made in (("attention", self.attention), ("agreement", self.agreement)) if made]
        return tuple(f"{folder(table)}/{self.name}.parquet" for table in tables)


@dataclass(frozen=True, slots=True)
class ResolutionCell:
    """One checkpoint on the test images at one size.

    Attributes:
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        factor: the size as a multiple of the training size.
        size: side of the images, in pixels.
        id: hash of what defines the result.
    """

    train: TrainCell
    level: int
    factor: float
    size: int
    id: str

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.train.name}-l{self.level}-{self.size}px"

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished."""
        return f"cells/resolution-{self.name}-{self.id}.json"

    @property
    def output(self) -> str:
        """Return the table that it makes."""
        return f"{folder('resolution')}/{self.name}.parquet"


@dataclass(frozen=True, slots=True)
class StudyCell:
    """One checkpoint in a study, on a few test images.

    Attributes:
        study: the study's name.
        tables: the tables that it writes.
        train: the cell that made the checkpoint.
        level: the checkpoint's level.
        number: of the cell among those of the checkpoint.
        rows: indices of its test images.
        id: hash of what defines the result.
    """

    study: str
    tables: tuple[str, ...]
    train: TrainCell
    level: int
    number: int
    rows: tuple[int, ...]
    id: str

    @property
    def name(self) -> str:
        """Return the cell's name in file names."""
        return f"{self.train.name}-l{self.level}-{self.number:03d}"

    @property
    def record(self) -> str:
        """Return the file that says that the cell is finished."""
        return f"cells/{self.study}-{self.name}-{self.id}.json"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the tables that it makes."""
        return tuple(f"{folder(table)}/{self.name}.parquet" for table in self.tables)


SCHEMA = 1
"""Version of the tables and the manifest; it is part of every cell's identity."""
