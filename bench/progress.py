"""Progress of long work: bars with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import endings

EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class Task:
    """One piece of long work."""

    def __init__(self, console: Console, bars: Progress, name: str, total: int, done: int = 0) -> None:
        self._console = console
        self._bars = bars
        self._id = bars.add_task(name, total=total, completed=done, note="")
        self._name = name
        self._total = total
        self._first = self._done = done
        self._started = self._told = time.monotonic()

    def to(self, done: int, note: str = "") -> None:
        """Say how much is done, with a note such as the mean IoU.

        Raises:
            Stopped: a signal asked the process to end.
        """
        endings.check()
        self._done = done
        self._bars.update(self._id, completed=done, note=note)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._told >= EVERY or done == self._total):
            left = (now - self._started) / max(1, done - self._first) * (self._total - done)
            self._told = now
            self._console.print(f"{self._name}: {done}/{self._total}, {_clock(left)} left  {note}", markup=False)

    def resize(self, total: int) -> None:
        """Say how much there is in all, where that is known only later."""
        self._total = total
        self._bars.update(self._id, total=total)

    def advance(self, by: int, note: str = "") -> None:
        """Say how much was done since the last call."""
        self.to(self._done + by, note)


@contextmanager
def working(console: Console, name: str, total: int, done: int = 0) -> Iterator[Task]:
    """Show the progress of one piece of work.

    Args:
        console: where.
        name: what is being done.
        total: how many steps it takes.
        done: how many were done before.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield Task(console, bars, name, total, done)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
