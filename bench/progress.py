"""Progress of long work: a line that moves on a terminal, with the stage and the time left of the whole; else lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from bench import endings
from bench.words import elided, wrapped

EVERY = 10.0
"""Seconds between lines where there is no terminal."""
BAR = 8
"""Columns of the shortest bar that says anything."""
LONGEST = 40
"""Columns of the longest bar."""
NOTE = 2
"""Lines of a note; what is beyond is left out."""


@dataclass(frozen=True)
class Piece:
    """A piece of work that is still to be done.

    Attributes:
        name: as `working` is told.
        cost: about how long it takes, beside the other pieces.
    """

    name: str
    cost: float


@dataclass
class Whole:
    """All of a run's work, piece by piece, for the time that is left.

    Attributes:
        pieces: what is to be done, in its order.
        turn: how many such runs were done before this one, of all that belong together.
        turns: how many belong together.
    """

    pieces: Sequence[Piece]
    turn: int = 0
    turns: int = 1
    _done: float = field(default=0.0, init=False)
    _seconds: float = field(default=0.0, init=False)
    _began: dict[str, int] = field(default_factory=dict, init=False)

    def stage(self, name: str) -> str:
        """Return which piece of how many one is, as '2/5'; '' for what is not among them."""
        number = next((i for i, piece in enumerate(self.pieces, 1) if piece.name == name), None)
        every = len(self.pieces)
        return "" if number is None else f"{self.turn * every + number}/{self.turns * every}"

    def left(self, name: str, share: float, seconds: float) -> float | None:
        """Return the seconds until all is done, at the pace so far; None where nothing tells it.

        Args:
            name: the piece at work.
            share: how much of it was done, of what there was to do.
            seconds: since it was begun.
        """
        costs = {piece.name: piece.cost for piece in self.pieces}
        if name not in costs:
            return None
        done = self._done + share * costs[name]
        if done <= 0:
            return None
        every = sum(costs.values())
        behind = sum(list(costs.values())[: list(costs).index(name)]) + share * costs[name]
        rest = every - behind + (self.turns - 1 - self.turn) * every
        return (self._seconds + seconds) / done * max(0.0, rest)

    def end(self, name: str, share: float, seconds: float) -> None:
        """Learn from a piece that was done, or as much of it as was needed."""
        for piece in self.pieces:
            if piece.name == name:
                self._done += share * piece.cost
                self._seconds += seconds


_whole: ContextVar[Whole | None] = ContextVar("_whole", default=None)


@contextmanager
def expecting(whole: Whole) -> Iterator[None]:
    """Tell the work within the block what else there is to do."""
    token = _whole.set(whole)
    try:
        yield
    finally:
        _whole.reset(token)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line as it is: on a terminal broken between words, while paths stay whole; elsewhere as one line."""
    lines = wrapped(text, console.width if console.is_terminal else None)
    console.print(Text(lines, style), soft_wrap=True, highlight=False)


