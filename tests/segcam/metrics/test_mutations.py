"""A changed formula is noticed: one place of some metrics' files; `tests/mutate_metrics.py` changes all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "mutate_metrics.py"


FILES = ("edges", "energy", "gini")
"""A few: all of them take minutes."""


def test_a_change_of_each_file_is_noticed() -> None:
    done = subprocess.run([sys.executable, SCRIPT, *FILES, "--limit", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SURVIVED" not in done.stdout
    assert done.stdout.count("noticed: ") >= len(FILES)


def test_an_unknown_file_is_told() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nonsense: there are average_precision," in done.stderr
