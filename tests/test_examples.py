"""The examples run as they stand."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_example(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(file))
    assert len(capsys.readouterr().out.splitlines()) > 10
