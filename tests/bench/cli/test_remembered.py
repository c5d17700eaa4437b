"""Lists are made once, without torch from then on, and anew where what they are made of has changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cli import remembered

SAID = """
import sys
from bench.cli import listing
assert listing.rows_of("metrics")
print(sorted({"torch"} & set(sys.modules)))
"""


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process that has not imported torch, with a cache of its own."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("SEGCAM_CACHE", str(tmp_path))
    return tmp_path / "lists" / "methods.json"


def counted() -> tuple[list[int], Any]:
    calls: list[int] = []

    def make() -> remembered.Rows:
        calls.append(1)
        return [{"name": "grad_cam", "parameters": (1, None)}]

    return calls, make


def test_it_is_made_once_and_anew_where_something_changed(asleep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, make = counted()
    first = remembered.rows("methods", make)
    assert remembered.rows("methods", make) == first == [{"name": "grad_cam", "parameters": [1, None]}]
    assert len(calls) == 1
    for damaged in ("", "[]", "{}", '{"key": 1}'):
        asleep.write_text(damaged)
        assert remembered.rows("methods", make) == first
    assert len(calls) == 5
    source = asleep.parent / "more.py"
    source.write_text("x = 1")
    monkeypatch.setattr(remembered, "SOURCES", (*remembered.SOURCES, asleep.parent))
    assert remembered.rows("methods", make) == first
    assert len(calls) == 6, "a new file may be a new method"


def test_where_torch_is_imported_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCAM_CACHE", str(tmp_path))
    calls, make = counted()
    remembered.rows("methods", make)
    assert remembered.rows("methods", make)[0]["parameters"] == (1, None)
    assert len(calls) == 2
    assert not (tmp_path / "lists").exists()


def test_a_folder_that_is_closed_changes_nothing(asleep: Path) -> None:
    (asleep.parent).parent.joinpath("lists").write_text("a file in the way")
    calls, make = counted()
    assert remembered.rows("methods", make) == remembered.rows("methods", make)
    assert len(calls) == 2


def test_the_second_time_no_torch_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCAM_CACHE", str(tmp_path))
    command = [sys.executable, "-c", SAID]
    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said == ["['torch']\n", "[]\n"]
    rows = json.loads((tmp_path / "lists" / "metrics.json").read_text())["rows"]
    assert "energy_gain" in {row["name"] for row in rows}
