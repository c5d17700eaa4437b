"""Cells as tasks of a Ray cluster of two nodes: the same bytes as in one process, though a node and a process die."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.executing import cluster as cluster_module
from tests.bench.harness import assert_same_results, bench
from tests.bench.test_kill import PATIENCE, start

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one core each beside a head without any."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield made
    made.shutdown()


def unscored(finished: Path, folder: Path) -> Path:
    """A copy of a run of which nothing is scored."""
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "scores")
    for file in folder.glob("cells/*.json"):
        if not file.name.startswith("train-"):
            file.unlink()
    return folder


def waited(holds: Callable[[], Any]) -> Any:
    """What something returns as soon as it is true."""
    until = time.monotonic() + PATIENCE
    while not (value := holds()):
        assert time.monotonic() < until
        time.sleep(0.005)
    return value


def tasks() -> list[int]:
    """The processes that are at a task."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if words.startswith("ray::task"):
            found.append(int(process.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds tasks by their names")
def test_a_lost_process_and_a_lost_node_change_no_byte(
    cluster: Any, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    folder = unscored(finished, tmp_path / "out")
    ray = ("--executor", "ray", "--address", cluster.address)
    process = start(folder, "run", "score", "-p", str(tiny), *ray)
    os.kill(waited(tasks)[0], signal.SIGKILL)
    waited(lambda: any(folder.glob("cells/scores-*.json")))
    waited(tasks)
    cluster.remove_node(nodes[0], allow_graceful=False)
    output = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, output
    assert_same_results(finished, folder)


def test_no_cluster_is_one_message(finished: Path, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    folder = unscored(finished, tmp_path / "out")
    outcome = bench("run", "score", "-p", tiny, "--out", folder, "--executor", "ray", "--address", "127.0.0.1:1")
    assert "--address 127.0.0.1:1: there is no Ray cluster" in outcome.refusal


def test_a_lost_board_ends_no_run() -> None:
    """The process of the board dies as any other: nothing is shown until it is there again."""

    class GoneError(Exception):
        """What Ray says."""

    def get(_reference: object, timeout: float) -> object:
        raise GoneError(f"no answer in {timeout} s")

    cluster = object.__new__(cluster_module.Cluster)
    board = SimpleNamespace(**{name: SimpleNamespace(remote=lambda: None) for name in ("heard", "stop")})
    cluster._ray = SimpleNamespace(get=get, exceptions=SimpleNamespace(RayError=GoneError))
    cluster._board, cluster._at_work, cluster._began = board, {}, False
    assert cluster.heard() == {}
    cluster.stop()
