"""What a network cannot take is told in words, and what goes with the images is known from what does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, ProbeError, Target, grad_cam, maps
from segcam.errors import InputError
from segcam.maps import all_maps
from tests.small_networks import seeded

TARGET = Target(1, "image", output="logits")
IMAGES = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(1))


class Steered(nn.Module):
    """Takes a weight a channel, and features to add, beside the images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.rows, self.act, self.head = nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), nn.Tanh(), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor, weight: Tensor, extra: Sequence[Tensor] = (), shift: float = 0.0) -> Tensor:
        features = self.stem(x * weight.view(1, 3, 1, 1)) + shift
        for one in extra:
            features = features + one
        return self.head(self.act(self.rows(features)).view(features.shape))


@pytest.mark.parametrize("layer", ["stem", "act"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_as_many_channels_as_images_and_lists_of_inputs(layer: str, kind: type) -> None:
    """The layer `act` needs a pass of another number of images to be read."""
    model, weight = seeded(Steered).float(), torch.tensor([0.5, 1.0, 2.0])
    extra = kind(torch.rand(2, 3, 8, 1, 1, generator=torch.Generator().manual_seed(2)))
    whole = Probe(model, layer)(IMAGES, TARGET, inputs={"weight": weight, "extra": extra}).maps(grad_cam)
    for i in range(3):
        alone = {"weight": weight, "extra": kind(one[i : i + 1] for one in extra)}
        torch.testing.assert_close(
            Probe(model, layer)(IMAGES[i : i + 1], TARGET, inputs=alone).maps(grad_cam)[0], whole[i]
        )
    as_numbers = {"weight": weight.numpy(), "extra": extra}
    assert torch.equal(Probe(model, layer)(IMAGES, TARGET, inputs=as_numbers).maps(grad_cam), whole)


class Scaled(nn.Module):
    """Takes a number a channel, or a number an image."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.stem, self.head, self.shape = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1), shape

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.head(self.stem(x).tanh() * scale.view(*self.shape))


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1, 1)])
def test_a_vector_as_long_as_the_batch_is_parted_only_where_its_numbers_belong_to_images(shape: Sequence[int]) -> None:
    x, scale = torch.rand(4, 3, 16, 24), torch.tensor([0.5, 1.0, 2.0, 4.0])
    probe = Probe(seeded(lambda: Scaled(*(-1 if n == 4 and shape[0] == 4 else n for n in shape))).float(), "stem")
    for given in (scale, scale.numpy()):
        (whole,) = all_maps(probe, x, [TARGET], ["grad_cam"], inputs={"scale": given})
        (parted,) = all_maps(probe, x, [TARGET], ["grad_cam"], inputs={"scale": given}, max_memory=90_000)
        torch.testing.assert_close(parted["stem"], whole["stem"])
    (plan,) = [plan for plans in (maps._PLANS[probe],) for plan in plans.values()]
    assert len(list(plan.passes(4))) > 1


def test_a_vector_that_may_be_either_is_refused_where_the_batch_is_parted() -> None:
    """Of two images the first number alone would scale all channels."""

    class Pair(Scaled):
        def __init__(self) -> None:
            super().__init__(1, -1, 1, 1)
            self.stem, self.head = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 1)

    probe, inputs = Probe(seeded(Pair).float(), "stem"), {"scale": torch.tensor([1.0, 2.0])}
    with pytest.raises(ProbeError, match=r"has 2 numbers for 2 images, .* leave out max_memory"):
        all_maps(probe, torch.rand(2, 3, 16, 24), [TARGET], ["grad_cam"], inputs=inputs, max_memory=90_000)
    all_maps(probe, torch.rand(2, 3, 16, 24), [TARGET], ["grad_cam"], inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": IMAGES, "weight": torch.ones(3)}, "leaves no argument for the images: leave out the one .* 'x'"),
        ({"x": IMAGES, "weight": torch.ones(3), "extra": (), "shift": 1.0}, "leaves no argument for the images"),
        ({"weight": np.array(["a", "b", "c"])}, r"inputs\['weight'\] are array"),
    ],
)
def test_inputs_that_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Probe(seeded(Steered).float(), "stem")(IMAGES, TARGET, inputs=inputs)


@pytest.mark.parametrize("shape", [(2, 1, 16, 24), (2, 16, 24, 3)])
def test_images_that_the_network_fails_on_are_named(shape: tuple[int, ...]) -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 1))).float()
    with pytest.raises(ProbeError, match=rf"images \({shape[0]}, {shape[1]}, .*first convolution takes 3 ch") as caught:
        Probe(model, "0")(torch.rand(shape), TARGET)
    assert isinstance(caught.value.__cause__, RuntimeError)


class Fixed(nn.Module):
    """Takes two images alone, and its output is smaller than they are."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 5), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x.view(2, 3, 16, 24)).relu())


class Batched(Fixed):
    """Keeps something for each image of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.rand(2, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.stem(x) + self.shift).relu())


@pytest.mark.parametrize("kind", [Fixed, Batched])
def test_networks_of_one_number_of_images(kind: type[Fixed]) -> None:
    model = seeded(kind).float()
    capture = Probe(model, "stem", placement="receptive_field")(IMAGES[:2], TARGET)
    place = capture.placements["stem"]
    assert place is not None
    assert (place.origin, place.step) == ((2.0, 2.0), (1.0, 1.0))
    with pytest.raises(ProbeError, match=r"failed on images \(3, 3, 16, 24\)"):
        Probe(model, "stem")(IMAGES, TARGET)


@pytest.mark.parametrize("layers", ["stem", "*"])
def test_networks_in_inference_mode(layers: str) -> None:
    class Quick(Fixed):
        @torch.inference_mode()  # type: ignore[no-untyped-call]
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    with pytest.raises(ProbeError, match=r"runs in torch.inference_mode: let the network keep its graph"):
        Probe(seeded(Quick).float(), layers)(IMAGES[:2], TARGET)


def test_networks_without_weights() -> None:
    with pytest.raises(ProbeError, match="'0' is a LazyConv2d that has not run yet"):
        Probe(nn.Sequential(nn.LazyConv2d(8, 3)), "0")
    with pytest.raises(ProbeError, match="on the device 'meta'"):
        Probe(nn.Sequential(nn.Conv2d(3, 8, 3, device="meta")), "0")
