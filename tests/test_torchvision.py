"""torchvision beside a torch that its compiled operators were not made for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import segcam._torchvision as shim


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torchvision_and_what_builds_on_it_import_after_segcam() -> None:
    found = python("import segcam, torchvision, torchmetrics; from torchvision.models import resnet18; resnet18()")
    assert found.returncode == 0, found.stderr


def test_importing_segcam_takes_no_torch_until_a_name_needs_it() -> None:
    code = (
        "import sys, segcam, bench.__main__, bench.report, bench.drawing, analyses; analyses.find()\n"
        "before = 'torch' in sys.modules; from segcam import Probe\n"
        "print(before, 'torch' in sys.modules, all(hasattr(segcam, name) for name in segcam.__all__))\n"
        "print(set(segcam.__all__) <= set(dir(segcam)), hasattr(segcam, 'probes'))\n"
    )
    assert python(code).stdout.split() == ["False", "True", "True", "True", "False"]


def test_modules_of_segcam_are_there_without_importing_them() -> None:
    assert python("import segcam; print(segcam.layers.find_layers.__name__)").stdout.split() == ["find_layers"]


def test_torchvision_keeps_its_own_loader_and_is_watched_once() -> None:
    code = (
        "import importlib, sys, segcam; importlib.reload(segcam)\n"
        "print(sum(type(f).__module__ == 'segcam._importing' for f in sys.meta_path))\n"
        "print(importlib.util.find_spec('torchvision').origin.endswith('__init__.py'), 'torch' in sys.modules)\n"
        "import torchvision; print('segcam' in type(torchvision.__spec__.loader).__module__)\n"
    )
    assert python(code).stdout.split() == ["1", "True", "False", "False"]


def test_the_schemas_are_declared_where_operators_are_missing() -> None:
    """The cure itself, in a process where the operators are made to look missing; and it is declared just once."""
    code = (
        "import torch, segcam._torchvision as shim\n"
        "print(shim.make_importable() == shim.make_importable(), hasattr(torch.ops.torchvision, 'nms'))\n"
    )
    assert python(code).stdout.split() == ["True", "True"]


def test_needed_just_where_a_plain_import_fails() -> None:
    plain = python("import torchvision")
    assert "torchvision::nms does not exist" in plain.stderr or plain.returncode == 0
    assert shim.make_importable() == (plain.returncode != 0)


def test_real_operators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shim, "_library", None)
    monkeypatch.setattr(shim, "operators_load", lambda: True)
    assert shim.make_importable() is False
    assert shim._library is None
