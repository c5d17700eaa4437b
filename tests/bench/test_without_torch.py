"""A run's report, redrawn where torch is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.output import archive
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


def python(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_scores_and_manifest_give_the_same_bytes_without_torch(finished: Path, tmp_path: Path) -> None:
    """Out of an archive, too."""
    before = contents(finished)
    names = [name for name in before if name.startswith(("scores/", "films/")) or name == "manifest.json"]
    file = archive.pack(tmp_path / "run.zip", {name: finished / name for name in names})
    done = python(CODE, "run", "report", "--out", file)
    assert done.returncode == 0, done.stderr
    assert f"unpacked into {tmp_path / 'run'}" in done.stderr
    assert done.stderr.splitlines()[-1] == (tmp_path / "run" / "report" / "index.html").as_uri()
    drawn = {name: data for name, data in before.items() if not name.startswith(("cells/", "checkpoints/", "looks/"))}
    after = contents(tmp_path / "run")
    assert after.keys() == drawn.keys()
    assert [name for name in drawn if after[name] != drawn[name]] == []


def test_what_runs_networks_says_that_it_needs_torch() -> None:
    done = python(CODE, "list", "models")
    assert done.returncode != 0
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["list", "profiles"], ["list", "analyses"]])
def test_help_and_profiles_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bench.__main__ import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "    sys.exit(end.code or ', '.join(heavy) or None)"
    )
    done = python(code, *arguments)
    assert done.returncode == 0, done.stderr
    assert "explain" in done.stdout or "quick" in done.stdout or "claims" in done.stdout
