"""A run that is stopped or killed, again and again, ends as one that was left alone, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from segcam.models.weights.checkpoints import read_header
from tests.bench.conftest import FEW
from tests.bench.harness import assert_same_results, contents

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
PATIENCE = 120.0
"""Seconds after which a process that does nothing is given up."""


RINGING = """
import importlib, os, signal, sys
import analyses, bench.cli.commands, bench.cli.stages, bench.output.report, bench.run, torch._dynamo
from bench import endings
from bench.__main__ import main

few = os.environ["FEW"].split()
analyses.names = lambda: few
for name in few:
    importlib.import_module(analyses.find()[name].__module__)

def run(place, count, number):
    for stop in endings.SIGNALS:
        signal.signal(stop, signal.SIG_DFL)  # a shell's background processes ignore some
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    *names, last = path.split(".")
    for name in names:
        owner = getattr(owner, name)
    inner, calls = getattr(owner, last), 0

    def ring(*arguments, **settings):
        nonlocal calls
        calls += 1
        if calls == int(count):
            signal.raise_signal(int(number))
        return inner(*arguments, **settings)

    setattr(owner, last, ring)
    main()

for line in sys.stdin:
    said, *when = line.split()
    if not (child := os.fork()):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
        os.setsid()
        run(*when)
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Brings a signal when a function is called for the n-th time, in a process for each line that it reads: a file for
what it says, the function, n and the signal. They are forked, for the libraries take seconds to import."""

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


def start(folder: Path, *command: str, how: Sequence[str] = ("-m", "bench")) -> subprocess.Popen[str]:
    """Start a command as its own process, in a group of its own; it computes with as many threads as this one.

    Ctrl-C ends it, though these tests run in the background, where it is ignored and would stay so.
    """
    root = str(Path(bench.__file__).parents[1])
    more = {"PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads()), "FEW": " ".join(FEW)}
    arguments = [sys.executable, *how, *command, "--out", str(folder)]
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(arguments, env={**os.environ, **more}, text=True, start_new_session=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)


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
    ("bench.training.trainer:Trainer.advance 4", signal.SIGKILL, ""),
    ("bench.training.trainer:Trainer._validate 4", signal.SIGINT, "the training is saved at step {step}"),
    ("bench.measurements.scores:Scorer._tables 2", signal.SIGTERM, "what was finished is kept"),
    ("bench.measuring:Measuring.do 3", signal.SIGKILL, ""),
    ("bench.output.drawing:draw 2", signal.SIGHUP, "what was finished is kept"),
    ("bench.output.store:Store.write 24", signal.SIGKILL, ""),
]
"""Functions, which of their calls brings a signal, and what is said; nothing after SIGKILL."""
LEFT_ALONE = "bench.output.drawing:draw 0 0"
"""No call is the one before the first."""


@pytest.mark.slow
def test_stopped_and_killed_again_and_again(brief: Path, tiny: Path, tmp_path: Path) -> None:
    """While training, validating, scoring and drawing."""
    folder, said = tmp_path / "out", tmp_path / "said"
    forks = start(folder, "run", "all", "-p", str(tiny), how=("-c", RINGING))
    assert forks.stdin
    assert forks.stdout

    def ended(when: str) -> tuple[int, str]:
        print(said, when, file=forks.stdin, flush=True)
        code = int(forks.stdout.readline())
        output = said.read_text()
        said.unlink()
        return code, output

    with forks:
        for place, number, words in MOMENTS:
            code, output = ended(f"{place} {int(number)}")
            if number is signal.SIGKILL:
                assert (code, "Traceback" in output) == (-number, False), output
            else:
                assert code == 128 + number, output
                assert_stopped(output, words.format(step=saved_step(folder)) if "{" in words else words)
        code, output = ended(LEFT_ALONE)
        assert code == 0, output
        forks.stdin.close()
    assert_same_results(brief, folder)
    assert contents(folder).keys() == contents(brief).keys()
    assert contents(folder)["captions.md"] == contents(brief)["captions.md"]


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
