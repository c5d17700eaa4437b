"""How a process ends on a signal: work stops where it can go on from, what is open is put away, one line says so.

SIGTERM, SIGHUP and Ctrl-C raise `Stopped` where the main thread is. Libraries swallow exceptions here and there (in
callbacks, in `__del__`), so it is raised again until it has come through: by a timer, and by `check` where work is
between two parts. Work that must not be cut in two, such as a training step, runs in `deferred`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from bench.words import columns, wrapped

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
AGAIN = 0.5
"""Seconds until a stop that a library swallowed is raised again."""
TWICE = 1.0
"""Seconds within which a second signal is the first one, sent to the process and to its group."""
GOES_ON = "the same command goes on from here"


class Stopped(BaseException):
    """A signal asked the process to end.

    Attributes:
        signal: which.
        kept: what is kept of the work, and how to go on; told to the user.
    """

    def __init__(self, number: int, kept: str) -> None:
        super().__init__(number, kept)
        self.signal = signal.Signals(number)
        self.kept = kept

    @property
    def code(self) -> int:
        """The exit code: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal

    def __str__(self) -> str:
        return f"stopped by {'Ctrl-C' if self.signal == signal.SIGINT else self.signal.name}: {self.kept}"


class _State:
    """What signals have come, and what they are to do; one a process."""

    stop: Stopped | None = None
    came = 0.0
    deferring = 0
    ending = False
    kept = f"what was finished is kept; {GOES_ON}"


_state = _State()


def install() -> None:
    """Let signals stop the process from now on; those that it was started to ignore stay ignored, as `nohup` wants."""
    global _state  # noqa: PLW0603  (signals are the process's)
    _state = _State()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _receive)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _again)
    sys.unraisablehook = _unraisable


def stopped() -> Stopped | None:
    """Return the stop that was asked for, be it on its way or swallowed."""
    return _state.stop


def check() -> None:
    """Stop here if a signal has come: called between two parts of long work, also within `deferred`.

    Raises:
        Stopped: one has.
    """
    if _state.stop is not None:
        raise _state.stop


def stop(number: int = signal.SIGTERM) -> None:
    """Ask this process to stop at the next `check`, as a signal does."""
    if _state.stop is None:
        _state.stop = Stopped(number, _state.kept)


def go_on() -> None:
    """Forget a stop that was asked for and has been heeded; for a process that does one piece of work after another."""
    _state.stop = None


@contextmanager
def deferred() -> Iterator[None]:
    """Hold back signals while the block runs, but for `check`; a signal that came is raised behind it."""
    _state.deferring += 1
    try:
        yield
    finally:
        _state.deferring -= 1
    if not _state.deferring:
        check()


@contextmanager
def keeping(words: str) -> Iterator[None]:
    """Let a stop within the block say other words on what is kept and how to go on."""
    before, _state.kept = _state.kept, words
    try:
        yield
    finally:
        _state.kept = before


def close() -> None:
    """Write out what was printed; from here on a signal ends the process at once, since nothing is left to do."""
    _state.ending = True
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    flush()


def say(text: str) -> None:
    """Write a line to standard error, if there is one that takes it; on a terminal lines end between words."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{wrapped(text, columns(sys.stderr))}\n")
            sys.stderr.flush()


def flush() -> bool:
    """Write out what was printed, and return whether that worked; what is not taken is dropped, without a traceback."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            written = False
            with contextlib.suppress(OSError, ValueError):  # else the interpreter tries again, and complains
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return written


def _receive(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _state.ending:
        os._exit(128 + number)
    if _state.stop is None:
        _state.stop, _state.came = Stopped(number, _state.kept), now
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
    elif now - _state.came > TWICE:
        _at_once(128 + number)
    _raise()


def _again(_: int, __: FrameType | None) -> None:
    if not _state.ending:
        _raise()


def _raise() -> None:
    """Raise the stop, unless work defers it or it is on its way: what is being put away is put away."""
    if _state.stop is None or _state.deferring:
        return
    handled = sys.exception()
    while handled is not None:
        if handled is _state.stop:
            return
        handled = handled.__cause__ or handled.__context__
    raise _state.stop


def _at_once(code: int) -> NoReturn:
    """End without putting anything away: files are whole whatever ends the process."""
    shown = "\x1b[?25h" if os.isatty(2) else ""  # a progress bar hides the cursor
    with contextlib.suppress(OSError):
        os.write(2, f"{shown}\nstopped at once; what was saved before is kept\n".encode())
    os._exit(code)


def _unraisable(what: Any) -> None:
    """Keep quiet about a stop that was swallowed; it is raised again."""
    if not isinstance(what.exc_value, Stopped):
        sys.__unraisablehook__(what)
