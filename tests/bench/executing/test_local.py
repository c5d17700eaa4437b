"""Cells in processes of this machine: the same bytes as in one; what is killed is done again; nothing stays behind."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from pathlib import Path

import pytest

from segcam.errors import DataError, InputError, SegcamError
from tests.bench.harness import assert_same_results, bench
from tests.bench.test_kill import assert_stopped, children, gone, start, stop

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks for children")]
TWO = ("--workers", "2")
SEEDS = ("--set", "train.seeds=[0,1]", "--set", "train.save_every=0.01")
LONG = ("--set", "train.levels=[99]", "--set", "train.epochs=400")


def computing(pid: int) -> list[int]:
    """The processes that a process started and that compute: not the one that counts semaphores."""
    found = [child for child in children(pid) if Path(f"/proc/{child}").exists()]
    return [one for one in found if "resource_tracker" not in Path(f"/proc/{one}/cmdline").read_text(errors="replace")]


def test_a_killed_process_changes_no_byte(finished: Path, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    for file in folder.glob("cells/*.json"):
        if not file.name.startswith("train-"):
            file.unlink()
    shutil.rmtree(folder / "scores")
    process = start(folder, "run", "score", "-p", str(tiny), *TWO)
    until = time.monotonic() + 60
    while len(computing(process.pid)) < 2:
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(computing(process.pid)[0], signal.SIGKILL)
    output = process.communicate(timeout=120)[1]
    assert process.returncode == 0, output
    assert output.count("it is begun again") == 1, output
    assert_same_results(finished, folder)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_trainings_are_saved_and_processes_end(tiny: Path, tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C in a terminal reaches all; SIGKILL the first process alone."""
    folder, started = tmp_path / "out", list[int]()
    process = start(folder, "run", "train", "-p", str(tiny), *TWO, *SEEDS, *LONG)

    def at_work() -> bool:
        started[:] = computing(process.pid)
        return len(list(folder.glob("cells/train-*.safetensors"))) == 2

    output = stop(process, at_work, how, group=how is signal.SIGINT)
    if how is signal.SIGINT:
        assert process.returncode == 130, output
        assert_stopped(output)
    assert len(started) == 2
    assert gone(started), "those that nobody waits for save, and end by themselves"
    assert len(list(folder.glob("cells/train-*.safetensors"))) == 2
    assert not list(folder.glob("cells/.*.tmp"))


@pytest.mark.parametrize("error", [InputError("wrong"), SegcamError("diverged"), DataError("no image")])
def test_errors_come_through_as_they_are(error: SegcamError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back)) == (type(error), str(error))


def test_options_go_with_their_executor(tiny: Path, tmp_path: Path) -> None:
    for option in (("--address", "auto"), ("--gpu-share", "0.5")):
        assert "that is for --executor ray" in bench("run", "all", "-p", tiny, "--out", tmp_path, *option).refusal
