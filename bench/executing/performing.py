"""Gives a run's cells to an executor: what others wait for first, what is lost again, and one line of progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from rich.console import Console

from bench import endings
from bench.executing.executor import Ended, Executor
from bench.planning.work import Work
from bench.progress import Task, clock, say, working
from segcam.errors import SegcamError

ATTEMPTS = 3
"""How often a cell is begun whose process is lost: by then it is the cell's own fault."""
LISTENING = 0.25
"""Seconds between two looks at what is at work."""
SAVING = 30.0
"""Seconds between two manifests, at least."""


class Performing:
    """Does work with an executor; see `bench.planning.work.Perform`.

    Args:
        begin: returns what does it; called when there is work.
        console: where progress is shown.
    """

    def __init__(self, begin: Callable[[], Executor], console: Console) -> None:
        self.console = console
        self._begin = begin
        self._executor: Executor | None = None
        self._notes: set[str] = set()

    def __call__(self, name: str, works: Sequence[Work], total: int, saved: Callable[[], object]) -> None:
        """Do all of it, and show its progress; see `bench.planning.work.Perform`."""
        executor = self._executor = self._executor or self._begin()
        with endings.deferred():  # a signal is heeded between two looks, never while a lock is held within the executor
            self._all(executor, name, works, total, saved)
        saved()

    def _all(
        self, executor: Executor, name: str, works: Sequence[Work], total: int, saved: Callable[[], object]
    ) -> None:
        to_do = sum(work.steps for work in works)
        waiting, at_work, finished = list(works), list[Work](), 0
        lost: Counter[Work] = Counter()
        written = time.monotonic()
        try:
            with working(self.console, name, total, total - to_do) as task:
                while waiting or at_work:
                    for work in _ready(waiting, at_work, executor.room):
                        executor.submit(work)
                        waiting.remove(work)
                        at_work.append(work)
                    for end in executor.ended(LISTENING):
                        at_work.remove(end.work)
                        if end.lost:
                            lost[end.work] += 1
                            self._again(end, lost[end.work])
                            waiting.insert(0, end.work)
                        else:
                            self._tell(end)
                            finished += end.work.steps
                    _show(task, total - to_do + finished, executor.heard())
                    if time.monotonic() - written >= SAVING:
                        saved()
                        written = time.monotonic()
        except BaseException:
            executor.stop()
            raise

    def close(self) -> None:
        """Give back processes and connections; the next work begins them anew."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None

    def _again(self, end: Ended, times: int) -> None:
        name = end.work.cell.name
        if times >= ATTEMPTS:
            raise SegcamError(
                f"the process at {name} ended {times} times before it was done ({end.lost}): it may take more memory "
                "than there is; lower --workers, train.batch_size, score.batch_size or score.max_memory; what is "
                "finished is kept"
            )
        say(self.console, f"{name}: its process ended ({end.lost}); it is begun again")

    def _tell(self, end: Ended) -> None:
        """Pass on an error; of what is done, say how a training ended, and each warning once."""
        if end.error is not None:
            raise end.error
        assert end.done is not None  # neither lost nor failed
        for note in end.done.notes:
            if note not in self._notes:
                self._notes.add(note)
                say(self.console, f"note: {note}")
        if end.done.result:
            say(self.console, f"{end.work.cell.name} in {clock(end.done.seconds)}: {end.done.result}")


def _ready(waiting: Sequence[Work], at_work: Sequence[Work], room: int) -> list[Work]:
    """Return what can be begun now, in its order, as far as there is room."""
    if not room:
        return []
    unfinished = {work.cell for work in (*waiting, *at_work)}
    return list(islice((work for work in waiting if not unfinished.intersection(work.after)), room))


def _show(task: Task, finished: int, heard: Mapping[Work, tuple[int, str]]) -> None:
    """Show the steps of what is finished and at work, and what each process is at."""
    notes = [f"{work.cell.name}: {note}" if work.place is None else note for work, (_, note) in heard.items() if note]
    task.to(finished + sum(done for done, _ in heard.values()), "; ".join(notes))
