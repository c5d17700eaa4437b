"""Attention: matrices as the network computes them, and metrics and rollout right by a slow second way."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segcam import InputError, Layer, Probe, ProbeError, Target, grad_cam
from segcam.methods.attention_rollout import attention_rollout
from segcam.metrics.attention import ATTENTION_METRICS, attention_background_ratio, attention_distance
from segcam.models import MODELS, create
from segcam.models.segformer import attention_places
from segcam.probe.attention import Attention, AttentionPlace, recording
from segcam.scoring.reference import Scenery
from tests.reference import attention as slow
from tests.sceneries import BOTH, NEITHER, NO_BACKGROUND, NO_FOREGROUND, scene, scenery

from transformers import SegformerConfig, SegformerForSemanticSegmentation  # isort: skip  (needs segcam first)

NETWORKS = ("segformer", "vit")
every = pytest.mark.parametrize("name", NETWORKS)
few = settings(max_examples=25, deadline=None)


def images(h: int = 64, w: int = 96, count: int = 2) -> Tensor:
    return torch.randn(count, 3, h, w, generator=torch.Generator().manual_seed(0))


def network(name: str) -> tuple[nn.Module, list[Layer], list[AttentionPlace]]:
    """A network whose attention is far from uniform."""
    model = create(name, 2, seed=1)
    with torch.no_grad():
        for key, weights in model.named_parameters():
            if weights.ndim == 2 and any(part in key for part in ("qkv", "q_proj", "k_proj", "query", "key")):
                weights.mul_(5)
    return model, MODELS.get(name).layers(model, "conv"), MODELS.get(name).attentions(model)


def raw() -> nn.Module:
    torch.manual_seed(0)
    return SegformerForSemanticSegmentation(SegformerConfig(depths=[1, 2, 1, 1], hidden_sizes=[8, 16, 40, 64])).eval()


def fused(model: nn.Module) -> list[object]:
    """What says how the modules compute attention."""
    own = [m.fused_attn for m in model.modules() if hasattr(m, "fused_attn")]
    return own + [m.config._attn_implementation for m in model.modules() if hasattr(m, "config")]


# The matrices


@every
@pytest.mark.parametrize("size", [(64, 96), (72, 40)])
def test_matrices_lie_on_the_grids_of_their_blocks(name: str, size: tuple[int, int]) -> None:
    model, layers, places = network(name)
    found = Probe(model, layers, attention=places)(images(*size))
    assert list(found.attentions) == [place.label for place in places]
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


@every
def test_layers_behind_attention_are_named(name: str) -> None:
    _, layers, places = network(name)
    assert [place.layer for place in places] == [layer.label for layer in layers if layer.role == "after attention"]


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
    before, hooks = fused(model), [len(m._forward_hooks) for m in model.modules()]
    assert before
    probe = Probe(model, layers, attention=places)
    if failing:
        handle = model.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            probe(images())
        handle.remove()
    else:
        probe(images())
    assert fused(model) == before
    assert model.training
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@every
def test_step_by_step_only_meanwhile(name: str) -> None:
    model, _, places = network(name)
    before = fused(model)
    with recording(model, places):
        assert set(fused(model)) <= {False, "eager"}
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
    seen: list[Tensor] = []
    module = model.get_submodule(places[3].module)
    handle = module.qkv.register_forward_hook(lambda _m, _i, out: seen.append(out.detach()))
    found = Probe(model, layers, attention=places)(images()).attentions[places[3].label]
    handle.remove()
    b, n, wide = seen[0].shape
    q, k, _ = seen[0].reshape(b, n, 3, found.heads, wide // 3 // found.heads).permute(2, 0, 3, 1, 4)
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
    ],
)
def test_attention_that_cannot_be_read(model: nn.Module, changes: dict[str, object], words: str) -> None:
    place = replace(AttentionPlace("attn", "Attention 1", 1, 0, 8), **changes)
    with pytest.raises(ProbeError, match=words):
        Probe(model, "conv", attention=[place])(images(32, 32))
    assert not any(m._forward_hooks for m in model.modules())


def test_two_places_of_one_label() -> None:
    place = AttentionPlace("attn", "Attention 1", 1, 0, 8)
    with pytest.raises(ProbeError, match="two places share the label 'Attention 1'"):
        Probe(Odd(1), "conv", attention=[place, place])(images(32, 32))


# The metrics


def attention(
    rng: np.random.Generator, b: int, grid: tuple[int, int], reduction: int = 1, prefix: int = 0
) -> Attention:
    """Random matrices of two heads, float64, rows summing to 1."""
    n, m = grid[0] * grid[1] + prefix, (grid[0] // reduction) * (grid[1] // reduction) + prefix
    weights = torch.from_numpy(rng.random((b, 2, n, m)) ** 4 + 1e-3)
    return Attention(weights / weights.sum(-1, keepdim=True), grid, reduction)


def twin(made: Attention, i: int) -> slow.Block:
    return slow.Block(made.weights[i].numpy(), made.grid, made.reduction)


worlds = st.tuples(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(3, 15), st.integers(3, 15)),
    st.integers(1, 3),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.integers(0, 2),
)
World = tuple[int, tuple[int, int], int, tuple[int, int], int]


def built(world: World) -> tuple[np.random.Generator, tuple[int, int], Attention]:
    seed, size, reduction, more, prefix = world
    rng = np.random.default_rng(seed)
    return rng, size, attention(rng, 2, (reduction + more[0], reduction + more[1]), reduction, prefix)


@few
@given(worlds)
def test_metrics_equal_their_slow_twins(world: World) -> None:
    rng, size, made = built(world)
    scenes = [scene(rng, size) for _ in range(2)]
    view = scenery(scenes)
    ratio, distance = attention_background_ratio(made, view), attention_distance(made, view)
    assert ratio.shape == distance.shape == (2, 2)
    for i, one in enumerate(scenes):
        for head in range(2):
            wanted = slow.background_ratio(twin(made, i), head, one.foreground, one.background)
            assert float(ratio[i, head]) == pytest.approx(wanted, rel=1e-9, nan_ok=True)
            assert float(distance[i, head]) == pytest.approx(slow.distance(twin(made, i), head, size), rel=1e-9)


@few
@given(worlds)
def test_uniform_attention_has_ratio_1(world: World) -> None:
    rng, size, made = built(world)
    same = Attention(torch.ones_like(made.weights) / made.weights.shape[-1], made.grid, made.reduction)
    found = attention_background_ratio(same, scenery([scene(rng, size) for _ in range(2)]))
    assert torch.allclose(found.nan_to_num(1.0), torch.ones(2, 2, dtype=torch.float64), rtol=1e-9)


def pure(grid: tuple[int, int], cell: int) -> Scenery:
    """The left half foreground, cells of one class each."""
    foreground = torch.zeros(1, grid[0] * cell, grid[1] * cell, dtype=torch.bool)
    foreground[..., : grid[1] // 2 * cell] = True
    return Scenery(torch.zeros(foreground.shape, dtype=torch.float64), foreground, ~foreground, ("0",))


@pytest.mark.parametrize("prefix", [0, 1])
def test_attention_to_oneself_has_ratio_and_distance_0(prefix: int) -> None:
    made = Attention(torch.eye(24 + prefix, dtype=torch.float64).expand(1, 3, -1, -1), (4, 6))
    assert attention_background_ratio(made, pure((4, 6), 5)).tolist() == [[0, 0, 0]]
    assert attention_distance(made, pure((4, 6), 5)).tolist() == [[0, 0, 0]]


def test_distances_by_hand() -> None:
    """Two cells of 4 x 6 pixels: half of each one's attention goes 6 pixels far."""
    weights = torch.tensor([[[[0.5, 0.5], [0.5, 0.5]]]], dtype=torch.float64)
    view = Scenery(*(torch.zeros(1, 4, 12, dtype=t) for t in (torch.float64, torch.bool, torch.bool)), ("0",))
    assert attention_distance(Attention(weights, (1, 2)), view).item() == 3


