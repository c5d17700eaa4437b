"""What docs/data.md shows of `classes.toml` is understood as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segcam.datasets.described.description import describe
from segcam.datasets.described.known import LAYOUTS

TEXT = (Path(__file__).parents[4] / "docs" / "data.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
ROWS = re.findall(r"^\| `\w+` \|.*\| (`.*`) \|$", TEXT, re.MULTILINE)
CLASSES = 'classes = ["background", "cat", "dog"]\n'
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("inputs")]
DESCRIPTIONS = [*(block for block in BLOCKS if "inputs" not in block), *(CLASSES + line for line in LINES)]


@pytest.mark.parametrize("text", DESCRIPTIONS)
def test_blocks(tmp_path: Path, text: str) -> None:
    file = tmp_path / "classes.toml"
    file.write_text(text)
    assert describe(file).classes


def test_rows_of_keys(tmp_path: Path) -> None:
    file = tmp_path / "classes.toml"
    lines = [line for row in ROWS for line in re.findall(r"`([^`]+)`", row)]
    assert len(lines) == 5
    for line in lines:
        more = {"values": 'classes = ["background", "cat"]', "colours": 'classes = ["cat", "dog"]'}
        if line == "ignore = [0, 255]":
            more["ignore"] = CLASSES + "values = {1 = 0, 2 = 1, 3 = 2}"
        elif line.startswith("ignore"):
            more["ignore"] = CLASSES + "colours = [[0, 0, 0], [1, 1, 1], [2, 2, 2]]"
        file.write_text(more.get(line.partition(" ")[0], CLASSES) + "\n" + line)
        assert describe(file).stated


def test_each_known_layout_has_an_example() -> None:
    assert set(re.findall(r'layout = "(\w+)"', TEXT)) == set(LAYOUTS)
