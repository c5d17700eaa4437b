"""A measurement of a user's own: one file, or an entry point, is all that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.planning import profile as profiles
from bench.planning.measurement import MEASUREMENTS, Measurement
from segcam.errors import InputError
from segcam.registry import Registry
from tests.bench.harness import TINY, contents, manifest, tables

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
def plugin(copied: Path, tmp_path: Path) -> Path:
    """A file as if dropped into the folder of measurements, a profile with its section, and a finished run."""
    (tmp_path / "tiny.toml").write_text(STATED)
    (tmp_path / "go.py").write_text(
        "import sys, bench.measurements, bench.__main__\n"
        f"bench.measurements.__path__.append({str(tmp_path / 'room')!r})\n"
        "bench.__main__.main()\n"
    )
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "calibration.py").write_bytes(RECIPE.read_bytes())
    return tmp_path


def score(plugin: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(plugin / "go.py"), "run", "score", "-p", str(plugin / "tiny.toml"), *settings]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command += ["--out", str(plugin / "copied")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_file_is_found_planned_and_resumed(plugin: Path, copied: Path) -> None:
    done = score(plugin)
    assert done.returncode == 0, done.stderr
    files = sorted((copied / "scores" / "calibration").iterdir())
    assert [file.name for file in files] == ["unet-s0-l40-000.parquet", "unet-s0-l40-001.parquet"]
    rows = tables(copied, "calibration/*.parquet")
    assert list(rows)[:5] == ["dataset", "model", "level", "seed", "training_data"]
    assert (rows.groupby("image")["pixels"].sum() <= 32 * 32).all()
    filled = rows[rows["pixels"] > 0]
    assert (10 * filled["probability"]).between(filled["bin"] - 1e-6, filled["bin"] + 1).all()
    assert filled["right"].between(0, 1).all()
    assert rows.loc[rows["pixels"] == 0, ["probability", "right"]].isna().all(axis=None)
    values = manifest(copied)
    assert values["studies"]["calibration"]["ids"] == rows["image"].drop_duplicates().tolist()
    assert values["profile"]["calibration"]["bins"] == 10
    assert sum(name.startswith("cells/calibration-") for name in values["cells"]) == 2
    assert values["planned"]["score"] == len(values["cells"]) - 1

    before = contents(copied, "scores", "cells")
    files[1].unlink()
    assert score(plugin, "--set", "calibration.bins=10").returncode == 0
    after = contents(copied, "scores", "cells")
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == [
        name for name in before if name.startswith("cells/calibration-unet-s0-l40-001")
    ], "what was lost was done again, and nothing else"

    assert score(plugin, "--set", "calibration.bins=1", "--yes").returncode == 0
    again = tables(copied, "calibration/*.parquet").set_index("image")
    pixels = rows.groupby("image")["pixels"].sum()
    assert again["pixels"].to_dict() == pixels.to_dict()
    rights = (rows["right"] * rows["pixels"]).groupby(rows["image"]).sum() / pixels
    assert again["right"].to_dict() == pytest.approx(rights.to_dict())
    wrong = score(plugin, "--set", "calibration.bin=3")
    assert wrong.returncode == 2
    assert "unknown key of section [calibration] 'bin'" in " ".join(wrong.stderr.split())


def test_an_entry_point_brings_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Measurement("theirs", lambda _job: {})
    fresh: Registry[Measurement] = Registry("measurement", "bench.measurements")
    point = SimpleNamespace(load=lambda: fresh.add(theirs))
    names = set(MEASUREMENTS.names())
    monkeypatch.setattr("segcam.registry.entry_points", lambda group: [point] if group == "segcam.measurements" else [])
    assert fresh.get("theirs") is theirs
    own = {"scores", "own_passes", "kept_maps", "small_maps", "resolution", "receptive_field", "errors", "thresholds"}
    own |= {"faithfulness", "sanity", "evidence", "evidence_faithfulness", "planted", "specifications"}
    assert names == own | {"leakage", "distance", "robustness"}


def test_a_section_of_no_measurement_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(STATED)
    with pytest.raises(InputError, match="unknown key 'calibration'"):
        profiles.read(str(file))
