"""Networks of one's own: their classes, weights, forms and the errors that name what is wrong."""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import segcam
from segcam.errors import InputError, ProbeError, SegcamWarning
from segcam.networks import NetworkInputs, OwnNetwork, open_network
from segcam.networks.sources import SOURCES
from segcam.probe.network.forms import check_form


def small(classes: int = 3, channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, classes, 1))


def test_it_is_one_of_the_public_names() -> None:
    assert segcam.open_network is open_network


def test_a_network_that_is_built_is_opened_as_it_is() -> None:
    net = small().train()
    own = open_network(net, classes=["background", "cat", "dog"], output="logits")
    assert own.model is net
    assert net.training
    assert own.classes == ("background", "cat", "dog")
    assert (own.name, own.output, own.sha256, own.inputs) == ("Sequential", "logits", None, NetworkInputs())
    assert own.facts is not None
    assert own.facts["channels_of_output"] == 3
    with pytest.raises(InputError, match="arguments are given with a network that is built"):
        open_network(net, arguments={"a": 1})


@pytest.mark.parametrize(
    ("channels", "classes", "wanted"),
    [
        (3, None, ("class 0", "class 1", "class 2")),
        (3, 3, ("class 0", "class 1", "class 2")),
        (3, " a, b ,c", ("a", "b", "c")),
        (3, ("a", "b", "c"), ("a", "b", "c")),
        (1, None, ("class 0", "class 1")),
        (1, "cat", ("not cat", "cat")),
        (1, "background,cat", ("background", "cat")),
    ],
)
def test_classes_are_named_or_counted(channels: int, classes: Any, wanted: tuple[str, ...]) -> None:
    assert open_network(small(channels), classes=classes).classes == wanted


@pytest.mark.parametrize(
    ("channels", "classes", "message"),
    [
        (2, "a,b,c", r"3 classes are named \(a, b, c\), and the output of 'Sequential' has 2 channels: name 2"),
        (3, "a,b,c,d", r"4 classes are named \(a, b, c, ...\), and the output of 'Sequential' has 3 channels"),
        (3, 21, "21 classes are named, and the output of 'Sequential' has 3 channels"),
        (1, "a,b,c", "has 1 channel: name one or two"),
        (3, "", "name each, background included"),
        (3, "a,,b", "name each, background included"),
        (3, [], "name each, background included"),
        (3, [1, 2, 3], "name each, background included"),
        (3, "a,b,a", "classes name 'a' twice"),
        (3, 0, "0 classes: a number from 1 to 255"),
        (3, [f"c{n}" for n in range(256)], "256 classes are named: masks of 8 bits hold 255"),
    ],
)
def test_classes_that_do_not_fit_are_one_error(channels: int, classes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_network(small(channels), classes=classes)
    assert "\n" not in str(caught.value)


def test_weights_find_their_place(tmp_path: Path) -> None:
    trained = small()
    nn.init.constant_(trained[0].weight, 0.5)  # type: ignore[arg-type]
    file = tmp_path / "last.pth"
    torch.save({"state_dict": {f"net.{k}": v for k, v in trained.state_dict().items()}, "epoch": 3}, file)
    own = open_network(small(), weights=file, prefix="state_dict.net")
    torch.testing.assert_close(own.model.state_dict(), trained.state_dict())
    assert own.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert own.facts is not None
    assert own.facts["random"] is False
    with pytest.raises(InputError, match=r"2 classes are named \(a, b\), and the weights .*last\.pth are of 3"):
        open_network(small(2), weights=file, classes="a,b", prefix="state_dict.net")
    with pytest.raises(InputError, match=r"no tensor's name begins with 'model\.'"):
        open_network(small(), weights=file, prefix="model")
    with pytest.raises(InputError, match=r"do not fit Sequential.*prefix=.*ignore="):
        open_network(nn.Sequential(nn.Conv2d(3, 9, 1)), weights=file, prefix="state_dict.net")
    with pytest.raises(InputError, match="does not exist"):
        open_network(small(), weights=tmp_path / "absent.pth")
    own = open_network(small(5), weights=file, prefix="state_dict.net", ignore=["3.*"])
    assert torch.equal(own.model.state_dict()["0.weight"], trained.state_dict()["0.weight"])


def test_a_folder_with_weights_will_do(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "pytorch_model.bin")
    own = open_network(small(), weights=tmp_path)
    assert own.sha256 == hashlib.sha256((tmp_path / "pytorch_model.bin").read_bytes()).hexdigest()


def test_one_of_ours_is_built_for_the_classes_of_its_weights(tmp_path: Path) -> None:
    from segcam.models import create

    file = tmp_path / "w.pth"
    torch.save(create("unet", 5, {"width": 4}).state_dict(), file)
    own = open_network("unet", arguments={"width": 4}, weights=file)
    assert len(own.classes) == 5
    assert not own.model.training
    assert own.inputs.channels is not None
    with pytest.raises(InputError, match=r"2 classes are named \(a, b\), and the weights .* are of 5: name 5"):
        open_network("unet", arguments={"width": 4}, weights=file, classes="a,b")


def test_random_weights_are_said_and_the_same_each_time() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.warns(SegcamWarning, match="network 'unet_he' has random weights"):
        one = open_network("unet_he", arguments={"width": 8})
    other = open_network("unet_he", arguments={"width": 8})
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))
    assert one.facts is not None
    assert one.facts["random"] is True


