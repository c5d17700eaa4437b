"""The command line's last word: memory that ran out is one error, and a mistake of ours stays a traceback."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from bench.__main__ import THREADS
from segcam.errors import InputError, SegcamWarning
from tests.bench.harness import bench


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 4 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_ran_out(error: Exception) -> None:
    with patch("bench.planning.profile.read", side_effect=error):
        outcome = bench("run", "train")
    assert outcome.code == 1
    assert outcome.error.startswith("there is not enough memory (")
    assert "lower train.batch_size where it trains, score.batch_size or score.max_memory" in outcome.error


@pytest.mark.parametrize("started", [0, 5])
def test_threads_that_cannot_be_started(started: int, tmp_path: Path) -> None:
    """Told at once: libraries wait for ever for threads of their own that the system refuses."""
    left = iter([True] * started)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if not next(left, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    with patch("threading.Thread.start", refuse):
        outcome = bench("run", "all", "--out", tmp_path / "out")
    assert outcome.code == 1
    assert "too few threads: raise the limit (ulimit -u, or the container's)" in outcome.error
    assert f"({started} can be started, and {THREADS} are needed)" in outcome.error
    assert not (tmp_path / "out").exists()


def test_threads_that_cannot_be_started_later() -> None:
    with patch("bench.planning.profile.read", side_effect=RuntimeError("can't start new thread")):
        outcome = bench("run", "train")
    assert outcome.code == 1
    assert "too few threads: raise the limit (ulimit -u" in outcome.error


def test_notes_are_lines_and_other_warnings_are_left(tmp_path: Path) -> None:
    def said(*_: object) -> None:
        warnings.simplefilter("always")
        for kind in (SegcamWarning, UserWarning):
            warnings.warn("the prefix 'module.' is taken off", kind, stacklevel=1)
        raise InputError("the end")

    with warnings.catch_warnings(), patch("bench.planning.profile.read", side_effect=said):
        outcome = bench("run", "train")
    lines = outcome.err.splitlines()
    assert "note: the prefix 'module.' is taken off" in lines
    assert any("UserWarning: the prefix 'module.'" in line for line in lines)
    assert lines[-1] == "error: the end"


def test_what_is_no_lack_of_memory_is_not_hidden() -> None:
    with patch("bench.planning.profile.read", side_effect=RuntimeError("a bug")), pytest.raises(RuntimeError):
        bench("run", "train")
