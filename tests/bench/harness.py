"""A run small enough for tests, and the command line called from within."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pandas as pd

from analyses.reading.sealed import sealed
from bench import endings
from bench.__main__ import main
from bench.output.store import LOCKS
from bench.planning import plan
from bench.planning.cells import MeasureCell, TrainCell
from bench.planning.measurement import MEASUREMENTS
from bench.planning.profile import Profile

TINY = """
summary = "for tests"

[data]
dataset = "scenes"
size = 32
train = 60
val = 12
test = 6

[models.unet]
width = 2

[train]
levels = [30, 40]
tolerance = 8.0
epochs = 4
batch_size = 5
learning_rate = 0.02
longest_interval = 4
save_every = 0
precision = "fp32"

[score]
shard = 4
batch_size = 4
targets = ["best_pixel:logit", "predicted:logit"]

[figures]
images = 1
dpi = 50
"""
IMAGES, LEVELS, TARGETS = 6, (30, 40), ("best_pixel:logit", "predicted:logit")
RESULTS = ("scores", "checkpoints", "films", "tables")
"""Folders whose files are the same bytes whenever the same run ends, however often it was stopped."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error message; there is no traceback beside it."""
        assert "Traceback" not in self.err + self.out
        assert self.err.count("error: ") == 1, self.err
        return self.err.partition("error: ")[2]

    @property
    def refusal(self) -> str:
        """The error message of wrong input."""
        assert self.code == 2, self.err
        return self.error


@contextmanager
def own_signals() -> Iterator[None]:
    """Leave what signals do to this process as it was, whatever the block makes of it."""
    handlers = {number: signal.getsignal(number) for number in (*endings.SIGNALS, signal.SIGALRM)}
    with patch.object(sys, "unraisablehook", sys.unraisablehook):
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def bench(*arguments: object) -> Outcome:
    """Call the command line as `python -m bench` does."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    arguments_given = patch.object(sys, "argv", ["bench", *map(str, arguments)])
    with own_signals(), arguments_given, redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Outcome(code, out.getvalue(), err.getvalue())


def run(stage: str, profile: Path, folder: Path, *settings: str, more: Sequence[str] = ()) -> Outcome:
    """Run a stage with settings, 'section.key=value' each, and more options."""
    changes = (x for setting in settings for x in ("--set", setting))
    return bench("run", stage, "-p", profile, "--out", folder, *changes, *more)


def finish(stage: str, profile: Path, folder: Path, *settings: str, more: Sequence[str] = ()) -> Outcome:
    """Run a stage that ends well."""
    outcome = run(stage, profile, folder, *settings, more=more)
    assert outcome.code == 0, outcome.err
    return outcome


def status(profile: Path, folder: Path) -> dict[str, Any]:
    """Return how far a run is."""
    values: dict[str, Any] = json.loads(bench("status", "-p", profile, "--out", folder, "--json").out)
    return values


def tables(folder: Path, pattern: str) -> pd.DataFrame:
    """Return the rows of all files of a table in the folder of scores."""
    return pd.concat([pd.read_parquet(file) for file in sorted((folder / "scores").glob(pattern))], ignore_index=True)


def planned(
    profile: Profile,
    weights: dict[TrainCell, dict[int, str]],
    *names: str,
    images: int = IMAGES,
    gallery: tuple[int, ...] = (4, 0, 2),
) -> list[MeasureCell]:
    """Plan measurements, all by default, of images that are not there; few images are the first of `gallery`."""
    opened = SimpleNamespace(info=SimpleNamespace(masked=True))
    data: Any = SimpleNamespace(
        test=range(images), gallery=gallery, free=(), opened=opened, choose=lambda n: (gallery[:n], "the first")
    )
    return plan.measuring(profile, data, weights, [m for m in MEASUREMENTS if m.name in names or not names])


def contents(folder: Path, *places: str) -> dict[str, bytes]:
    """Return the files of a run, or of some folders in it, temporary ones included, locks left out."""
    paths = (path for place in places or (".",) for path in (folder / place).rglob("*"))
    whole = (path for path in paths if path.is_file() and path.name not in LOCKS)
    return {str(path.relative_to(folder)): path.read_bytes() for path in whole}


def dead_process() -> int:
    """Return the number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def manifest(folder: Path) -> dict[str, Any]:
    """Return what a run says of itself."""
    values: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return values


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a run's manifest as its writer would."""
    values = manifest(folder)
    change(values)
    (folder / "manifest.json").write_bytes(sealed(values))


def assert_same_results(one: Path, other: Path) -> None:
    """Two runs ended with the same weights, scores and tables, byte for byte, and the same history of training."""
    first, second = contents(one, *RESULTS), contents(other, *RESULTS)
    assert len(first) >= len(RESULTS)
    assert first == second
    unfinished = [name for name in contents(other) if Path(name).name.startswith(".") or "/train-" in name]
    assert [name for name in unfinished if not name.endswith(".json")] == []
