"""A run's report, redrawn where torch is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.harness import contents

HIDDEN = ("torch", "torchvision", "timm", "transformers", "captum", "safetensors")
CODE = f"""
import importlib.machinery as machinery, sys
found = machinery.PathFinder.find_spec
def hidden(name, path=None, target=None):
    return None if name.partition(".")[0] in {HIDDEN} else found(name, path, target)
machinery.PathFinder.find_spec = hidden
from bench.__main__ import main
main()
assert not [name for name in sys.modules if name.partition(".")[0] in {HIDDEN}]
"""


def test_tables_and_figures_are_the_same_bytes_without_torch(finished: Path, copied: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, "run", "report", "--out", str(copied)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stderr
    assert contents(copied, "tables", "figures") == contents(finished, "tables", "figures")


def test_what_runs_networks_says_that_it_needs_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, "list", "models"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "No module named 'torch'" in done.stderr
