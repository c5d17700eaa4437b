"""How much memory there is: what a process may still take, of the machine's and of what its group is allowed."""

from __future__ import annotations

import os
from pathlib import Path

from segcam.errors import InputError

CGROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


def available() -> int | None:
    """Return the bytes of memory that a process may still take; None where the system does not tell.

    Files that the system keeps in memory count as free.
    """
    told = [amount for amount in (_machine(), _group(), _group_v1()) if amount is not None]
    return min(told) if told else None


def _machine() -> int | None:
    values = _table(MEMINFO)
    if "MemAvailable:" in values:
        return values["MemAvailable:"] * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows; a system without the names
        return None


def _group() -> int | None:
    limit, used = _number(CGROUP / "memory.max"), _number(CGROUP / "memory.current")
    if limit is None or used is None:
        return None
    return max(0, limit - used + _table(CGROUP / "memory.stat").get("inactive_file", 0))


def _group_v1() -> int | None:
    folder = CGROUP / "memory"
    limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
    if limit is None or used is None:
        return None
    return max(0, limit - used + _table(folder / "memory.stat").get("total_inactive_file", 0))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # there is none; 'max', for no limit
        return None


def _table(file: Path) -> dict[str, int]:
    try:
        rows = [line.split() for line in file.read_text().splitlines()]
    except (OSError, ValueError):
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def amount(size: int) -> str:
    """Return a number of bytes as people read it.

    >>> amount(3 * 2**30 // 2)
    '1.5 GiB'
    """
    return f"{size / 2**20:,.0f} MiB" if size < 2**30 else f"{size / 2**30:,.1f} GiB"


def must_fit(what: str, size: int, cure: str, free: int | None = None) -> None:
    """See that something fits into memory.

    Args:
        what: how the error calls it, such as 'a batch of train.batch_size = 16 images'.
        size: the bytes that it takes at least.
        cure: what to do where it does not.
        free: the bytes that are free; by default those of `available`.

    Raises:
        InputError: it does not fit.
    """
    free = available() if free is None else free
    if free is not None and size > free:
        raise InputError(f"{what} takes at least {amount(size)} of memory, and {amount(free)} are free: {cure}")
