"""Libraries of extras: torchvision beside a torch that it was not made for, and what is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from segcam import InputError
from segcam._compat import mend_torchvision, require


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_segcam_changes_nothing_and_takes_no_torch_until_a_name_needs_it() -> None:
    code = (
        "import sys; before = list(sys.meta_path), list(sys.path_hooks)\n"
        "import segcam; print(before == (list(sys.meta_path), list(sys.path_hooks)))\n"
        "import bench.__main__, bench.output.report, bench.output.drawing, analyses; analyses.find()\n"
        "print('torch' in sys.modules, segcam.probe.layers.find_layers.__name__, 'torch' in sys.modules)\n"
        "print(all(hasattr(segcam, name) for name in segcam.__all__))\n"
        "print(set(segcam.__all__) <= set(dir(segcam)), hasattr(segcam, 'probes'))\n"
        "import bench.cli.commands; segcam.models.MODELS.names()\n"
        "slow = ('transformers', 'timm', 'huggingface_hub', 'torchvision')\n"
        "print([library for library in slow if library in sys.modules])\n"
    )
    assert python(code).stdout.split() == ["True", "False", "find_layers", "True", "True", "True", "False", "[]"]


def test_torchvision_and_what_builds_on_it_import_once_mended() -> None:
    code = (
        "from segcam._compat import mend_torchvision as mend\n"
        "print(mend() == mend())\n"
        "import torch, torchvision, torchmetrics; from torchvision.models import resnet18; resnet18()\n"
        "print(hasattr(torch.ops.torchvision, 'nms'))\n"
    )
    result = python(code)
    assert result.stdout.split() == ["True", "True"], result.stderr


def test_operators_are_declared_just_where_a_plain_import_fails() -> None:
    plain = python("import torchvision")
    assert "torchvision::nms does not exist" in plain.stderr or plain.returncode == 0
    assert mend_torchvision() == (plain.returncode != 0)


def test_another_error_of_torchvision_is_not_taken_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> None:
        raise RuntimeError("out of file handles")

    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr("segcam._compat.importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="file handles"):
        mend_torchvision()


def test_what_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(InputError, match=r"'x' needs the package no_such_library: pip install 'segcam\[models\]'"):
        require("no_such_library", "models", "model 'x'")
