"""Which layers stand for a network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segcam.errors import InputError, ProbeError
from segcam.models import create
from segcam.probe.choice import MOST, choose_layers


class Block(nn.Module):
    """A convolution that squeezes, and hands on what it was given beside it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        return x + y * self.squeeze(y).sigmoid()


class Network(nn.Module):
    """Two stages of several blocks; the head runs before the module that stands first in its list."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 2, 1)
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), *(Block(8) for _ in range(blocks))) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return nn.functional.interpolate(self.head(x), scale_factor=8)


IMAGES = torch.rand(2, 3, 32, 48)


def test_layers_come_in_the_order_in_which_they_run_with_stride_stage_and_role() -> None:
    layers = choose_layers(Network(1).eval(), IMAGES, most=None).layers
    assert layers[0].label == "stem"
    assert layers[-1].label == "head"
    assert [layer.depth for layer in layers] == list(range(len(layers)))
    assert {layer.stride: layer.stage for layer in layers} == {2: 1, 4: 2, 8: 3}
    assert layers[-1].role == "decoder"
    assert {layer.role for layer in layers[:-1]} == {"encoder"}


def test_of_modules_with_the_same_output_the_outermost_is_taken() -> None:
    choice = choose_layers(Network(2).eval(), IMAGES, most=None)
    labels = [layer.label for layer in choice.layers]
    assert "stages.0" in labels
    assert "stages.0.2" not in labels
    assert choice.repeated["stages.0.2"] == "stages.0"


def test_maps_of_one_cell_and_modules_without_maps_have_a_reason() -> None:
    choice = choose_layers(Network(1).eval(), IMAGES)
    assert choice.left_out["stages.0.1.squeeze"] == "has a single cell"
    assert "did not run" in choice.left_out["stages"]
    assert not {layer.label for layer in choice.layers} & choice.left_out.keys()


@pytest.mark.parametrize("most", [1, 3, 4, 6, 9, 24])
def test_no_more_than_asked_for_and_blocks_before_what_is_in_them(most: int) -> None:
    choice = choose_layers(Network(4).eval(), IMAGES, most=most)
    labels = [layer.label for layer in choice.layers]
    assert 1 <= len(labels) <= most
    assert labels[-1] == "head"
    every = {layer.label for layer in choose_layers(Network(4).eval(), IMAGES, most=None).layers}
    assert every == {*labels, *choice.thinned}
    if most >= 4:
        assert {"stem", "stages.0", "stages.1", "head"} <= set(labels)
        opened = [label for label in labels if label.count(".") == 2]
        assert not opened or {"stages.0.1", "stages.1.1"} <= set(labels)  # siblings alike


def test_named_layers_are_all_taken_and_must_give_a_map() -> None:
    network = Network(1).eval()
    assert [x.label for x in choose_layers(network, IMAGES, ["head", "stem"], most=None).layers] == ["stem", "head"]
    with pytest.raises(ProbeError, match="'stages'"):
        choose_layers(network, IMAGES, ["stages"])


def test_our_own_networks_have_a_handful() -> None:
    for name in ("unet", "segformer"):
        choice = choose_layers(create(name, 2).eval(), torch.rand(1, 3, 64, 64))
        assert 8 <= len(choice.layers) <= MOST
        assert {layer.role for layer in choice.layers} == {"encoder", "decoder"}


@pytest.mark.parametrize("most", [0, -1, True, 2.5])
def test_a_number_of_layers_must_be_one(most: object) -> None:
    with pytest.raises(InputError, match="number of layers"):
        choose_layers(Network(1), IMAGES, most=most)  # type: ignore[arg-type]