def test_distance_to_reduced_keys_by_hand() -> None:
    """One key of 2 x 2 cells of 3 pixels, its centre 1.5 sqrt 2 from theirs; the cells beyond it lie further off."""
    made = Attention(torch.ones(1, 1, 6, 1, dtype=torch.float64), (2, 3), 2)
    view = Scenery(*(torch.zeros(1, 6, 9, dtype=t) for t in (torch.float64, torch.bool, torch.bool)), ("0",))
    wanted = (4 * math.hypot(1.5, 1.5) + 2 * math.hypot(1.5, 4.5)) / 6
    assert attention_distance(made, view).item() == pytest.approx(wanted)


def test_background_ratio_by_hand() -> None:
    """Keys with background shares 1, 1/4; a query of 3/4 foreground in the second cell alone."""
    foreground = torch.tensor([[[0, 0, 1, 1], [0, 0, 0, 1]]], dtype=torch.bool)
    view = Scenery(torch.zeros(1, 2, 4, dtype=torch.float64), foreground, ~foreground, ("0",))
    weights = torch.tensor([[[[0.9, 0.1], [0.6, 0.4]]]], dtype=torch.float64)
    wanted = (0.6 * 1 + 0.4 * 0.25) / 0.625
    assert attention_background_ratio(Attention(weights, (1, 2)), view).item() == pytest.approx(wanted)


