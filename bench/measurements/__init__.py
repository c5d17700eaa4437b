"""What a study is: a measurement of checkpoints on a few test images, beside the scores of their maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from bench.measurements.sizes import Columns
from bench.planning.asked import Instruments
from bench.planning.cells import TrainCell
from bench.planning.data import Data
from bench.planning.profile import Profile
from segcam.samples import Batch
from segcam.scoring.reference import Scenery


class Asked(Protocol):
    """The keys that the section of every study has."""

    @property
    def images(self) -> int:
        """How many test images it looks at; 0 leaves it out."""

    @property
    def at_once(self) -> int:
        """How many of them at a time; a run that is interrupted loses as many."""

    @property
    def levels(self) -> str:
        """'all', or 'highest' for each training's highest level alone."""

    @property
    def training_seeds(self) -> str:
        """'all', or 'first' for the trainings with the first of the run's seeds alone."""


@dataclass(frozen=True)
class Job:
    """One checkpoint and some test images.

    Attributes:
        profile: the run's.
        train: what made the checkpoint.
        level: its level.
        model: its network, on its device.
        instruments: what the profile asks of every image.
        batch: the images.
        scenery: what is known of them.
        data: all images, for studies that train.
    """

    profile: Profile
    train: TrainCell
    level: int
    model: nn.Module
    instruments: Instruments
    batch: Batch
    scenery: Scenery
    data: Data


Advance = Callable[[int, str], None]
"""Called with the number of images finished since the last call (0 for a sign of life), and what is done."""


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: of its section in the profile, and what its cells' names begin with.
        tables: the folders of its tables.
        settings: its section of a profile.
        run: does a job, and returns the columns of each table but those that are the same in all rows.
    """

    name: str
    tables: tuple[str, ...]
    settings: Callable[[Profile], Asked]
    run: Callable[[Job, Advance], tuple[Columns, ...]]
