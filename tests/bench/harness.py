"""A run small enough for tests, and the command line called from within."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from bench.__main__ import main
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
RESULTS = ("scores", "checkpoints", "tables")
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


def bench(*arguments: object) -> Outcome:
    """Call the command line as `python -m bench` does."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", ["bench", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Outcome(code, out.getvalue(), err.getvalue())


def planned(
    profile: Profile,
    weights: dict[TrainCell, dict[int, str]],
    *names: str,
    images: int = IMAGES,
    chosen: tuple[int, ...] = (4, 0, 2),
) -> list[MeasureCell]:
    """Plan measurements, all by default, of images that are not there; few images are the first of `chosen`."""
    data: Any = SimpleNamespace(test=range(images), gallery=chosen, choose=lambda n: (chosen[:n], "the first"))
    return plan.measuring(profile, data, weights, [m for m in MEASUREMENTS if m.name in names or not names])


def contents(folder: Path, *parts: str) -> dict[str, bytes]:
    """Return the files of a run, or of some folders in it, temporary ones included."""
    places = [folder / part for part in parts] if parts else [folder]
    return {str(p.relative_to(folder)): p.read_bytes() for place in places for p in place.rglob("*") if p.is_file()}


def manifest(folder: Path) -> dict[str, Any]:
    """Return what a run says of itself."""
    values: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return values


def same_file(one: Path, other: Path, name: str) -> bool:
    """Return whether two runs have the same bytes in a file."""
    return (one / name).read_bytes() == (other / name).read_bytes()


def assert_same_results(one: Path, other: Path) -> None:
    """Two runs ended with the same weights, scores and tables, byte for byte, and the same history of training."""
    first, second = contents(one, *RESULTS), contents(other, *RESULTS)
    assert first.keys() == second.keys()
    assert len(first) >= len(RESULTS)
    assert [name for name in first if first[name] != second[name]] == []
    kept = {name for name in contents(other) if Path(name).name.startswith(".") or "/train-" in name}
    assert [name for name in kept if not name.endswith(".json")] == [], "nothing of an unfinished run is left"
