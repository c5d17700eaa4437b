"""Attention matrices, as the network computes them."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from segcam import Probe, ProbeError, Target, grad_cam
from segcam.models import MODELS, create
from segcam.models.segformer import attention_places
from segcam.probe.attention import AttentionPlace
from segcam.probe.attention.hooks import recording_attention
from segcam.probe.network.modules import walked
from tests.attentions import NETWORKS, images, network
from tests.small_networks import outputs_of, unchanged

from transformers import SegformerConfig, SegformerForSemanticSegmentation  # isort: skip  (needs segcam first)

every = pytest.mark.parametrize("name", NETWORKS)


def raw() -> nn.Module:
    torch.manual_seed(0)
    return SegformerForSemanticSegmentation(SegformerConfig(depths=[1, 2, 1, 1], hidden_sizes=[8, 16, 40, 64])).eval()


def fused(model: nn.Module) -> list[object]:
    """What says how the modules compute attention."""
    flags = [m.fused_attn for m in model.modules() if hasattr(m, "fused_attn")]
    return flags + [m.config._attn_implementation for m in model.modules() if hasattr(m, "config")]


@every
@pytest.mark.parametrize("size", [(64, 96), (72, 40)])
def test_matrices_lie_on_the_grids_of_their_blocks(name: str, size: tuple[int, int]) -> None:
    model, layers, places = network(name)
    found = Probe(model, layers, attention=places)(images(*size))
    assert list(found.attentions) == [place.label for place in places]
    assert [place.layer for place in places] == [layer.label for layer in layers if layer.role == "after attention"]
    assert [place.depth for place in places] == list(range(len(places)))
    for place in places:
        attention = found.attentions[place.label]
        h, w = (math.ceil(side / place.stride) for side in size)
        assert attention.grid == (h, w) == tuple(found.activations[place.layer].shape[2:])
        assert attention.keys == (h // place.reduction, w // place.reduction)
        assert attention.prefix == (1 if name == "vit" else 0)
        assert attention.weights.dtype == torch.float32
        assert not attention.weights.requires_grad
        assert torch.allclose(attention.weights.sum(-1), torch.ones(()), atol=1e-5)
        assert attention.weights.std() > 1e-3, "far from uniform"


def test_segformers_blocks() -> None:
    places = network("segformer")[2]
    assert [place.label for place in places] == [f"Attention {s}_{n}" for s in (1, 2, 3, 4) for n in (1, 2)]
    assert [(place.stride, place.reduction) for place in places[::2]] == [(4, 8), (8, 4), (16, 2), (32, 1)]
    assert [place.stage for place in places] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_networks_without_attention_say_so() -> None:
    assert MODELS.get("unet").attentions(create("unet", 2, {"width": 2})) == []


@every
def test_step_by_step_agrees_with_the_fused_kernels(name: str) -> None:
    model, layers, places = network(name)
    targets = [Target(1), Target(1, pixels="predicted")]
    with_matrices = Probe(model, layers, attention=places).many(images(), targets)
    without = Probe(model, layers).many(images(), targets)
    assert with_matrices[0].attentions is with_matrices[1].attentions
    for one, other in zip(with_matrices, without, strict=True):
        assert other.attentions == {}
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-5)
        for layer in layers:
            a, b = one.maps(grad_cam, layer), other.maps(grad_cam, layer)
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.nan_to_num().max()), equal_nan=True)


@every
@pytest.mark.parametrize("failing", [False, True])
def test_the_network_is_as_before(name: str, failing: bool) -> None:
    model, layers, places = network(name)
    model.eval()(images())  # transformers leaves hooks of its own in its first pass
    model.train()
    before, probe = fused(model), Probe(model, layers, attention=places)
    assert before
    if failing:
        model.register_forward_pre_hook(lambda *_: 1 / 0)
    with unchanged(model), pytest.raises(ZeroDivisionError) if failing else nullcontext():
        probe(images())
    assert fused(model) == before
    with recording_attention(walked(model), places):
        assert set(fused(model)) <= {False, "eager"}  # step by step, but only meanwhile
    assert fused(model) == before


@every
def test_frozen_and_in_no_grad(name: str) -> None:
    model, layers, places = network(name)
    wanted = Probe(model, layers, attention=places)(images())
    model.requires_grad_(False)
    with torch.no_grad():
        found = Probe(model, layers, attention=places)(images())
    for label, attention in wanted.attentions.items():
        assert torch.equal(found.attentions[label].weights, attention.weights)


@every
def test_bf16(name: str) -> None:
    model, layers, places = network(name)
    exact = Probe(model, layers, attention=places)(images())
    rough = Probe(model, layers, attention=places, precision="bf16")(images())
    for label, attention in rough.attentions.items():
        assert attention.weights.dtype == torch.float32
        assert torch.allclose(attention.weights.sum(-1), torch.ones(()), atol=0.03)
        assert torch.allclose(attention.placed().sum(-1), torch.ones(()), atol=1e-5)
        assert (attention.weights - exact.attentions[label].weights).abs().mean() < 0.01


@every
def test_matrices_do_not_depend_on_batch_mates(name: str) -> None:
    model, layers, places = network(name)
    batch = images(count=3)
    together, alone = (Probe(model, layers, attention=places)(b) for b in (batch, batch[1:2]))
    for label, attention in together.attentions.items():
        assert torch.allclose(attention.weights[1], alone.attentions[label].weights[0], atol=1e-5)


def test_a_network_of_transformers_as_it_is() -> None:
    """The library's own way to its matrices, `output_attentions`, is the oracle."""
    model = raw()
    places = attention_places(model)
    before = fused(model)
    found = Probe(model, "decode_head.linear_fuse", attention=places)(images(80, 112))
    assert fused(model) == before
    assert [place.label for place in places] == [f"Attention {x}" for x in ("1_1", "2_1", "2_2", "3_1", "4_1")]
    model.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = model(pixel_values=images(80, 112), output_attentions=True).attentions
    assert len(theirs) == len(places)
    for matrix, attention in zip(theirs, found.attentions.values(), strict=True):
        torch.testing.assert_close(attention.weights, matrix)


