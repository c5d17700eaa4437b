"""A run that is stopped or killed, again and again, ends as one that was left alone, and leaves no process behind."""

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
from segcam.models.weights.checkpoints import read_header
from tests.bench.harness import assert_same_results, contents

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
PATIENCE = 120.0
"""Seconds after which a process that does nothing is given up."""


RINGING = """
import importlib, os, signal, sys
from bench import endings
from bench.__main__ import main

for number in endings.SIGNALS:
    signal.signal(number, signal.SIG_DFL)  # a shell's background processes ignore some
place, count, number = os.environ["RING"].split()
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*names, last = path.split(".")
for name in names:
    owner = getattr(owner, name)
inner, calls = getattr(owner, last), 0

def ring(*arguments, **settings):
    global calls
    calls += 1
    if calls == int(count):
        signal.raise_signal(int(number))
    return inner(*arguments, **settings)

setattr(owner, last, ring)
main()
"""
"""Brings a signal when a function is called for the n-th time."""

BESIDE = """
import os, signal
from bench import endings
from bench.__main__ import main
from bench.output import drawing
for number in endings.SIGNALS:
    signal.signal(number, signal.SIG_DFL)
drawing.MUCH = 0
os.sched_getaffinity = lambda _: {0, 1}
main()
"""
"""Draws in two processes, however little there is to draw."""


def start(folder: Path, *command: str, how: Sequence[str] = ("-m", "bench"), ring: str = "") -> subprocess.Popen[str]:
    """Start a command as its own process, in a group of its own; it computes with as many threads as this one."""
    root = str(Path(bench.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads()), "RING": ring}
    arguments = [sys.executable, *how, *command, "--out", str(folder)]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def stop(process: subprocess.Popen[str], when: Callable[[], bool], how: signal.Signals, *, group: bool = False) -> str:
    """Send a signal, to its whole group perhaps, as soon as `when` holds, and return what the process said."""
    until = time.monotonic() + PATIENCE
    while not when():
        assert process.poll() is None, f"it ended before the moment came: {process.communicate()[1]}"
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.002)
    if group:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    return process.communicate(timeout=PATIENCE)[1]


def assert_stopped(output: str, words: str = "what was finished is kept") -> None:
    """What was said ends with the one line."""
    assert "Traceback" not in output
    assert output.count("the same command goes on from here") == output.count("stopped by") == 1, output
    assert output.rpartition("stopped by ")[2].partition(": ")[2] == f"{words}; the same command goes on from here\n"


MOMENTS = [
    ("bench.training.trainer:Trainer._train_step 3", signal.SIGTERM, "the training is saved at step 3"),
    ("bench.training.trainer:Trainer._validate 4", signal.SIGINT, "the training is saved at step {step}"),
    ("bench.measuring:Measuring.do 3", signal.SIGKILL, ""),
    ("bench.output.drawing:draw 5", signal.SIGHUP, "what was finished is kept"),
    ("bench.output.store:Store.write 40", signal.SIGKILL, ""),
]
"""Functions, which of their calls brings a signal, and what is said; nothing after SIGKILL."""


@pytest.mark.slow
def test_stopped_and_killed_again_and_again(finished: Path, tiny: Path, tmp_path: Path) -> None:
    """While training, validating, scoring and drawing."""
    folder = tmp_path / "out"
    command = ("run", "all", "-p", str(tiny))
    for place, number, words in MOMENTS:
        process = start(folder, *command, how=("-c", RINGING), ring=f"{place} {int(number)}")
        output = process.communicate(timeout=PATIENCE)[1]
        if number is signal.SIGKILL:
            assert (process.returncode, "Traceback" in output) == (-number, False), output
        else:
            assert process.returncode == 128 + number, output
            assert_stopped(output, words.format(step=saved_step(folder)) if "{" in words else words)
    process = start(folder, *command)
    output = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, output
    assert_same_results(finished, folder)
    assert contents(folder).keys() == contents(finished).keys()
    assert contents(folder)["captions.md"] == contents(finished)["captions.md"]


def saved_step(folder: Path) -> int:
    """The step at which a training is saved."""
    (state,) = folder.glob("cells/train-*.safetensors")
    return int(read_header(state)["step"])


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: Sequence[int]) -> bool:
    """Whether processes end within the patience."""
    until = time.monotonic() + PATIENCE
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return not left


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for a process's children")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_that_draws_stays(copied: Path, how: signal.Signals) -> None:
    """Ctrl-C in a terminal reaches them too; SIGKILL the first process alone."""
    process, started = start(copied, "run", "report", how=("-c", BESIDE)), list[int]()

    def drawing() -> bool:
        started[:] = children(process.pid)
        return len(started) == 3  # and the one that counts semaphores

    output = stop(process, drawing, how, group=how is signal.SIGINT)
    assert gone(started)
    if how is signal.SIGKILL:
        assert process.returncode == -how
    else:
        assert process.returncode == 128 + how, output
        assert_stopped(output)
