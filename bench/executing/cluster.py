"""A Ray cluster: the same cells as Ray's tasks, which Ray places, and begins anew where a node or a process is lost."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from bench import endings
from bench.executing.executor import Ended
from bench.executing.order import Done, Order, perform
from bench.planning.work import Work
from segcam.errors import InputError, first_line

RETRIES = 3
"""How often Ray begins a task again whose process or node is lost."""
TELLING = 1.0
"""Seconds between two messages of a task."""
ANSWER = 10.0
"""Seconds that a task waits for an answer; without one it goes on."""
REACHING = 10.0
"""Seconds that a cluster has to answer."""
PATIENCE = 60.0
"""Seconds that tasks have to save what they do, before they are cancelled."""


def ray() -> Any:
    """Return the package.

    Raises:
        InputError: it is not installed.
    """
    try:
        import ray  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise InputError("--executor ray needs the package ray: pip install 'segcam[ray]'") from error
    return ray


class Board:
    """What tasks tell, and whether they are asked to stop: an actor, which they and this process reach."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, str]] = {}
        self._stopped = False

    def tell(self, name: str, done: int, note: str) -> bool:
        """Take the steps done of a cell, by its record's name, and a note; return whether to go on."""
        self._heard[name] = done, note
        return not self._stopped

    def heard(self) -> dict[str, tuple[int, str]]:
        """Return the steps done of each cell, and a note."""
        return self._heard

    def stop(self) -> None:
        """Ask all to stop."""
        self._stopped = True


def task(order: Order, work: Work, board: Any) -> Done | str:
    """Do a work on some node, or return how it was asked to end before."""
    package, told, going_on = ray(), 0.0, True

    def tell(done: int, note: str) -> bool:
        nonlocal told, going_on
        if time.monotonic() - told >= TELLING:
            told = time.monotonic()
            try:
                going_on = bool(package.get(board.tell.remote(work.cell.record, done, note), timeout=ANSWER))
            except package.exceptions.RayError:  # nobody shows it, and the work is as good
                going_on = True
        return going_on

    try:
        return perform(order, work, tell)
    except endings.Stopped as stop:
        endings.go_on()
        return f"ended by {stop.signal.name}"


class Cluster:
    """An executor of Ray's tasks.

    Args:
        order: the run; its folder is one that all nodes see under the same name.
        address: of the cluster; 'auto' for the one of this machine, '' for a new one of this machine's cores.
        gpus: of a task, which may be a share of one.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, order: Order, address: str = "", gpus: float = 0.0) -> None:
        self._ray = ray()
        self._order = order
        self._began = not self._ray.is_initialized()
        if self._began:
            self._connect(address)
        cores = self._ray.cluster_resources().get("CPU", 0.0)
        if cores < order.threads:
            self.close()
            raise InputError(f"--threads {order.threads}: no node of the cluster has as many cores ({cores:g} in all)")
        self._board = self._ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        self._task = self._ray.remote(num_cpus=order.threads, num_gpus=gpus, max_retries=RETRIES)(task)
        self._at_work: dict[Any, Work] = {}

    @property
    def room(self) -> int:
        """How many further works it takes now: all, for Ray itself queues what there is no room for."""
        return 1_000_000

    def submit(self, work: Work) -> None:
        """Begin a work, as soon as there is room."""
        self._at_work[self._task.remote(self._order, work, self._board)] = work

    def ended(self, seconds: float) -> list[Ended]:
        """Return what has ended since the last call, waiting for the first at most some seconds."""
        references = list(self._at_work)
        self._ray.wait(references, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return [self._end(reference) for reference in ready]

    def heard(self) -> dict[Work, tuple[int, str]]:
        """Return of what is at work the steps done, and a note; nothing while the board's process is begun again."""
        try:
            heard = self._ray.get(self._board.heard.remote(), timeout=ANSWER)
        except self._ray.exceptions.RayError:
            return {}
        return {work: heard[work.cell.record] for work in self._at_work.values() if work.cell.record in heard}

    def stop(self) -> None:
        """Ask all that is at work to save what it can and end, and wait for it."""
        with suppress(self._ray.exceptions.RayError):  # nobody can be asked: what is left is ended below
            self._ray.get(self._board.stop.remote(), timeout=ANSWER)
        references = list(self._at_work)
        if references:
            _, left = self._ray.wait(references, num_returns=len(references), timeout=PATIENCE)
            for reference in left:
                self._ray.cancel(reference, force=True)
        self._at_work.clear()
        self.close()

    def close(self) -> None:
        """Leave the cluster; one that was made for this run ends."""
        if self._began:
            self._ray.shutdown()

    def _connect(self, address: str) -> None:
        settings = {"include_dashboard": False} if not address else {}
        try:
            _reach(address)
            self._ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **settings)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise InputError(
                f"--address {address or 'of this machine'}: there is no Ray cluster ({first_line(error)}); start one "
                "with 'ray start --head', or leave out --address for this machine alone"
            ) from error

    def _end(self, reference: Any) -> Ended:
        work, errors = self._at_work.pop(reference), self._ray.exceptions
        try:
            done = self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = error.cause
            return Ended(work, error=cause if isinstance(cause, Exception) else error)
        except errors.RayError as error:
            return Ended(work, lost=first_line(error))
        return Ended(work, done=done) if isinstance(done, Done) else Ended(work, lost=done)


def _reach(address: str) -> None:
    """See that somebody listens at 'HOST:PORT': Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), REACHING).close()
