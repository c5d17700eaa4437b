"""What installing segcam brings, and that the library alone needs no more."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOR_EXTRAS = ("transformers", "timm", "captum", "seaborn", "statsmodels", "pandas", "matplotlib", "pydantic", "pyarrow")

EXPLAINED = """
import sys

sys.modules.update(dict.fromkeys({absent!r}))  # importing them fails as if they were not installed
import torch
from torch import nn
from segcam import InputError, Probe, Target, grad_cam
from segcam.models import create

network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
capture = Probe(network, ["0"])(torch.rand(1, 3, 8, 8), Target(class_id=1))
print(tuple(capture.maps(grad_cam, "0").shape))
try:
    create("segformer", 2, {{}})
except InputError as error:
    print(error)
"""


def test_the_library_has_few_dependencies() -> None:
    names = {line.partition(">")[0] for line in PROJECT["dependencies"]}
    assert len(names) <= 10
    assert not names & set(FOR_EXTRAS)


def test_one_network_is_explained_without_any_extra() -> None:
    """And a model of an extra says which one installs it."""
    code = EXPLAINED.format(absent=set(FOR_EXTRAS))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    shape, error = result.stdout.splitlines()
    assert shape == "(1, 8, 8)"
    assert error == "model 'segformer' needs the package transformers: pip install 'segcam[models]'"


PICTURED = """
import sys

sys.modules.update(dict.fromkeys({absent!r}))  # importing them fails as if they were not installed
import numpy as np
import segcam
from segcam.models import create

try:
    explained = segcam.explain(create("unet", classes=2), np.zeros((32, 32, 3), np.uint8), 1, most_layers=2)
    explained.show()
    print(explained.save({folder!r}).name)
except segcam.InputError as error:
    print(error)
"""


def pictured(folder: Path, absent: set[str]) -> str:
    code = PICTURED.format(absent=absent, folder=str(folder))
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_first_picture_needs_one_extra(tmp_path: Path) -> None:
    own = {line.partition(">")[0] for line in PROJECT["optional-dependencies"]["explain"]} | {"matplotlib"}
    others = {*FOR_EXTRAS, "torchvision", "rich", "jinja2", "typer"}
    assert pictured(tmp_path, others - own) == "index.html"
    assert pictured(tmp_path, {"pandas"}) == "segcam.explain needs the package pandas: pip install 'segcam[explain]'"


def test_the_command_line_names_the_extra_that_installs_it() -> None:
    code = "import sys; sys.modules['typer'] = None; from bench.__main__ import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr == "error: the command line needs the package typer: pip install 'segcam[bench]'\n"
    assert result.returncode == 1


def test_packages_hold_no_tests() -> None:
    for package in ("segcam", "bench", "analyses"):
        assert not list((ROOT / package).rglob("test_*.py"))


def test_the_licence_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"


def test_every_file_beside_the_modules_is_installed() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    for package, of_package in patterns.items():
        named = {path for pattern in of_package for path in (ROOT / package).glob(pattern)}
        files = {path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
        assert files <= named, sorted(files - named)
