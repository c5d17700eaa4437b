"""Every command that README, CONTRIBUTING and docs/ show is one: its options and choices are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(r"python -m bench ((?!\.\.\.|`)[^`#\n]*[^`#\n\s])")


def commands() -> list[str]:
    return sorted({found for page in PAGES for found in SHOWN.findall(page.read_text(encoding="utf-8"))})


def parsed(command: str) -> list[dict[str, Any]]:
    """Take a command as the shell and the command line do, and return its options; nothing is run."""
    taken: list[dict[str, Any]] = []
    top = typer.main.get_command(app)
    waiting: list[Any] = [top]
    while waiting:
        each = waiting.pop()
        inner = getattr(each, "commands", {})
        waiting += inner.values()
        if not inner:
            each.callback = lambda **options: taken.append(options)
    top.main(shlex.split(command), "segcam", standalone_mode=False)
    return taken


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one(command: str) -> None:
    assert len(parsed(command)) == 1


def test_commands_are_found_and_a_wrong_one_is_none() -> None:
    assert "run all" in commands()
    assert len(commands()) > 20
    assert ["score.batch_size=2"] in parsed("run all --set score.batch_size=2")[0].values()
    for wrong, said in (("run all --no-such", "--no-such"), ("walk all", "'walk'"), ("run half", "'half'")):
        with pytest.raises(Exception, match=said):
            parsed(wrong)
