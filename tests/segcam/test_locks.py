"""One writer at a time, told by name; a dead one's lock is free."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from segcam.locks import HeldError, held

HOLDS = """
import sys, time
from pathlib import Path
from segcam.locks import held
with held(Path(sys.argv[1]), 'it'):
    print('held', flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(file: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds a lock, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(file), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_another_holder_is_named(tmp_path: Path) -> None:
    with holder(tmp_path / "lock", 60) as other:
        told = rf"runs/a is in use by process {other.pid} of .* since \d{{4}}-.*--wait"
        with pytest.raises(HeldError, match=told), held(tmp_path / "lock", "runs/a"):
            pass
        other.kill()
        other.wait()
        with held(tmp_path / "lock", "runs/a"):  # its owner's file is still there
            pass
    assert [path.name for path in tmp_path.iterdir()] in ([], ["lock"])


def test_one_may_wait(tmp_path: Path) -> None:
    told: list[str] = []
    with holder(tmp_path / "lock", 1), held(tmp_path / "lock", "runs/a", wait=True, waiting=told.append):
        time.sleep(0)
    assert len(told) == 1
    assert told[0].endswith("waiting")


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock.json").symlink_to(tmp_path / "mine")
    with held(tmp_path / "lock", "runs/a"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
