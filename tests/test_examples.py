"""The examples, and the snippets of the documentation, run as they stand."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import matplotlib as mpl
import pytest

from segcam import models

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TEXTS = [ROOT / "README.md", ROOT / "docs" / "own-network.md", ROOT / "docs" / "follow.md", ROOT / "docs" / "start.md"]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The U-Net of a few channels: what is asked is whether the calls work."""
    create = models.create
    monkeypatch.setattr(
        models, "create", lambda name, classes, parameters=None: create(name, classes, parameters or {"width": 8})
    )


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(file))
    assert (tmp_path / "maps.png").stat().st_size > 10_000


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_snippets_run_one_after_the_other(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL):
        exec(snippet, names)
    made = [tmp_path / "maps.png", tmp_path / "runs" / "mine" / "index.html"]
    assert any(path.is_file() for path in made) or set(names["values"]) >= {"energy_gain", "edge_alignment"}


def test_the_example_is_what_the_readme_shows() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert shown[1] in (ROOT / "examples" / "own_network.py").read_text(encoding="utf-8")