def test_transformers_asked_for_its_own_matrices_as_well() -> None:
    model = raw()
    model.set_attn_implementation("eager")
    model.config.output_attentions = True
    found = Probe(model, "decode_head.linear_fuse", attention=attention_places(model))(images())
    assert len(found.attentions) == 5


def test_the_vits_matrices_are_what_its_projections_say() -> None:
    model, layers, places = network("vit")
    qkv = f"{places[3].module}.qkv"
    with outputs_of(model, [qkv]) as outputs:
        found = Probe(model, layers, attention=places)(images()).attentions[places[3].label]
    output = outputs[qkv][0].detach()
    b, n, wide = output.shape
    q, k, _ = output.reshape(b, n, 3, found.heads, wide // 3 // found.heads).permute(2, 0, 3, 1, 4)
    wanted = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    torch.testing.assert_close(found.weights, wanted)


class Odd(nn.Module):
    """A network whose 'attention' is not what it should be."""

    def __init__(self, times: int, queries: int = 16) -> None:
        super().__init__()
        self.conv, self.attn = nn.Conv2d(3, 2, 1), nn.Module()
        self.attn.drop = nn.Dropout()
        self.times, self.queries = times, queries

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            self.attn.drop(torch.full((len(x), 1, self.queries, 16), 1 / 16))
        return self.conv(x)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (Odd(0), {}, "gave no attention matrices"),
        (Odd(2), {}, "gave 2 attention matrices in one forward pass"),
        (Odd(1, 9), {}, "has 9 queries, which fit no grid of stride 8"),
        (Odd(1), {"reduction": 2}, "does not fit a grid of 4 x 4 queries with 2 x 2 of them a key"),
        (Odd(1), {"module": "attention"}, "there is no 'attention' for 'Attention 1'"),
        (Odd(1), None, "two places share the label 'Attention 1'"),
    ],
)
def test_attention_that_cannot_be_read(model: nn.Module, changes: dict[str, object] | None, words: str) -> None:
    place = AttentionPlace("attn", "Attention 1", 1, 0, 8)
    with pytest.raises(ProbeError, match=words):
        Probe(model, "conv", attention=[place, place] if changes is None else [replace(place, **changes)])(
            images(32, 32)
        )
    assert not any(m._forward_hooks for m in model.modules())