@pytest.mark.parametrize("sides", [NO_FOREGROUND, NO_BACKGROUND, NEITHER])
def test_undefined_without_foreground_or_background(sides: str) -> None:
    rng = np.random.default_rng(0)
    view = scenery([scene(rng, (8, 8), side) for side in (BOTH, sides)])
    made = attention(rng, 2, (4, 4), 2)
    assert attention_background_ratio(made, view).isnan().tolist() == [[False, False], [True, True]]
    assert attention_distance(made, view).isfinite().all()


@pytest.mark.parametrize("metric", ATTENTION_METRICS, ids=lambda m: m.name)
@pytest.mark.parametrize(("axis", "reduction"), [(1, 1), (2, 2)])
def test_metrics_flip_with_the_image(metric, axis: int, reduction: int) -> None:
    rng = np.random.default_rng(3)
    one, made = scene(rng, (12, 16)), attention(rng, 1, (4, 6), reduction)
    h, w = made.keys
    six = made.weights.reshape(1, 2, *made.grid, h, w).flip(axis + 1, axis + 3).reshape(made.weights.shape)
    view = scenery([one])
    mirrored = Scenery(*(t.flip(axis) for t in (view.luminance, view.foreground, view.background)), view.ids)
    turned = Attention(six, made.grid, made.reduction)
    torch.testing.assert_close(metric.compute(made, view), metric.compute(turned, mirrored))


@pytest.mark.parametrize("metric", ATTENTION_METRICS, ids=lambda m: m.name)
def test_metrics_do_not_depend_on_batch_mates_nor_change_their_input(metric) -> None:
    rng = np.random.default_rng(4)
    scenes, made = [scene(rng, (9, 7)) for _ in range(3)], attention(rng, 3, (3, 4), 1, 1)
    before = made.weights.clone()
    together = metric.compute(made, scenery(scenes))
    alone = metric.compute(Attention(made.weights[1:2], made.grid), scenery(scenes[1:2]))
    torch.testing.assert_close(together[1:2], alone)
    assert torch.equal(made.weights, before)


@pytest.mark.parametrize("metric", ATTENTION_METRICS, ids=lambda m: m.name)
def test_tokens_of_no_place_play_no_part(metric) -> None:
    rng = np.random.default_rng(5)
    made, view = attention(rng, 2, (4, 4), 1, 1), scenery([scene(rng, (8, 8)) for _ in range(2)])
    without = Attention(made.weights[:, :, 1:, 1:], made.grid)  # placed() scales rows
    torch.testing.assert_close(metric.compute(made, view), metric.compute(without, view))


@pytest.mark.parametrize("metric", ATTENTION_METRICS, ids=lambda m: m.name)
def test_metrics_say_what_they_are(metric) -> None:
    assert metric.name.startswith("attention_")
    assert metric.label
    assert metric.summary
    assert metric.source
    assert metric.direction in ("higher", "lower", "none")


# The rollout


def hierarchy(rng: np.random.Generator, b: int, prefix: int = 0) -> list[Attention]:
    """Three stages of an odd image: two blocks, one, two; the first with cells of no key."""
    shapes = [((9, 7), 4), ((9, 7), 4), ((5, 4), 2), ((3, 2), 1), ((3, 2), 1)]
    return [attention(rng, b, grid, reduction, prefix) for grid, reduction in shapes]


