"""A measurement of a user's own: one file, or an entry point, is all that it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.planning import profile as profiles
from bench.planning.measurement import MEASUREMENTS, Measurement
from segcam.errors import InputError
from segcam.registry import Registry
from tests.bench.harness import TINY, contents, manifest

RECIPE = Path(__file__).parents[3] / "examples" / "recipes" / "measurement.py"
STATED = (
    TINY
    + """
[calibration]
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
    (tmp_path / "room" / "calibration.py").write_bytes(RECIPE.read_bytes())
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
    files = sorted((out / "scores" / "calibration").iterdir())
    assert [file.name for file in files] == ["unet-s0-l40-000.parquet", "unet-s0-l40-001.parquet"]
    rows = pd.concat(map(pd.read_parquet, files))
    assert list(rows)[:5] == ["dataset", "model", "level", "seed", "training_data"]
    assert (rows.groupby("image")["pixels"].sum() <= 32 * 32).all()
    some = rows[rows["pixels"] > 0]
    assert ((some["bin"] <= 10 * some["probability"] + 1e-6) & (10 * some["probability"] <= some["bin"] + 1)).all()
    assert some["right"].between(0, 1).all()
    assert rows.loc[rows["pixels"] == 0, ["probability", "right"]].isna().all(axis=None)
    values = manifest(out)
    assert values["studies"]["calibration"]["ids"] == rows["image"].drop_duplicates().tolist()
    assert values["profile"]["calibration"]["bins"] == 10
    assert sum(name.startswith("cells/calibration-") for name in values["cells"]) == 2

    before = contents(out, "scores", "cells")
    files[1].unlink()
    assert go(plugin, "run", "score").returncode == 0
    after = contents(out, "scores", "cells")
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == [
        name for name in before if name.startswith("cells/calibration-unet-s0-l40-001")
    ], "what was lost was done again, and nothing else"

    assert json.loads(go(plugin, "status", "--json").stdout)["scored"] == values["planned"]["score"]
    assert go(plugin, "run", "score", "--set", "calibration.bins=1").returncode == 0
    again = pd.concat(map(pd.read_parquet, sorted((out / "scores" / "calibration").iterdir())))
    pixels = rows.groupby("image")["pixels"].sum()
    assert again.set_index("image")["pixels"].to_dict() == pixels.to_dict()
    rights = (rows["right"] * rows["pixels"]).groupby(rows["image"]).sum() / pixels
    assert again.set_index("image")["right"].to_dict() == pytest.approx(rights.to_dict())
    wrong = go(plugin, "run", "score", "--set", "calibration.bin=3")
    assert wrong.returncode == 2
    assert "unknown key of section [calibration] 'bin'" in " ".join(wrong.stderr.split())


def test_an_entry_point_brings_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Measurement("theirs", lambda _job: {})
    fresh: Registry[Measurement] = Registry("measurement", "bench.measurements")
    point = SimpleNamespace(load=lambda: fresh.add(theirs))
    names = set(MEASUREMENTS.names())
    monkeypatch.setattr("segcam.registry.entry_points", lambda group: [point] if group == "segcam.measurements" else [])
    assert fresh.get("theirs") is theirs
    assert names == {"scores", "own_passes", "kept_maps", "resolution", "faithfulness", "sanity", "evidence"}


def test_a_section_of_no_measurement_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(STATED)
    with pytest.raises(InputError, match="unknown key 'calibration'"):
        profiles.read(str(file))
