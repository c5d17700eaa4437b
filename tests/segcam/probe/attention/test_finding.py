"""Attention of networks that are none of ours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, Target
from segcam.models.segformer import attention_places
from segcam.probe.attention.finding import find_attention
from segcam.probe.choice import choose_layers


class SelfAttention(nn.Module):
    """Attention of one head over all tokens; its keys may be coarser."""

    def __init__(self, reduction: int = 1) -> None:
        super().__init__()
        self.reduction = reduction
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        keys = nn.functional.avg_pool2d(x, self.reduction)
        queries, keys = x.flatten(2).transpose(1, 2)[:, None], keys.flatten(2).transpose(1, 2)[:, None]
        weights = self.dropout((queries @ keys.transpose(2, 3)).softmax(3))
        return (weights @ keys)[:, 0].transpose(1, 2).reshape(x.shape)


class Windowed(nn.Module):
    """Attention in two windows, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.window_attention = SelfAttention()

    def forward(self, x: Tensor) -> Tensor:
        halves = torch.cat(x.chunk(2, 3))
        return torch.cat(self.window_attention(halves).chunk(2), 3)


def network(*blocks: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 4, 4), *blocks, nn.Conv2d(4, 2, 1)).eval()


IMAGES = torch.rand(1, 3, 32, 48)


@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_stride_and_reduction_are_found(reduction: int) -> None:
    found = find_attention(network(SelfAttention(reduction)), IMAGES)
    ((place,), left_out) = found.places, found.left_out
    assert (place.module, place.stride, place.reduction) == ("1", 4, reduction)
    assert not left_out


def test_what_is_found_can_be_probed() -> None:
    net = network(SelfAttention(2), SelfAttention())
    places = find_attention(net, IMAGES).places
    capture = Probe(net, "0", attention=places, output="logits")(IMAGES, Target(pixels="image"))
    assert [attention.grid for attention in capture.attentions.values()] == [(8, 12), (8, 12)]
    for attention in capture.attentions.values():
        assert torch.allclose(attention.weights.sum(3), torch.ones(()), atol=1e-5)


def test_windows_are_left_out_with_the_reason() -> None:
    found = find_attention(network(Windowed()), IMAGES)
    assert not found.places
    assert "windows" in found.left_out["1.window_attention"]


def test_a_place_belongs_to_the_innermost_layer_that_holds_it() -> None:
    net = network(nn.Sequential(nn.Identity(), SelfAttention()))
    layers = choose_layers(net, IMAGES, output="logits").layers
    (place,) = find_attention(net, IMAGES, layers).places
    assert place.layer == max((x.label for x in layers if "1.1".startswith(x.module)), key=len)


def test_networks_without_attention_have_none() -> None:
    found = find_attention(network(nn.ReLU()), IMAGES)
    assert (found.places, found.left_out) == ((), {})


def test_places_are_those_that_segformers_file_gives() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_labels=3,
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 2, 2, 2],
        decoder_hidden_size=8,
    )
    net = transformers.SegformerForSemanticSegmentation(config).eval()
    found = find_attention(net, torch.rand(1, 3, 64, 96)).places
    ours = attention_places(net)
    assert [(x.module.removesuffix(".self"), x.stride, x.reduction, x.stage) for x in found] == [
        (x.module, x.stride, x.reduction, x.stage) for x in ours
    ], "in transformers 4 the matrix is made one module further in"
