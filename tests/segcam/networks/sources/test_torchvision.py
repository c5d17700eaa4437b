"""torchvision's networks: built without a hub, for the classes that their weights have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from segcam._compat import mend_torchvision
from segcam.channels import RGB
from segcam.errors import InputError
from segcam.networks import open_network

mend_torchvision()
models = pytest.importorskip("torchvision.models")
LRASPP = "torchvision:lraspp_mobilenet_v3_large"
pytestmark = pytest.mark.filterwarnings("ignore:network .* has random weights")


def test_a_network_has_the_classes_of_its_weights(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    trained = models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=5)
    torch.save({"model": trained.state_dict()}, file)
    with pytest.warns(match=r"the prefix 'model\.' is taken off"):
        own = open_network(LRASPP, weights=file)
    assert len(own.classes) == 5
    assert own.inputs.channels == RGB
    assert torch.equal(
        own.model.state_dict()["classifier.high_classifier.bias"], trained.classifier.high_classifier.bias
    )
    with pytest.raises(InputError, match=r"3 classes are named \(a, b, c\), and the weights .*w\.pth are of 5"):
        open_network(LRASPP, weights=file, classes="a,b,c")


def test_weights_with_torchvisions_name_have_its_classes(tmp_path: Path) -> None:
    entry = models.get_model_weights("lraspp_mobilenet_v3_large").DEFAULT
    file = tmp_path / entry.url.rpartition("/")[2]
    torch.save(models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None).state_dict(), file)
    own = open_network(LRASPP, weights=file)
    assert own.classes[:2] == ("__background__", "aeroplane")
    assert "cat" in own.classes


def test_the_auxiliary_head_is_there_where_its_weights_are(tmp_path: Path) -> None:
    file, name = tmp_path / "w.pth", "deeplabv3_mobilenet_v3_large"
    trained = models.get_model(name, weights=None, weights_backbone=None, num_classes=4, aux_loss=True)
    torch.save(trained.state_dict(), file)
    own = open_network(f"torchvision:{name}", weights=file)
    assert own.model.aux_classifier is not None
    assert len(own.classes) == 4


def test_published_weights_are_looked_for_and_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"the weights 'DEFAULT' of .* are not in .*checkpoints: fetch https://"):
        open_network(LRASPP, weights="DEFAULT")
    entry = models.get_model_weights("lraspp_mobilenet_v3_large").DEFAULT
    file = tmp_path / "checkpoints" / entry.url.rpartition("/")[2]
    file.parent.mkdir()
    torch.save(models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None).state_dict(), file)
    own = open_network(LRASPP, weights="LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1")
    assert own.classes[8] == "cat"


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("torchvision:lrasp", {}, "unknown segmentation network.*did you mean 'lraspp_mobilenet_v3_large'"),
        ("torchvision:resnet18", {}, "unknown segmentation network of torchvision 'resnet18'"),
        (LRASPP, {"aux": True}, "unknown argument 'aux'"),
        (LRASPP, {"weights": "DEFAULT"}, "takes no argument 'weights': .*name the file as weights"),
        (LRASPP, {"num_classes": "x"}, "argument 'num_classes' is 'x': a whole number"),
    ],
)
def test_what_is_wrong_is_one_error(source: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_network(source, arguments=arguments)
    assert "\n" not in str(caught.value)


def test_the_librarys_own_word_counts_classes() -> None:
    assert len(open_network(LRASPP, arguments={"num_classes": 4}).classes) == 4
    with pytest.raises(InputError, match="argument 'num_classes' is 4, and 2 classes are named"):
        open_network(LRASPP, arguments={"num_classes": 4}, classes="a,b")