def test_what_images_the_network_wants_may_be_said() -> None:
    own = open_network(small(channels=4), inputs={"mean": [0.5] * 4, "std": [0.5] * 4, "multiple": 8})
    assert own.inputs.multiple == 8
    with pytest.raises(InputError, match=r"fails on images of 3 channels.*inputs"):
        open_network(small(channels=4), inputs={"mean": [0.5] * 3, "std": [0.5] * 3})
    with pytest.raises(InputError, match="unknown key 'colour'"):
        open_network(small(), inputs={"colour": 1})


class Strict(nn.Module):
    """Takes 96 pixels a side alone, or multiples of 96."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 96:
            raise ValueError(f"{x.shape[2]} rows")
        out: Tensor = self.conv(x)
        return out


def test_the_size_that_a_network_takes_may_be_said() -> None:
    assert len(open_network(Strict(), inputs={"size": 96}).classes) == 2
    assert len(open_network(Strict(), inputs={"multiple": 96}).classes) == 2
    assert len(open_network(Strict()).classes) == 2  # 384 is among those that are tried

    class Never(Strict):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no\nimages")

    with pytest.raises(InputError, match=r"network '.*Never' fails on images of 3 channels and 64 x 64.*no") as caught:
        open_network(Never())
    assert "\n" not in str(caught.value)


class Guided(Strict):
    def forward(self, x: Tensor, depth: Tensor) -> Tensor:  # type: ignore[override]
        return x + depth


def test_a_network_that_takes_more_names_its_classes() -> None:
    assert open_network(Guided(), classes="a,b").classes == ("a", "b")
    with pytest.raises(InputError, match="takes more than images, so its classes cannot be counted: name them"):
        open_network(Guided())


def test_an_output_that_is_nested_is_read_by_a_function() -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Any:
            return {"levels": [self.conv(x), self.conv(x)[:, :2]]}

    assert len(open_network(Deep(), output=lambda y: y["levels"][1]).classes) == 2
    assert len(open_network(Deep(), output="levels.0").classes) == 4
    with pytest.raises(InputError, match=r"name the element with open_network\(\.\.\., output='levels\.0'\)"):
        open_network(Deep())


def test_images_may_be_taken_by_name_alone() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, *, pixel_values: Tensor) -> Tensor:
            out: Tensor = self.conv(pixel_values)
            return out

    assert len(open_network(Named()).classes) == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_networks_are_unwrapped_and_scripted_ones_refused() -> None:
    net = small()
    with pytest.warns(SegcamWarning, match="is compiled, which skips hooks"):
        assert open_network(torch.compile(net)).model is net
    with pytest.warns(SegcamWarning, match="is wrapped for several devices"):
        assert open_network(nn.DataParallel(net)).model is net
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(net)
    with pytest.raises(ProbeError, match=r"TorchScript.*build the network in Python"):
        open_network(scripted)
    with pytest.raises(ProbeError):
        check_form(scripted)


@pytest.mark.parametrize("text", ["unett", "torchvison:fcn_resnet50x y", "", ":", "hf:", "FILE.onnx"])
def test_what_names_no_network_lists_the_ways_to(text: str) -> None:
    with pytest.raises(InputError) as caught:
        open_network(text)
    assert all(source.form in str(caught.value) for source in SOURCES)
    assert "\n" not in str(caught.value)


def test_what_was_meant_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for text, meant in (
        ("nets/mine.onnx", "'onnx:nets/mine.onnx' does"),
        ("last.ckpt", "a file of weights stands beside one"),
        (str(tmp_path), f"'hf:{tmp_path}' does"),
        ("torchvison:fcn_resnet50", "did you mean 'torchvision:'"),
    ):
        with pytest.raises(InputError, match=re.escape(meant)):
            open_network(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("unet", "unet"), ("segformer:b1", "segformer:b1"), ("a/b/mine.py:build", "mine.py:build"), ("hf:a/b/", "hf:b")],
)
def test_names_have_no_folders(text: str, name: str) -> None:
    from segcam.networks.opening import _short

    assert _short(text) == name


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (5, {}, "a torch.nn.Module is needed, not a int"),
        (nn.Identity, {}, "a torch.nn.Module is needed, not a type"),
        ("unet", {"arguments": [1]}, r"arguments are \[1\]: give names with values"),
        ("unet", {"classes": 3.5}, "classes are 3.5: give a list of names"),
        ("unet", {"classes": {0: "a"}}, "classes are {0: 'a'}: give a list of names"),
        ("unet", {"weights": {"a": torch.zeros(1)}}, "weights are a dict: name a file"),
        ("unet", {"inputs": 5}, "inputs are a int: give a table"),
    ],
)
def test_other_values_are_one_error(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_network(source, **options)


def test_own_networks_are_records() -> None:
    assert isinstance(open_network(small()), OwnNetwork)