class Task:
    """One piece of long work.

    Attributes:
        result: what came of it, told when it ends.
    """

    def __init__(self, console: Console, name: str, total: int, done: int = 0) -> None:
        self.result = ""
        self._note = ""
        self._console = console
        self._whole = _whole.get()  # here, since the line is drawn by another thread
        self._name = name
        self._total = total
        self._first = self._done = done
        self._started = self._told = self._heard = time.monotonic()
        self._left: float | None = None

    def to(self, done: int, note: str = "") -> None:
        """Say how much is done, with a note such as the mean IoU.

        Raises:
            Stopped: a signal asked the process to end.
        """
        endings.check()
        self._done, self._note, self._heard = done, note, time.monotonic()
        self._left = self._until_end()
        if not moves(self._console) and self._heard - self._told >= EVERY:
            self._told = self._heard
            left = "" if self._left is None else f", {clock(self._left)} left"
            say(self._console, f"{self._head()}: {done}/{self._total}{left}  {note}".rstrip())

    def resize(self, total: int) -> None:
        """Say how much there is in all, where that is known only later."""
        self._total = total

    def advance(self, by: int, note: str = "") -> None:
        """Say how much was done since the last call."""
        self.to(self._done + by, note)

    def end(self) -> None:
        """Say that no more is to be done."""
        now = time.monotonic()
        if self._whole is not None:
            self._whole.end(self._name, self._share(), now - self._started)
        if self._done == self._first or (now - self._started < EVERY and not self._staged()):
            return  # nothing was done, or it is no stage and nobody had to wait
        of = f"{self._done}/{self._total}"
        say(self._console, f"{self._head()}: {of} in {clock(now - self._started)}  {self.result}".rstrip())

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the line that moves: names are cut where there is no room, numbers are not."""
        width = options.max_width
        left = None if self._left is None else max(0.0, self._left - (time.monotonic() - self._heard))
        numbers = f" {self._done}/{self._total}" + ("" if left is None else f"  {clock(left)} left")
        head = elided(self._head(), max(1, width - len(numbers)))
        room = min(LONGEST, width - len(head) - len(numbers) - 1)
        line = Text(head, "bold")
        if room >= BAR and self._total:
            full = round(room * min(1.0, self._done / self._total))
            line.append(" ").append("━" * full, "green").append("━" * (room - full), "bright_black")
        yield line.append(numbers)
        lines = wrapped(self._note, width).split("\n") if self._note else []
        if len(lines) > NOTE:
            lines = [*lines[: NOTE - 1], elided(" ".join(lines[NOTE - 1 :]), width)]
        for text in lines:
            yield Segment(elided(text, width))
            yield Segment.line()

    def _staged(self) -> str:
        return "" if self._whole is None else self._whole.stage(self._name)

    def _head(self) -> str:
        return f"{self._staged()} {self._name}".lstrip()

    def _share(self) -> float:
        return (self._done - self._first) / max(1, self._total - self._first)

    def _until_end(self) -> float | None:
        """Return the seconds until the whole is done, or the task where no whole is known."""
        seconds = self._heard - self._started
        if self._whole is not None and self._staged():
            return self._whole.left(self._name, self._share(), seconds)
        done = self._done - self._first
        return seconds / done * (self._total - self._done) if done else None


Sink = Callable[[int, str], None]
"""Takes how much is done, and a note."""
_forwarded: ContextVar[tuple[Sink, list[Task]] | None] = ContextVar("_forwarded", default=None)


class Forwarded(Task):
    """A piece of work whose progress is shown by another process."""

    def __init__(self, sink: Sink, name: str, total: int, done: int = 0) -> None:
        super().__init__(Console(quiet=True), name, total, done)
        self._sink = sink

    def to(self, done: int, note: str = "") -> None:
        """Say how much is done, with a note such as the mean IoU.

        Raises:
            Stopped: this process is asked to end.
        """
        self._done = done
        self._sink(done, note)
        endings.check()

    def end(self) -> None:
        """Say that no more is to be done: whoever asked for it sees that."""


@contextmanager
def forwarding(sink: Sink) -> Iterator[list[Task]]:
    """Tell `sink` the progress of the work within the block, and show none; what is yielded fills with the tasks."""
    tasks = list[Task]()
    token = _forwarded.set((sink, tasks))
    try:
        yield tasks
    finally:
        _forwarded.reset(token)


@contextmanager
def working(console: Console, name: str, total: int, done: int = 0) -> Iterator[Task]:
    """Show the progress of one piece of work; of work of which nothing is left, nothing is shown.

    Args:
        console: where.
        name: what is being done.
        total: how many steps it takes.
        done: how many were done before.
    """
    if (forwarded := _forwarded.get()) is not None:
        sink, tasks = forwarded
        tasks.append(Forwarded(sink, name, total, done))
        yield tasks[-1]
        return
    task = Task(console, name, total, done)
    if moves(console) and done < total:
        with Live(task, console=console, transient=True, refresh_per_second=4):
            yield task
    else:
        yield task
    task.end()


def moves(console: Console) -> bool:
    """Return whether lines can be drawn anew: on a terminal that is more than a typewriter."""
    return console.is_terminal and not console.is_dumb_terminal


def clock(seconds: float) -> str:
    """Return a time in print.

    >>> clock(5), clock(125), clock(11_520)
    ('0:05', '2:05', '3:12:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
