"""A run that is killed outright, again and again, ends as one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

import bench
from tests.bench.harness import assert_same_results, contents

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
PATIENCE = 120.0
"""Seconds after which a process that does nothing is given up."""


INTERRUPTIBLE = """
import signal
from bench.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
main()
"""


def start(tiny: Path, folder: Path, how: Sequence[str] = ("-c", INTERRUPTIBLE)) -> subprocess.Popen[str]:
    """Start a run as its own process; it computes with as many threads as this one."""
    root = str(Path(bench.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    arguments = [sys.executable, *how, "run", "all", "-p", str(tiny), "--out", str(folder)]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def stop(process: subprocess.Popen[str], when: Callable[[], bool], how: signal.Signals) -> str:
    """Send a signal as soon as `when` holds, and return what the process said."""
    until = time.monotonic() + PATIENCE
    while not when():
        assert process.poll() is None, f"it ended before the moment came: {process.communicate()[1]}"
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.002)
    process.send_signal(how)
    return process.communicate(timeout=PATIENCE)[1]


@pytest.mark.slow
def test_killed_again_and_again(finished: Path, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def holds(pattern: str) -> Callable[[], bool]:
        return lambda: any(folder.glob(pattern))

    moments = [
        (holds("cells/train-*.safetensors"), signal.SIGKILL),  # while training
        (holds("cells/scores-*.json"), signal.SIGINT),  # while scoring
        (holds("tables/*.csv"), signal.SIGKILL),  # while drawing
    ]
    for when, how in moments:
        process = start(tiny, folder)
        output = stop(process, when, how)
        assert process.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL), output
        assert "Traceback" not in output
        assert ("the same command goes on from here" in output) == (how is signal.SIGINT)
        assert (folder / "manifest.json").is_file()
    process = start(tiny, folder, ("-m", "bench"))
    output = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, output
    assert_same_results(finished, folder)
    assert contents(folder).keys() == contents(finished).keys()
    assert contents(folder)["captions.md"] == contents(finished)["captions.md"]
