"""Processes of this machine, one cell at a time each; one that is killed takes no other along."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import RawArray, RawValue
from typing import Any

from bench import endings
from bench.executing.executor import Ended
from bench.executing.order import Done, Order, perform
from bench.planning.work import Work

NOTE = 400
"""Bytes of a note that are shown."""
WATCHING = 1.0
"""Seconds between two looks whether the process that gave work is there."""
PATIENCE = 60.0
"""Seconds that processes have to save what they do, before they are killed."""


class Board:
    """Memory that a process shares with the one that gave it work; without locks, which a killed process would keep.

    Attributes:
        done: steps.
        note: what is being done.
        busy: whether the process is at a work.
        stop: whether it is asked to end.
        process: its number.
    """

    def __init__(self) -> None:
        self.done = RawValue(ctypes.c_long, 0)
        self.note = RawArray(ctypes.c_char, NOTE)
        self.busy = RawValue(ctypes.c_bool, False)
        self.stop = RawValue(ctypes.c_bool, False)
        self.process = RawValue(ctypes.c_long, 0)

    def tell(self, done: int, note: str) -> bool:
        """Write what is done, and return whether to go on."""
        self.done.value = done
        self.note.value = note.encode()[: NOTE - 1]
        return not self.stop.value

    def read(self) -> tuple[int, str]:
        """Return the steps done, and the note."""
        return self.done.value, self.note.value.decode(errors="ignore")


_board: Board | None = None


def _begin(board: Board) -> None:
    """Prepare a new process: signals of the terminal are for the one that gave it work, which asks it to stop."""
    global _board  # noqa: PLW0603  (a process has one)
    _board = board
    board.process.value = os.getpid()
    threading.Thread(target=_end_with, args=(os.getppid(), board), daemon=True).start()
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: endings.stop(number))


def _end_with(parent: int, board: Board) -> None:
    """End this process when the one that gave it work is gone; a training is saved first."""
    while os.getppid() == parent:
        time.sleep(WATCHING)
    board.stop.value = True
    until = time.monotonic() + PATIENCE
    while board.busy.value and time.monotonic() < until:
        time.sleep(WATCHING / 10)
    os._exit(1)


def _perform(order: Order, work: Work) -> Done | str:
    """Do a work, or return how the process was asked to end before."""
    assert _board is not None  # the process began with one
    _board.busy.value = True
    try:
        return perform(order, work, _board.tell)
    except endings.Stopped as stop:  # no `Exception`: it would end the process
        endings.go_on()
        return f"ended by {stop.signal.name}"
    finally:
        _board.busy.value = False


class Local:
    """An executor of a few processes.

    Args:
        order: the run.
        workers: how many.
    """

    def __init__(self, order: Order, workers: int) -> None:
        self._order = order
        self._free: list[tuple[ProcessPoolExecutor, Board]] = []
        self._workers = workers
        self._at_work: dict[Future[Done | str], tuple[Work, ProcessPoolExecutor, Board]] = {}

    @property
    def room(self) -> int:
        """How many further works it takes now."""
        return self._workers - len(self._at_work)

    def submit(self, work: Work) -> None:
        """Begin a work."""
        pool, board = self._free.pop() if self._free else self._process()
        board.tell(0, "")
        self._at_work[pool.submit(_perform, self._order, work)] = work, pool, board

    def ended(self, seconds: float) -> list[Ended]:
        """Return what has ended since the last call, waiting for the first at most some seconds."""
        finished, _ = wait(self._at_work, seconds, FIRST_COMPLETED)
        return [self._end(future) for future in list(self._at_work) if future in finished]

    def heard(self) -> dict[Work, tuple[int, str]]:
        """Return of what is at work the steps done, and a note."""
        return {work: board.read() for work, _, board in self._at_work.values()}

    def stop(self) -> None:
        """Ask all that is at work to save what it can and end, and wait for it."""
        boards = [board for _, _, board in self._at_work.values()]
        for board in boards:
            board.stop.value = True
        patient = time.monotonic() + PATIENCE
        wait(self._at_work, PATIENCE)
        if time.monotonic() >= patient:
            for board in boards:
                _kill(board.process.value)
            wait(self._at_work, PATIENCE)
        for future in [one for one in self._at_work if one.done()]:
            self._end(future)
        self._at_work.clear()
        self.close()

    def close(self) -> None:
        """End the processes."""
        for pool, _ in self._free:
            pool.shutdown(wait=True, cancel_futures=True)
        self._free.clear()

    def _process(self) -> tuple[ProcessPoolExecutor, Board]:
        board = Board()
        context = multiprocessing.get_context("spawn")  # threads of this one, torch's and the console's, are not copied
        return ProcessPoolExecutor(1, context, _begin, (board,)), board

    def _end(self, future: Future[Done | str]) -> Ended:
        work, pool, board = self._at_work.pop(future)
        error: Any = future.exception()
        if isinstance(error, BrokenProcessPool):
            pool.shutdown(wait=False)
            self._workers = max(1, self._workers - 1)  # most likely memory ran out: fewer take less
            return Ended(work, lost="killed, or out of memory")
        self._free.append((pool, board))
        if error is not None:
            return Ended(work, error=error)
        done = future.result()
        return Ended(work, done=done) if isinstance(done, Done) else Ended(work, lost=done)


def _kill(process: int) -> None:
    if process:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
