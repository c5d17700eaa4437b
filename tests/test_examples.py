"""The examples run as they stand."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_example(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(file))
    assert len(capsys.readouterr().out.splitlines()) > 10


def test_the_readme_snippets_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec("import segcam", names)  # before torchvision
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(snippet, names)
    assert set(names["values"]) >= {"energy_gain", "edge_alignment"}