def chosen(rng: np.random.Generator, b: int, size: tuple[int, int] = (18, 14)) -> Tensor:
    return torch.from_numpy(rng.random((b, *size)) < 0.2)


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("size", [(18, 14), (9, 7), (37, 25)])
def test_rollout_equals_the_product_of_its_matrices(prefix: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    blocks, pixels = hierarchy(rng, 2, prefix), chosen(rng, 2, size)
    found = attention_rollout(blocks, pixels)
    assert found.shape == (2, 5, 9, 7)
    for i in range(2):
        for maps, wanted in zip(found[i], slow.rollout([twin(b, i) for b in blocks], pixels[i].numpy()), strict=True):
            np.testing.assert_allclose(maps.numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("prefix", [0, 1])
def test_rollouts_are_shares(prefix: int) -> None:
    rng = np.random.default_rng(7)
    found = attention_rollout(hierarchy(rng, 3, prefix), chosen(rng, 3))
    assert (found >= 0).all()
    assert torch.allclose(found.sum((2, 3)), torch.ones(3, 5, dtype=torch.float64))


def test_an_empty_pixel_set_has_no_rollout() -> None:
    rng = np.random.default_rng(8)
    blocks, pixels = hierarchy(rng, 2), chosen(rng, 2)
    pixels[0] = False
    found = attention_rollout(blocks, pixels)
    assert found[0].isnan().all()
    alone = attention_rollout([Attention(b.weights[1:], b.grid, b.reduction) for b in blocks], pixels[1:])
    torch.testing.assert_close(found[1:], alone)


def test_rollout_needs_attention() -> None:
    with pytest.raises(InputError, match="at least one block"):
        attention_rollout([], torch.ones(1, 2, 2, dtype=torch.bool))


def test_rollout_by_hand() -> None:
    """One block of two tokens: half stays, half follows the heads' mean; then half of both again."""
    weights = torch.tensor([[[[1.0, 0.0], [0.6, 0.4]], [[0.0, 1.0], [0.2, 0.8]]]], dtype=torch.float64)
    pixels = torch.tensor([[[True, False]]])
    found = attention_rollout([Attention(weights, (1, 2))] * 2, pixels)
    first = [0.5 + 0.25, 0.25]
    second = [0.75 * first[0] + 0.25 * 0.2, 0.75 * first[1] + 0.25 * 0.8]
    torch.testing.assert_close(found[0, :, 0], torch.tensor([first, second], dtype=torch.float64))


def test_rollout_of_attention_to_oneself_is_the_pixel_set() -> None:
    eye = Attention(torch.eye(12, dtype=torch.float64).expand(1, 2, -1, -1), (3, 4))
    pixels = torch.zeros(1, 6, 8, dtype=torch.bool)
    pixels[0, :2, :4] = True
    found = attention_rollout([eye, eye], pixels)
    wanted = torch.zeros(3, 4, dtype=torch.float64)
    wanted[0, :2] = 0.5
    assert torch.equal(found, wanted.expand(1, 2, 3, 4))


@pytest.mark.parametrize("axis", [1, 2])
def test_rollout_flips_with_the_image(axis: int) -> None:
    rng = np.random.default_rng(9)
    blocks, pixels = (
        [attention(rng, 1, grid, r) for grid, r in (((8, 12), 4), ((4, 6), 2), ((2, 3), 1))],
        chosen(rng, 1),
    )
    turned = []
    for block in blocks:
        six = block.weights.reshape(1, 2, *block.grid, *block.keys).flip(axis + 1, axis + 3)
        turned.append(Attention(six.reshape(block.weights.shape), block.grid, block.reduction))
    found, mirrored = attention_rollout(blocks, pixels), attention_rollout(turned, pixels.flip(axis))
    torch.testing.assert_close(found.flip(axis + 1), mirrored)


@every
@pytest.mark.parametrize("size", [(64, 96), (72, 40)])
def test_rollout_of_networks(name: str, size: tuple[int, int]) -> None:
    model, layers, places = network(name)
    found = Probe(model, layers, attention=places)(images(*size), Target(1))
    maps = attention_rollout(list(found.attentions.values()), found.explained.chosen)
    assert maps.shape == (2, len(places), *found.attentions[places[0].label].grid)
    assert torch.allclose(maps.sum((2, 3)), torch.ones(2, len(places)), atol=1e-5)
    blocks = [twin(attention, 0) for attention in found.attentions.values()]
    if size == (72, 40):
        wanted = slow.rollout(blocks, found.explained.chosen[0].numpy())
        np.testing.assert_allclose(maps[0].numpy(), np.stack(wanted), atol=1e-6)
