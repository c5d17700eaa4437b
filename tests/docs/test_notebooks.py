"""The notebooks of docs/ run as they stand, and show what stands in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SAME = {"claim"}
"""Notebooks whose numbers come from files alone: a training's differ from machine to machine."""
AGAIN = "run it anew: jupyter execute --inplace"


def outputs(notebook: Any) -> list[list[dict[str, str]]]:
    """What the cells show, by kind: texts as they are, of pictures that there is one."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [_joined([_shown(output) for output in cell.outputs]) for cell in cells]


def _joined(shown: list[dict[str, str]]) -> list[dict[str, str]]:
    """What is printed comes in one piece or in several, as the kernel sends it."""
    out: list[dict[str, str]] = []
    for one in shown:
        if out and set(one) == set(out[-1]) == {"text"}:
            out[-1] = {"text": out[-1]["text"] + one["text"]}
        else:
            out.append(one)
    return out


def _shown(output: Any) -> dict[str, str]:
    if output.output_type == "stream":
        assert output.name == "stdout", output.text
        return {"text": output.text}
    return {
        kind: "" if kind.startswith("image/") else text for kind, text in output.data.items() if kind != "text/html"
    }


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["claim", "own-network"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    fresh = nbformat.from_dict(kept)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    nbclient.NotebookClient(fresh, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    if path.stem in SAME:
        assert outputs(fresh) == outputs(kept), f"{AGAIN} {path}"
    else:
        assert [[set(one) for one in cell] for cell in outputs(fresh)] == [
            [set(one) for one in cell] for cell in outputs(kept)
        ], f"{AGAIN} {path}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_light_and_of_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 250_000
    assert not re.search(r"/(home|root|tmp|Users)/", text)
