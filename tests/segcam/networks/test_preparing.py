"""Images as the run gives them become images as the network wants them: the same numbers, the same places."""

from __future__ import annotations

import copy
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcam import Probe, Target
from segcam.channels import RGB, Channels
from segcam.errors import InputError
from segcam.networks import NetworkInputs, prepare, read_inputs
from segcam.precision import HALF
from tests.small_networks import Convolutions, seeded

PIXELS = torch.randint(0, 256, (2, 3, 50, 62), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
CAFFE = read_inputs({"mean": [104, 117, 123], "std": [1, 2, 3], "range": [0, 255], "order": "bgr"})


class Seen(nn.Module):
    """Keeps what it was given, and returns two channels of it at a stride."""

    def __init__(self, stride: int = 1, form: Callable[[Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        self.pool, self.form = nn.AvgPool2d(stride), form
        self.images = torch.empty(0)

    def forward(self, images: Tensor) -> Any:
        self.images = images
        return self.form(self.pool(images)[:, :2])


def caffe(pixels: Tensor) -> Tensor:
    """Blue first, less the mean of bytes: written out."""
    planes = [(pixels[:, n].double() - mean) / std for n, mean, std in ((2, 104, 1), (1, 117, 2), (0, 123, 3))]
    return torch.stack(planes, 1)


@pytest.mark.parametrize("given", [RGB, Channels((0.1, 0.2, 0.3), (1.0, 0.5, 2.0))])
def test_the_network_gets_what_it_wants(given: Channels) -> None:
    net = Seen()
    with prepare(net, CAFFE, given):
        net(given.normalised(PIXELS))
    torch.testing.assert_close(net.images.double(), caffe(PIXELS), atol=1e-3, rtol=1e-5)


def test_channels_that_are_not_named_stay_and_are_reversed() -> None:
    net, images = Seen(), RGB.normalised(PIXELS)
    with prepare(net, NetworkInputs(bgr=True), RGB):
        net(images)
    torch.testing.assert_close(net.images, images.flip(1))


def test_shares_of_other_ranges_are_the_same_shares() -> None:
    deep = Channels((0.5,), (0.25,), 0, 65535)
    net, images = Seen(), torch.randint(0, 65536, (1, 1, 8, 8)).float()
    with prepare(net, NetworkInputs(channels=Channels((0.0,), (1.0,))), deep):
        net(deep.normalised(images))
    torch.testing.assert_close(net.images, images / 65535)


def test_nothing_is_hooked_where_nothing_is_to_be_done() -> None:
    net = Seen()
    with prepare(net, NetworkInputs(channels=RGB), RGB):
        assert not net._forward_pre_hooks


def test_what_was_put_on_comes_off() -> None:
    net = Seen()
    prepared = prepare(net, NetworkInputs(channels=RGB, multiple=32), Channels((0.0,) * 3, (1.0,) * 3))
    assert net._forward_pre_hooks
    prepared.remove()
    prepared.remove()
    assert not net._forward_pre_hooks
    assert not net._forward_hooks
    with pytest.raises(RuntimeError, match="fails"), prepare(net, NetworkInputs(multiple=32), RGB):
        raise RuntimeError("fails")
    assert not net._forward_pre_hooks


def test_a_network_is_prepared_once() -> None:
    net = Seen()
    with prepare(net, CAFFE, RGB), pytest.raises(InputError, match="prepared already"):
        prepare(net, CAFFE, RGB)


def test_copies_are_prepared_too() -> None:
    net = Seen()
    with prepare(net, read_inputs({"multiple": 32}), RGB):
        other = copy.deepcopy(net)
    assert tuple(other(torch.zeros(1, 3, 40, 20)).shape) == (1, 2, 40, 20)
    assert tuple(other.images.shape) == (1, 3, 64, 32)


Named = namedtuple("Named", ["logits", "extra"])  # noqa: PYI024  (libraries have such)
FORMS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tensor": (lambda x: x, lambda y: y),
    "dict": (lambda x: {"out": x, "none": None}, lambda y: y["out"]),
    "ordered": (lambda x: OrderedDict(out=x), lambda y: y["out"]),
    "tuple": (lambda x: (torch.zeros(3), x), lambda y: y[1]),
    "nested": (lambda x: [{"out": x}], lambda y: y[0]["out"]),
    "named": (lambda x: Named(x, 3), lambda y: y.logits),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_what_pads_is_cropped_off_again(form: str, stride: int) -> None:
    """Zeros stand at the bottom and on the right; where a cell would be cut the output is upsampled first."""
    make, take = FORMS[form]
    net, images = Seen(stride, make), RGB.normalised(PIXELS)
    with prepare(net, NetworkInputs(multiple=32), RGB):
        found = take(net(images))
    padded = F.pad(images, (0, 2, 0, 14))
    torch.testing.assert_close(net.images, padded)
    wanted = F.avg_pool2d(padded, stride)[:, :2]
    if stride == 8:  # 50 and 62 pixels are no whole number of cells
        wanted = F.interpolate(wanted, size=(64, 64), mode="bilinear", align_corners=False)
        stride = 1
    torch.testing.assert_close(found, wanted[:, :, : 50 // stride, : 62 // stride])


def test_transformers_outputs_keep_their_class() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    net = Seen(form=lambda x: outputs.SemanticSegmenterOutput(logits=x))
    with prepare(net, NetworkInputs(multiple=32), RGB):
        found = net(RGB.normalised(PIXELS))
    assert type(found) is outputs.SemanticSegmenterOutput
    assert tuple(found.logits.shape) == (2, 2, 50, 62)


def test_images_of_the_right_size_are_not_padded() -> None:
    net = Seen()
    with prepare(net, NetworkInputs(multiple=2), RGB):
        net(torch.zeros(1, 3, 50, 62))
        assert tuple(net.images.shape) == (1, 3, 50, 62)
        net(torch.zeros(1, 3, 51, 62))
        assert tuple(net.images.shape) == (1, 3, 52, 62)
        assert tuple(net(torch.zeros(1, 3, 50, 62)).shape) == (1, 2, 50, 62)


def test_images_by_name_are_prepared() -> None:
    net = Seen()
    with prepare(net, CAFFE, RGB):
        net(images=RGB.normalised(PIXELS))
    torch.testing.assert_close(net.images.double(), caffe(PIXELS), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    net, images = Seen(), RGB.normalised(PIXELS).to(dtype)
    with prepare(net, CAFFE, RGB):
        net(images)
        half = net.images
        net(images.float())
    assert half.dtype == dtype
    torch.testing.assert_close(half, net.images.to(dtype), atol=0, rtol=0)


def test_autocast_does_not_round_it() -> None:
    net, images = Seen(), RGB.normalised(PIXELS)
    with prepare(net, CAFFE, RGB), torch.autocast("cpu", torch.bfloat16):
        net(images)
    torch.testing.assert_close(net.images.double(), caffe(PIXELS), atol=1e-3, rtol=1e-5)


def test_other_numbers_of_channels_are_one_error() -> None:
    with pytest.raises(InputError, match="wants 3 channels and the images have 4"):
        prepare(Seen(), CAFFE, Channels((0.5,) * 4, (0.5,) * 4))
    with pytest.raises(InputError, match="wants BGR and the images have 4 channels"):
        prepare(Seen(), NetworkInputs(bgr=True), Channels((0.5,) * 4, (0.5,) * 4))
    net = Seen()
    with prepare(net, CAFFE, RGB), pytest.raises(InputError, match="the images have 1 channels"):
        net(torch.zeros(1, 1, 8, 8))


def test_maps_are_those_of_the_network_itself() -> None:
    """Gradients and activations are the same, and the paths of the layers stay."""
    net = seeded(Convolutions)
    images = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(1)).double()
    alone = Probe(net, "*", kind=nn.Conv2d)(images, Target(class_id=1))
    with prepare(net, NetworkInputs(channels=Channels((0.3,) * 3, (0.2,) * 3), bgr=True), Channels((0,) * 3, (1,) * 3)):
        capture = Probe(net, "*", kind=nn.Conv2d)(images.flip(1) * 0.2 + 0.3, Target(class_id=1))
    for layer in alone.layers:
        torch.testing.assert_close(capture.activations[layer.label], alone.activations[layer.label])
        torch.testing.assert_close(capture.gradients[layer.label], alone.gradients[layer.label])


class Strided(nn.Module):
    """Wants sides that are multiples of 16; its deepest cells are 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(nn.Conv2d(3 if n == 0 else 4, 4, 2, stride=2) for n in range(4)))
        self.head = nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep = F.interpolate(self.convs(x), scale_factor=16, mode="nearest")
        out: Tensor = self.head(torch.cat([deep, x], 1))
        return out


@pytest.mark.parametrize("placement", ["stretched", "receptive_field"])
def test_maps_of_padded_images_lie_where_their_cells_look(placement: Any) -> None:
    """Of 34 pixels in cells of 16 the padded image has 3: stretched over 34 pixels they would be of 11.3."""
    net = Strided()
    images = torch.rand(1, 3, 34, 34)
    with prepare(net, NetworkInputs(multiple=16), RGB):
        capture = Probe(net, "convs.3", placement=placement)(images, Target(class_id=1))
    place = capture.placements["convs.3"]
    assert place is not None
    assert (place.origin, place.step) == ((7.5, 7.5), (16.0, 16.0))
    assert tuple(capture.activations["convs.3"].shape[2:]) == (3, 3)
    assert tuple(capture.logits.shape[2:]) == (34, 34)


def test_a_size_that_fails_is_one_error_that_says_which_does_not() -> None:
    net = Strided()
    with pytest.raises(InputError, match=r"34, 34\).*it takes 48 x 48.*multiples of 16.*multiple = 16") as caught:
        Probe(net, "convs.3")(torch.rand(1, 3, 34, 34), Target(class_id=1))
    assert "\n" not in str(caught.value)
    with prepare(net, NetworkInputs(multiple=16), RGB):
        Probe(net, "convs.3")(torch.rand(1, 3, 34, 34), Target(class_id=1))


class Fixed(nn.Module):
    """Takes images of 224 pixels a side alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != (224, 224):
            raise ValueError("images must be of 224 pixels")
        out: Tensor = self.conv(x)
        return out


def test_a_network_of_one_size_says_which() -> None:
    with pytest.raises(InputError, match="it takes 224 x 224: resize images to that"):
        Probe(Fixed(), "conv")(torch.rand(1, 3, 96, 96), Target(class_id=1))
