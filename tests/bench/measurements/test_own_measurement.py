"""A measurement of a user's own: one file, or an entry point, is all that it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.planning import profile as profiles
from bench.planning.measurement import MEASUREMENTS, Measurement
from segcam.errors import InputError
from segcam.registry import Registry
from tests.bench.harness import TINY, contents

PLUGIN = """
from typing import Annotated

import numpy as np
from pydantic import Field

from bench.planning.measurement import MEASUREMENTS, Measurement
from bench.planning.sections import FewImages


class Logits(FewImages):
    factor: Annotated[float, Field(gt=0)] = 2.0


def run(job):
    logits = job.model(job.batch.inputs()).detach().mean((1, 2, 3)).numpy()
    job.advance(len(job.batch.ids), "")
    return {"logits": {"image": np.array(job.batch.ids), "mean": job.profile.section("logits").factor * logits}}


MEASUREMENT = MEASUREMENTS.add(Measurement("logits", run, settings=Logits))
"""
STATED = (
    TINY
    + """
[logits]
images = 3
batch_size = 2
training_seeds = "first"
"""
)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A file as if dropped into the folder of measurements, and a profile with its section."""
    (tmp_path / "tiny.toml").write_text(STATED)
    (tmp_path / "go.py").write_text(
        "import sys, bench.measurements, bench.__main__\n"
        f"bench.measurements.__path__.append({str(tmp_path / 'room')!r})\n"
        "bench.__main__.main()\n"
    )
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "dropped.py").write_text(PLUGIN)
    return tmp_path


def go(plugin: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(plugin / "go.py"), *arguments, "-p", str(plugin / "tiny.toml")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*command, "--out", str(plugin / "out")], capture_output=True, text=True, check=False, env=environment
    )


def test_a_file_is_found_planned_resumed_and_listed(plugin: Path) -> None:
    done = go(plugin, "run", "all")
    assert done.returncode == 0, done.stderr
    out = plugin / "out"
    files = sorted((out / "scores" / "logits").iterdir())
    assert [file.name for file in files] == ["unet-s0-l40-000.parquet", "unet-s0-l40-001.parquet"]
    rows = pd.concat(map(pd.read_parquet, files))
    assert list(rows) == ["dataset", "model", "level", "seed", "training_data", "image", "mean"]
    values = json.loads((out / "manifest.json").read_text())
    assert values["studies"]["logits"]["ids"] == rows["image"].tolist()
    assert values["profile"]["logits"]["factor"] == 2
    assert sum(name.startswith("cells/logits-") for name in values["cells"]) == 2

    before = contents(out, "scores", "cells")
    files[1].unlink()
    assert go(plugin, "run", "score").returncode == 0
    after = contents(out, "scores", "cells")
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == [
        name for name in before if name.startswith("cells/logits-unet-s0-l40-001")
    ], "what was lost was done again, and nothing else"

    assert json.loads(go(plugin, "status", "--json").stdout)["scored"] == values["planned"]["score"]
    assert go(plugin, "run", "score", "--set", "logits.factor=3").returncode == 0
    again = pd.concat(map(pd.read_parquet, sorted((out / "scores" / "logits").iterdir())))
    assert again["mean"].to_numpy() == pytest.approx(1.5 * rows["mean"].to_numpy())
    wrong = go(plugin, "run", "score", "--set", "logits.factr=3")
    assert wrong.returncode == 2
    assert "unknown key of section [logits] 'factr'" in " ".join(wrong.stderr.split())


def test_an_entry_point_brings_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Measurement("theirs", lambda _job: {})

    class Point:
        @staticmethod
        def load() -> Measurement:
            return theirs

    names = set(MEASUREMENTS.names())
    monkeypatch.setattr("segcam.registry.entry_points", lambda group: [Point] if group == "segcam.measurements" else [])
    fresh: Registry[Measurement] = Registry("measurement", "bench.measurements")
    assert fresh.get("theirs") is theirs
    assert names == {"scores", "own_passes", "kept_maps", "resolution", "faithfulness", "sanity", "evidence"}


def test_a_section_of_no_measurement_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(STATED)
    with pytest.raises(InputError, match="unknown key 'logits'"):
        profiles.read(str(file))
