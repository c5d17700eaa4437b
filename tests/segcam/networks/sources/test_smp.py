"""Networks of segmentation_models_pytorch, where it is installed: all of its classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segcam import Probe, Target
from segcam._compat import mend_torchvision
from segcam.channels import RGB
from segcam.errors import InputError
from segcam.networks import open_network, prepare
from segcam.networks.sources import SOURCES

mend_torchvision()
pytestmark = pytest.mark.filterwarnings("ignore:network .* has random weights", "ignore::DeprecationWarning")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "segmentation_models_pytorch", None)
    with pytest.raises(InputError, match=r"needs the package segmentation_models_pytorch: pip install 'segcam\[smp\]'"):
        open_network("smp:Unet")


def smp() -> Any:
    return pytest.importorskip("segmentation_models_pytorch", reason="segcam[smp] is not installed")


ENCODERS = {"Segformer": "mit_b0", "DPT": "tu-vit_tiny_patch16_224", "UPerNet": "tu-convnext_atto"}
KINDS = (
    *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN"),
    *("DeepLabV3", "DeepLabV3Plus", "UPerNet", "Segformer", "DPT"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_each_network_is_probed(kind: str) -> None:
    smp()
    encoder = ENCODERS.get(kind, "resnet18")
    own = open_network(f"smp:{kind}", arguments={"encoder_name": encoder}, classes="background,cat,dog")
    assert own.inputs.channels == RGB
    size = own.inputs.size or (160, 136 if kind != "PAN" else 160)
    assert (own.inputs.size is not None) == (kind == "DPT")
    with prepare(own.model, own.inputs, RGB):
        capture = Probe(own.model, "*", kind=nn.Conv2d)(torch.rand(1, 3, *size), Target(class_id=1))
    assert tuple(capture.logits.shape) == (1, 3, *size)
    assert len(capture.layers) >= 10


def test_all_of_the_packages_networks_are_tried() -> None:
    assert {kind.__name__ for kind in smp().MODEL_ARCHITECTURES_MAPPING.values()} <= set(KINDS)


def test_a_network_has_the_classes_of_its_weights(tmp_path: Path) -> None:
    trained, file = smp().Unet("resnet18", encoder_weights=None, classes=6), tmp_path / "w.pth"
    torch.save(trained.state_dict(), file)
    own = open_network("smp:Unet", arguments={"encoder_name": "resnet18"}, weights=file)
    assert len(own.classes) == 6
    with pytest.raises(InputError, match=r"2 classes are named \(a, b\), and the weights .* are of 6"):
        open_network("smp:Unet", arguments={"encoder_name": "resnet18"}, weights=file, classes="a,b")


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("smp:Unett", {}, "unknown network of segmentation_models_pytorch 'Unett'.*did you mean 'Unet'"),
        ("smp:Unet", {"encoder": "resnet18"}, "unknown argument 'encoder'.*did you mean 'encoder_name'"),
        ("smp:Unet", {"encoder_name": "resnet19"}, "unknown encoder 'resnet19'.*did you mean 'resnet18'"),
        ("smp:Unet", {"encoder_name": "resnet18", "encoder_depth": 9}, "cannot be built: ValueError"),
        ("smp:Unet", {"encoder_name": "tu-no_such"}, "cannot be built"),
        ("smp:Unet", {"encoder_name": "resnet18", "classes": 0}, "argument 'classes' is 0"),
    ],
)
def test_what_is_wrong_is_one_error(source: str, arguments: dict[str, Any], message: str) -> None:
    smp()
    with pytest.raises(InputError, match=message) as caught:
        open_network(source, arguments=arguments)
    assert "\n" not in str(caught.value)


def test_it_is_among_the_sources() -> None:
    assert "smp" in SOURCES.names()
