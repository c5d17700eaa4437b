"""ONNX files, where the converter is installed: the same outputs and gradients, or an error that says what to do."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segcam import Probe, Target
from segcam._compat import mend_torchvision
from segcam.errors import InputError
from segcam.models import create
from segcam.networks import open_network

mend_torchvision()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(InputError, match=r"needs the package onnx: pip install 'segcam\[onnx\]'"):
        open_network(f"onnx:{tmp_path / 'a.onnx'}")


@pytest.fixture
def unet(tmp_path: Path) -> tuple[nn.Module, Path]:
    """A small U-Net, and the file that it was exported to."""
    for package in ("onnx", "onnx2torch"):
        pytest.importorskip(package, reason="segcam[onnx] is not installed")
    model = create("unet", 3, {"width": 4}).eval()
    export(model, tmp_path / "unet.onnx")
    return model, tmp_path / "unet.onnx"


def export(model: nn.Module, file: Path, opset: int = 17) -> None:
    axes = {0: "b", 2: "h", 3: "w"}
    options: dict[str, Any] = {"dynamo": False, "opset_version": opset, "dynamic_axes": {"x": axes, "y": axes}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's older exporter says that it is older
        torch.onnx.export(
            model, (torch.rand(1, 3, 32, 32),), str(file), input_names=["x"], output_names=["y"], **options
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_outputs_and_maps_are_those_of_the_network(unet: tuple[nn.Module, Path]) -> None:
    model, file = unet
    own = open_network(f"onnx:{file}")
    assert len(own.classes) == 3
    assert own.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    images = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own.model(images), model(images), atol=1e-5, rtol=1e-4)
    ours = Probe(model, ["encoders.2.relu1"])(images, Target(1, "image"))
    theirs = Probe(own.model, ["network.encoders/2/relu1/Relu"])(images, Target(1, "image"))
    for one, other in ((ours.activations, theirs.activations), (ours.gradients, theirs.gradients)):
        torch.testing.assert_close(
            one["encoders.2.relu1"], other["network.encoders/2/relu1/Relu"], atol=1e-5, rtol=1e-3
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_wrong_is_one_error(unet: tuple[nn.Module, Path], tmp_path: Path) -> None:
    _, file = unet
    (tmp_path / "damaged.onnx").write_bytes(b"damaged")
    for source, options, message in (
        (f"onnx:{tmp_path / 'absent.onnx'}", {}, "does not exist"),
        (f"onnx:{tmp_path / 'damaged.onnx'}", {}, "cannot be read as ONNX"),
        (f"onnx:{file}", {"arguments": {"classes": 3}}, "leave out arguments"),
        (f"onnx:{file}", {"weights": file}, "holds its own weights"),
        (f"onnx:{file}", {"classes": "a,b"}, "2 classes are named .* has 3 channels"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            open_network(source, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_operators_that_are_not_known_say_what_to_do(unet: tuple[nn.Module, Path], tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Acosh", ["x"], ["y"])], "g", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(InputError, match="build the network in Python, and name that with its weights") as caught:
        open_network(f"onnx:{tmp_path / 'other.onnx'}")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_answer_than_onnx_gives_is_refused(
    unet: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from segcam.networks.sources import onnx as source

    converted = source._converted

    def wrong(*args: Any) -> nn.Module:
        model = converted(*args)
        next(p for p in model.parameters() if p.ndim == 4).data.mul_(1.1)
        return model

    monkeypatch.setattr(source, "_converted", wrong)
    with pytest.raises(InputError, match="gives other values than ONNX does"):
        open_network(f"onnx:{unet[1]}")
