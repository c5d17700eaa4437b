"""One writer at a time: a lock on a folder, which says who holds it and falls with the process that does."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from segcam.errors import SegcamError


class HeldError(SegcamError):
    """Somebody else holds the lock; the message says who, where and since when."""


@contextmanager
def held(file: Path, what: str, *, wait: bool = False, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock while the block runs; the lock of a process that is gone is free.

    Args:
        file: the lock's file; who holds it is told in a file beside it.
        what: what is locked, such as 'runs/quick', for messages.
        wait: whether to wait for another holder.
        waiting: told once who is waited for.

    Raises:
        HeldError: another process holds it, and `wait` is false.
        OSError: the folder cannot be written to.
    """
    owner = file.with_name(f"{file.name}.json")
    with contextlib.ExitStack() as stack:
        lock = _acquired(file, blocking=False)
        if lock is None:
            message = f"{what} is in use by {_words(owner)}"
            if not wait:
                raise HeldError(f"{message}: wait until it ends, or add --wait")
            if waiting is not None:
                waiting(f"{message}: waiting")
            lock = _acquired(file, blocking=True)
        assert lock is not None  # one that blocks ends with the lock
        stack.callback(lock.release)
        owner.unlink(missing_ok=True)  # a process that was killed left it; a link would be followed
        with owner.open("x", encoding="utf-8") as text:
            json.dump(_myself(), text)
        stack.callback(owner.unlink, missing_ok=True)
        yield


def _acquired(file: Path, *, blocking: bool) -> BaseFileLock | None:
    """Return the lock, or None where another process holds it and one is not to block."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock: BaseFileLock = FileLock(file)
    try:
        try:
            lock.acquire(blocking=blocking, poll_interval=0.2)
        except NotImplementedError:  # a file system without locks: a file that is there stands for one
            lock = SoftFileLock(file.with_name(f"{file.name}.soft"))
            lock.acquire(blocking=blocking, poll_interval=0.2)
    except Timeout:
        return None
    return lock


def _myself() -> dict[str, Any]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = str(os.getuid()) if hasattr(os, "getuid") else "?"
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": os.getpid(), "user": user, "host": socket.gethostname(), "since": since, "command": sys.argv[:6]}


def _words(owner: Path) -> str:
    """Return who holds a lock, as 'process 12 of ann on host, since 2026-01-01 12:00:00'."""
    try:
        values = json.loads(owner.read_text(encoding="utf-8"))
        since = datetime.fromisoformat(values["since"]).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {int(values['pid'])} of {values['user']} on {values['host']}, since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has just begun, or just ended
