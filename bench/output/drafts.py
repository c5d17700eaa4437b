"""Drafts: what is half written beside its place, under a name that tells whose it is."""

from __future__ import annotations

import glob
import os
import re
import secrets
import shutil
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.(\d+)-\w+\.tmp")
"""Names of files half written, with the process that writes."""


def temporary_of(path: Path) -> Path:
    """Return a name beside a file for what is half written; it cannot be foretold, so that no link waits there."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def left_behind(path: Path) -> bool:
    """Return whether a file or folder is the draft of a process that is gone."""
    name = TEMPORARY.fullmatch(path.name)
    return name is not None and not alive(int(name[1])) and not path.is_symlink()


def sweep_beside(path: Path) -> None:
    """Remove what processes that were killed left of such a file or folder."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if left_behind(draft):
            shutil.rmtree(draft, ignore_errors=True) if draft.is_dir() else draft.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Return whether a process of this machine runs."""
    if os.name != "posix":  # where the signal 0 ends it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
