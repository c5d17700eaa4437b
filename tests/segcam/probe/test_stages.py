"""A handful of layers: the ends of stages, in the order in which they run, each with a map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, ProbeError, Target
from segcam.models import create
from segcam.probe.choice import choose_layers
from segcam.probe.stages import thinned
from tests.small_networks import unchanged

IMAGES = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def stages(model: nn.Module, most: int = 9) -> tuple[Layer, ...]:
    return choose_layers(model, IMAGES, most=most, stages=True, output="logits").layers


def chosen(model: nn.Module, most: int = 9) -> list[tuple[str, int]]:
    return [(layer.module, layer.stride) for layer in stages(model, most)]


def test_the_stages_of_a_unet() -> None:
    model = create("unet", 2, {"width": 4}).train()
    with unchanged(model):
        layers = stages(model)
    assert [layer.stride for layer in layers] == [1, 2, 4, 8, 16, 8, 4, 2, 1]
    assert [layer.module.partition(".")[0] for layer in layers] == ["encoders"] * 5 + ["decoders"] * 4
    assert [layer.depth for layer in layers] == list(range(9))
    assert len(Probe(model, layers)(IMAGES, Target(1, "image")).layers) == 9


@pytest.mark.parametrize("most", [1, 2, 4])
def test_fewer_layers_keep_the_last(most: int) -> None:
    layers = chosen(create("unet", 2, {"width": 4}), most)
    assert len(layers) == most
    assert layers[-1][0] == "decoders.3"


class Auxiliary(nn.Module):
    """Two heads of as many channels, one of which is returned beside the logits; one ReLU for all."""

    def __init__(self, norm: type[nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, 2, 1), norm(6)
        self.body = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), norm(8), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Dropout(), nn.Conv2d(8, 2, 1))
        self.aux = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1))
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        body = self.body(self.relu(self.norm(self.stem(x))))
        body = self.relu(body * self.pool(body).sigmoid())
        return {"out": nn.functional.interpolate(self.head(body), x.shape[2:]), "aux": self.aux(body)}


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_what_gives_no_map_is_left_out(norm: type[nn.Module]) -> None:
    """Logits, another head, single cells, what runs twice, and what lies in front of an instance norm."""
    torch.manual_seed(0)
    assert chosen(Auxiliary(norm)) == [("norm", 2), ("body", 4), ("head.0", 4)]


class Decoder(nn.Sequential):
    """Stages of its own, in a module that gives feature maps itself."""

    def __init__(self, channels: int, stages: int) -> None:
        blocks = (nn.Sequential(nn.ConvTranspose2d(channels, channels, 2, 2), nn.ReLU()) for _ in range(stages))
        super().__init__(*blocks)


def test_a_decoder_is_looked_into() -> None:
    def behind(decoder: nn.Module) -> nn.Module:
        stages = [nn.Conv2d(3 if n == 0 else 4, 4, 3, 2 if n < 3 else 1, 1) for n in range(5)]
        return nn.Sequential(*stages, decoder, nn.Conv2d(4, 2, 1))

    assert chosen(behind(Decoder(4, 3)))[-3:] == [("5.0", 4), ("5.1", 2), ("5", 1)]


def test_blocks_of_a_transformer() -> None:
    names = [name for name, _ in chosen(create("vit", 2, {}))]
    blocks = [name for name in names if name.startswith("encoder.blocks.")]
    assert len(blocks) >= 3
    assert all(name.count(".") == 2 for name in blocks)


class Weights(nn.Module):
    """A network without modules."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight)


def test_no_layer_with_a_map() -> None:
    with pytest.raises(ProbeError, match="module"):
        stages(Weights())


def test_logits_where_there_is_nothing_else() -> None:
    assert chosen(nn.Sequential(Weights())) == [("0", 1)]


def test_stages_share_what_is_left_by_their_length() -> None:
    items = list(range(10))
    grids = [(8, 8)] * 6 + [(4, 4)] * 3 + [(8, 8)]
    assert thinned(items, grids, 10) == items
    assert thinned(items, grids, 6) == [1, 3, 5, 6, 8, 9]
    assert thinned(items, grids, 3) == [5, 8, 9]
    assert thinned(items, grids, 2) == [8, 9]
    assert thinned(items, grids, 1) == [9]
