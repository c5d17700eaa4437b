"""transformers' networks: folders of `save_pretrained` become networks with their classes, weights and inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from segcam._compat import mend_torchvision
from segcam.errors import InputError
from segcam.networks import open_network

mend_torchvision()
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:network .* has random weights")

NAMES = {0: "background", 1: "cat", 2: "dog"}
SWIN = {"depths": [1] * 4, "num_heads": [1] * 4, "embed_dim": 8, "image_size": 64}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
VIT = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 4, "intermediate_size": 16, "image_size": 64}


def segformer(**settings: Any) -> nn.Module:
    settings = settings or {"num_labels": 3}
    small = {"depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "decoder_hidden_size": 8}
    config = transformers.SegformerConfig(num_attention_heads=[1, 1, 2, 2], **small, **settings)
    return transformers.SegformerForSemanticSegmentation(config)


def upernet() -> nn.Module:
    backbone = transformers.ConvNextConfig(depths=[1] * 4, hidden_sizes=[8, 16, 16, 16], out_features=STAGES)
    widths = {"hidden_size": 16, "auxiliary_channels": 8, "auxiliary_in_channels": 16}
    config = transformers.UperNetConfig(backbone_config=backbone, num_labels=3, **widths)
    return transformers.UperNetForSemanticSegmentation(config)


def dpt() -> nn.Module:
    neck = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8}
    return transformers.DPTForSemanticSegmentation(transformers.DPTConfig(patch_size=16, num_labels=3, **VIT, **neck))


def beit() -> nn.Module:
    head = {"out_indices": [1, 2, 3, 4], "pool_scales": [1, 2], "use_relative_position_bias": True}
    return transformers.BeitForSemanticSegmentation(transformers.BeitConfig(patch_size=16, num_labels=3, **VIT, **head))


def mobilevit() -> nn.Module:
    widths = {"hidden_sizes": [16] * 3, "neck_hidden_sizes": [8, 8, 8, 16, 16, 16, 16], "aspp_out_channels": 16}
    config = transformers.MobileViTConfig(image_size=64, num_labels=3, **widths)
    return transformers.MobileViTForSemanticSegmentation(config)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "segformer": segformer,
    "upernet": upernet,
    "dpt": dpt,
    "beit": beit,
    "mobilevit": mobilevit,
}


def saved(model: nn.Module, folder: Path) -> str:
    model.save_pretrained(str(folder))  # type: ignore[operator]
    return f"hf:{folder}"


@pytest.mark.parametrize("name", NETWORKS)
def test_folders_become_networks(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = NETWORKS[name]().eval()
    own = open_network(saved(trained, tmp_path), classes=3)
    assert len(own.classes) == 3
    for key, tensor in trained.state_dict().items():
        torch.testing.assert_close(own.model.state_dict()[key], tensor, atol=0, rtol=0)
    assert not own.model.training
    assert own.name == f"hf:{tmp_path.name}"
    assert own.sha256 == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert own.facts is not None
    assert (own.facts["class"], own.facts["random"]) == (type(trained).__name__, False)


def test_names_of_the_classes_and_what_images_it_wants_come_along(tmp_path: Path) -> None:
    source = saved(segformer(id2label=NAMES, label2id={v: k for k, v in NAMES.items()}), tmp_path)
    size = {"height": 96, "width": 128}
    transformers.SegformerImageProcessor(size=size, image_mean=[0.1, 0.2, 0.3], do_reduce_labels=True).save_pretrained(
        str(tmp_path)
    )
    own = open_network(source)
    assert own.classes == ("background", "cat", "dog")
    assert (own.inputs.size, own.inputs.resize) == ((96, 128), "squash")
    assert own.inputs.channels is not None
    assert own.inputs.channels.mean == pytest.approx((0.1, 0.2, 0.3))
    assert own.facts is not None
    assert own.facts["reduces_labels"] is True
    assert open_network(source, classes="a,b,c", inputs={"multiple": 4}).classes == ("a", "b", "c")
    smaller = open_network(source, inputs={"size": 64}).inputs
    assert (smaller.size, smaller.channels) == ((64, 64), own.inputs.channels)
    with pytest.raises(InputError, match=r"2 classes are named .* has 3 channels"):
        open_network(source, classes="a,b")


def test_folders_of_half_precision_become_float32(tmp_path: Path) -> None:
    trained = segformer().half()
    own = open_network(saved(trained, tmp_path))
    for key, tensor in trained.state_dict().items():
        found = own.model.state_dict()[key]
        assert found.dtype == (torch.float32 if tensor.is_floating_point() else tensor.dtype)
        assert torch.equal(found, tensor.to(found.dtype))


def test_the_names_of_a_network_that_is_built_come_along() -> None:
    model = segformer(id2label=NAMES, label2id={v: k for k, v in NAMES.items()})
    assert open_network(model).classes == ("background", "cat", "dog")
    assert open_network(segformer()).classes == ("class 0", "class 1", "class 2")


def test_weights_may_lie_elsewhere(tmp_path: Path) -> None:
    trained = segformer(num_labels=5)
    source, file = saved(segformer(num_labels=2), tmp_path), tmp_path / "w.pth"
    (tmp_path / "model.safetensors").unlink()
    torch.save(trained.state_dict(), file)
    own = open_network(source, weights=file)
    assert len(own.classes) == 5
    for key, tensor in trained.state_dict().items():
        assert torch.equal(own.model.state_dict()[key], tensor)


def test_random_weights_are_asked_for(tmp_path: Path) -> None:
    source = saved(segformer(num_labels=3), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds config\.json and no weights .*--arg random=true"):
        open_network(source)
    with pytest.raises(InputError, match="argument 'random' is 3: say true or false"):
        open_network(source, arguments={"random": 3})
    own = open_network(source, arguments={"random": True})
    assert own.sha256 is None
    assert own.facts is not None
    assert own.facts["random"] is True
    assert len(open_network(source, arguments={"random": True}, classes="a,b").classes) == 2
    assert len(open_network(source, arguments={"random": True, "num_labels": 7}).classes) == 7
    with pytest.raises(InputError, match="unknown argument 'hidden_size'"):
        open_network(source, arguments={"random": True, "hidden_size": 3})


def test_weights_of_a_classifier_are_not_taken_for_more(tmp_path: Path) -> None:
    """transformers would draw the head at random, and say so on the terminal alone."""
    model = segformer(num_labels=3)
    classifier = transformers.SegformerForImageClassification(model.config)
    source = saved(classifier, tmp_path)
    with pytest.raises(InputError, match=r"do not fit SegformerForSemanticSegmentation: \d+ are missing \(decode_head"):
        open_network(source)


def test_what_is_wrong_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    source = saved(segformer(num_labels=3), folder)
    config = json.loads((folder / "config.json").read_text())

    def refused(match: str, name: str = source) -> None:
        with pytest.raises(InputError, match=match) as caught:
            open_network(name)
        assert "\n" not in str(caught.value)

    refused(r"the folder .* holds no config\.json", f"hf:{tmp_path}")
    refused("there is no folder", f"hf:{tmp_path / 'absent'}")
    refused(r"config\.json is a file", f"hf:{folder / 'config.json'}")
    (folder / "model.safetensors").write_bytes(b"damaged")
    refused("transformers cannot load the weights")
    for changed, match in (
        (config | {"auto_map": {"AutoModel": "mine.Net"}}, "brings code of its own"),
        (config | {"model_type": "no_such"}, "cannot be read by transformers"),
        ({k: v for k, v in config.items() if k != "model_type"}, "names no 'model_type'"),
        ({"model_type": "bert", "architectures": ["BertModel"]}, "holds a BertModel, which gives no masks"),
    ):
        (folder / "config.json").write_text(json.dumps(changed))
        refused(match)
    (folder / "config.json").write_text("{")
    refused("cannot be read")


def test_a_repository_that_cannot_be_had_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"hf:nobody/nothing: .* the repository cannot be had"):
        open_network("hf:nobody/nothing")
    with pytest.raises(InputError, match="no repository has such a name"):
        open_network("hf:not a name")
