"""Which executor a run has: none, where one process with all threads is as fast; processes; or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.executing.cluster import Cluster, ray
from bench.executing.executor import Executor
from bench.executing.local import Local
from bench.executing.order import Order
from bench.executing.performing import Performing
from bench.planning.environment import cores
from bench.run import Run

WORTH = 600.0
"""Work, in steps of a training, from which on processes save more seconds than it takes to begin them."""


@dataclass(frozen=True)
class Choice:
    """What the command line says of it.

    Attributes:
        ray: whether tasks of a Ray cluster do the cells.
        address: of the cluster; '' for one of this machine alone.
        workers: processes of this machine; None for as many as pay.
        threads: of a process or task.
        gpus: of a task.
    """

    ray: bool = False
    address: str = ""
    workers: int | None = None
    threads: int = 1
    gpus: float | None = None


@contextmanager
def executing(run: Run, choice: Choice, root: Path | None, stage: str) -> Iterator[Performing | None]:
    """Let a prepared run do its cells as chosen, while the block runs; yields what does them, None for this process.

    Args:
        run: it is prepared.
        choice: of the command line.
        root: folder of the data, where the command line names one.
        stage: of the run: 'all', 'train' or 'score'.

    Raises:
        InputError: Ray is not installed.
    """
    begin = _executor(run, choice, root, stage)
    if begin is None:
        yield None
        return
    performing = Performing(begin, run.console)
    run.perform_with(performing)
    try:
        yield performing
    finally:
        run.perform_with(None)
        performing.close()


def _executor(run: Run, choice: Choice, root: Path | None, stage: str) -> Callable[[], Executor] | None:
    """Return what begins the executor; None where one process does all."""
    order = Order.of(run, root, choice.threads)
    if choice.ray:
        ray()  # that it is not installed is told before anything is trained
        gpus = choice.gpus if choice.gpus is not None else float(run.device.type == "cuda")
        return partial(Cluster, order, choice.address, gpus)
    workers = choice.workers if choice.workers is not None else _workers(run, choice.threads, stage)
    return partial(Local, order, workers) if workers > 1 else None


def _workers(run: Run, threads: int, stage: str) -> int:
    """Return how many processes pay: on a GPU, and for little work, one."""
    if run.device.type != "cpu" or sum(piece.cost for piece in run.pieces(stage)) < WORTH:
        return 1
    return max(1, cores() // threads)
