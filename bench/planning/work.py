"""Work: a cell as it is given to some process, which needs the profile and the run's folder alone to do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.views import View


@dataclass(frozen=True, slots=True)
class Place:
    """Which of a run's measurements a cell is one of.

    Attributes:
        view: the class that it explains.
        stage: of the measurement.
        prefix: what the names of files begin with before that of the class.
        out: the folder that its files go to.
    """

    view: View
    stage: str
    prefix: str
    out: Path


@dataclass(frozen=True, slots=True)
class Work:
    """A cell to be done.

    Attributes:
        cell: a training or a measurement.
        steps: what its progress counts to.
        place: of a measurement.
    """

    cell: TrainCell | MeasureCell
    steps: int
    place: Place | None = None

    @property
    def after(self) -> tuple[TrainCell, ...]:
        """The cells that are to be finished before this one is begun."""
        teacher = self.cell.teacher if isinstance(self.cell, TrainCell) else None
        return () if teacher is None else (teacher,)


class Perform(Protocol):
    """Does work in other processes than this one."""

    def __call__(self, name: str, works: Sequence[Work], total: int, saved: Callable[[], object]) -> None:
        """Do all of it, and show its progress.

        Args:
            name: what the progress is called.
            works: what is to be done; in any order, but for what one is after.
            total: steps of all there is, done before or not.
            saved: called now and then, when some are finished.

        Raises:
            SegcamError: a cell cannot be done.
            Stopped: a signal asked the process to end; what was finished is kept.
        """
