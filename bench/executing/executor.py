"""What an executor is: it takes work, says how far it is, and gives back what has ended, be it done, failed or lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.executing.order import Done
from bench.planning.work import Work


@dataclass(frozen=True)
class Ended:
    """A work that is not at work any more.

    Attributes:
        work: which.
        done: what came of it.
        error: what it raised.
        lost: how its process ended, where it did not live to say anything.
    """

    work: Work
    done: Done | None = None
    error: Exception | None = None
    lost: str = ""


class Executor(Protocol):
    """Does work somewhere."""

    @property
    def room(self) -> int:
        """How many further works it takes now."""

    def submit(self, work: Work) -> None:
        """Begin a work."""

    def ended(self, seconds: float) -> list[Ended]:
        """Return what has ended since the last call, waiting for the first at most some seconds."""

    def heard(self) -> dict[Work, tuple[int, str]]:
        """Return of what is at work the steps done, and a note."""

    def stop(self) -> None:
        """Ask all that is at work to save what it can and end, and wait for it."""

    def close(self) -> None:
        """Give back processes and connections."""
