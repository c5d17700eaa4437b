"""What a worker knows of a run, and how it does a cell of it."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from rich.console import Console

from bench import endings
from bench.allocator import keep_freed_memory
from bench.measuring import Measuring
from bench.output.store import Store
from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.data import open_data
from bench.planning.profile import profile_class
from bench.planning.work import Place, Work
from bench.progress import Forwarded, forwarding
from bench.run import Run

Tell = Callable[[int, str], bool]
"""Takes the steps done of the work at hand and a note; returns whether to go on."""


@dataclass(frozen=True)
class Order:
    """All that opens a run in another process.

    Attributes:
        profile: the run's, as JSON.
        root: folder of the data, where the command line names one.
        out: folder of the run.
        device: where networks run.
        threads: of a worker.
        folder: in which the command was given: relative paths begin there.
    """

    profile: str
    root: Path | None
    out: Path
    device: str
    threads: int
    folder: Path

    @classmethod
    def of(cls, run: Run, root: Path | None, threads: int) -> Order:
        """Describe a run that is prepared."""
        return cls(run.profile.model_dump_json(), root, run.store.out, str(run.device), threads, Path.cwd())


@dataclass(frozen=True)
class Done:
    """What came of a work that was done.

    Attributes:
        seconds: that it took.
        result: how a training ended, in words; '' for measurements.
        notes: warnings on the way.
    """

    seconds: float
    result: str
    notes: tuple[str, ...]


def perform(order: Order, work: Work, tell: Tell) -> Done:
    """Do a cell in this process; its files are in the run's folder when it returns.

    Raises:
        SegcamError: it cannot be done.
        Stopped: `tell` said not to go on; a training was saved.
    """
    started = time.monotonic()

    def told(done: int, note: str) -> None:
        if not tell(done, note):
            endings.stop()

    with warnings.catch_warnings(record=True) as caught, forwarding(told) as tasks:
        warnings.simplefilter("default")
        told(0, "")
        if isinstance(work.cell, TrainCell):
            _opened(order).trainings.train(work.cell)
        else:
            _measure(order, work, told)
    notes = dict.fromkeys(str(warning.message) for warning in caught if warning.category.__name__ == "SegcamWarning")
    result = next((task.result for task in tasks if task.result), "")
    return Done(time.monotonic() - started, result, tuple(notes))


@lru_cache(maxsize=1)
def _opened(order: Order) -> Run:
    os.chdir(order.folder)
    torch.set_num_threads(order.threads)
    torch.backends.cudnn.allow_tf32 = False  # as in the process that began the run
    keep_freed_memory()
    profile = profile_class().model_validate_json(order.profile)
    data = open_data(profile, root=order.root, download=False)
    return Run(profile, data, Store(order.out), torch.device(order.device), Console(quiet=True), lambda _: False)


def _measure(order: Order, work: Work, told: Callable[[int, str], None]) -> None:
    assert isinstance(work.cell, MeasureCell)
    assert work.place is not None  # of every measurement
    _measuring(order, work.place).do(work.cell, Forwarded(told, work.cell.name, work.steps))


@lru_cache(maxsize=1)
def _measuring(order: Order, place: Place) -> Measuring:
    """Return a run's measurements of one class; it keeps the network of the last cell."""
    return _opened(order).measuring_of(place.view, place.stage, place.prefix, Store(place.out))
