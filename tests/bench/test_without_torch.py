"""A run's report, redrawn where torch is not installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_scores_and_manifest_give_the_same_bytes_without_torch(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "scores", tmp_path / "scores")
    shutil.copy(finished / "manifest.json", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CODE, "run", "report", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stderr
    before = contents(finished)
    drawn = {name: data for name, data in before.items() if not name.startswith(("cells/", "checkpoints/"))}
    after = contents(tmp_path)
    assert after.keys() == drawn.keys()
    assert [name for name in drawn if after[name] != drawn[name]] == []


def test_what_runs_networks_says_that_it_needs_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CODE, "list", "models"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["list", "profiles"]])
def test_help_and_profiles_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bench.__main__ import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'pyarrow', 'analyses'} & set(sys.modules)\n"
        "    sys.exit(end.code or ', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout or "quick" in done.stdout
