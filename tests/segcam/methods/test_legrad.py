"""LeGrad: its gradients by finite differences, its maps by a slow twin and by torch-cam's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, Target, explain
from segcam.errors import NotApplicableError
from segcam.methods import METHODS
from segcam.methods.legrad import legrad
from segcam.probe.attention import Attention, AttentionPlace
from segcam.probe.attention.hooks import recording_attention
from segcam.probe.network.modules import walked
from segcam.probe.targets import Explained
from tests.attentions import NETWORKS, attention, images, network, twin
from tests.peers import off_by, package
from tests.reference import attention as slow


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    """A weight is changed where it is computed, by a hook, and the score moves by as much as its gradient says."""
    model, layers, places = network(name)
    model, pictures, target = model.double(), images(64, 32, 1).double(), Target(1)
    capture = Probe(model, layers, attention=places, attention_gradients=True)(pictures, target)
    rng, step = np.random.default_rng(0), 1e-5
    for place in (places[0], places[-1]):
        found = capture.attentions[place.label].gradients
        assert found is not None
        scale = float(found.abs().amax())
        assert scale > 0
        for _ in range(3):
            at = tuple(int(rng.integers(n)) for n in found.shape)
            scores = [_changed(model, place, at, by, pictures, capture.explained) for by in (step, -step)]
            assert (scores[0] - scores[1]) / (2 * step) == pytest.approx(float(found[at]), abs=1e-4 * scale)


def _changed(
    model: nn.Module, place: AttentionPlace, at: tuple[int, ...], by: float, pictures: Tensor, explained: Explained
) -> float:
    """The score with one weight of a block changed behind its softmax."""
    inside: list[nn.Module] = []

    def changing(softmax: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def changed(*args: Any, **more: Any) -> Tensor:
            weights = softmax(*args, **more | {"dtype": torch.float64})  # transformers computes it in float32
            if inside:
                inside.clear()  # the function calls the tensor's own
                weights = weights.clone()
                weights[at] += by
            return weights

        return changed

    attends = model.get_submodule(place.module)
    handle = attends.register_forward_pre_hook(lambda module, _inputs: inside.append(module))
    with recording_attention(walked(model), [place]), torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "softmax", changing(torch.Tensor.softmax))
        patch.setattr(torch.nn.functional, "softmax", changing(torch.nn.functional.softmax))
        logits = model.eval()(pictures)
    handle.remove()
    size = (int(pictures.shape[2]), int(pictures.shape[3]))
    return float(Target(1).score_again(logits, size, explained.weights, explained.class_ids))


@pytest.mark.parametrize("prefix", [0, 2])
def test_maps_equal_their_twin(prefix: int) -> None:
    """Odd grids with cells of no key, tokens of no place, reduced keys."""
    rng = np.random.default_rng(1)
    shapes = [((9, 7), 4), ((5, 4), 2), ((3, 2), 1)]
    blocks, gradients = [], []
    for grid, reduction in shapes:
        made = attention(rng, 2, grid, reduction, prefix)
        gradients.append(torch.from_numpy(rng.normal(size=made.weights.shape)))
        blocks.append(Attention(made.weights, grid, reduction, gradients[-1]))
    found = legrad(blocks, torch.ones(2, 18, 14, dtype=torch.bool))
    for block, own, maps in zip(blocks, gradients, found, strict=True):
        for i in range(2):
            np.testing.assert_allclose(maps[i].numpy(), slow.legrad(twin(block, i), own[i].numpy()), rtol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_of_networks(name: str) -> None:
    """Each target's gradients are its own; the rest of the capture is as without them."""
    model, layers, places = network(name)
    targets = [Target(1), Target(0, "image")]
    plain = Probe(model, layers, attention=places).many(images(), targets)
    found = Probe(model, layers, attention=places, attention_gradients=True).many(images(), targets)
    maps = [METHODS.get("legrad").block_maps(capture) for capture in found]
    for block, (first, second) in enumerate(zip(*maps, strict=True)):
        assert first.shape == (2, *found[0].attentions[places[block].label].grid)
        assert (first >= 0).all()
        assert (first.amax((1, 2)) > 0).all()
        assert not torch.allclose(first, second)
    for before, after in zip(plain, found, strict=True):
        for layer in layers:
            torch.testing.assert_close(after.gradients[layer.label], before.gradients[layer.label])


def test_without_gradients_the_cure_is_said() -> None:
    model, layers, places = network("vit")
    capture = Probe(model, layers, attention=places)(images())
    with pytest.raises(NotApplicableError, match="attention_gradients=True"):
        METHODS.get("legrad").block_maps(capture)


def test_empty_pixel_sets_have_no_map() -> None:
    made = attention(np.random.default_rng(2), 2, (3, 2))
    block = Attention(made.weights, made.grid, gradients=torch.ones_like(made.weights))
    chosen = torch.ones(2, 6, 4, dtype=torch.bool)
    chosen[0] = False
    (maps,) = legrad([block], chosen)
    assert maps[0].isnan().all()
    assert (maps[1] > 0).all()


def test_explain_takes_it() -> None:
    model, _, _ = network("segformer")
    photographs = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    methods = ["legrad", "attention_rollout"]
    found = explain(model, photographs, 1, target="best_pixel:logit", methods=methods, progress=False)
    assert {"legrad", "attention_rollout"} == set(found.scores["method"])


class StepByStep(nn.Module):
    """Attention with the weights of an `nn.MultiheadAttention`, that a probe can read."""

    def __init__(self, of: nn.MultiheadAttention) -> None:
        super().__init__()
        self.of, self.drop = of, nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.of.num_heads
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in nn.functional.linear(x, self.of.in_proj_weight, self.of.in_proj_bias).chunk(3, -1)
        )
        weights = self.drop((q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1))
        return self.of.out_proj((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A block as torch-cam's LeGrad wants it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.self_attention(x, x, x, need_weights=False)[0]


class Tokens(nn.Module):
    """Patches, one block, and a class for the whole image."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed, self.block, self.head = nn.Conv2d(3, width, 4, 4), Block(width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


class Dense(nn.Module):
    """The same with a probe's attention, and its classes in every pixel."""

    def __init__(self, of: Tokens) -> None:
        super().__init__()
        self.embed, self.head, self.attention = of.embed, of.head, StepByStep(of.block.self_attention)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        scores = self.head((tokens + self.attention(tokens)).mean(1))
        return scores[:, :, None, None].expand(-1, -1, *x.shape[2:])


def test_torchcam_agrees() -> None:
    """Behind the last block the paper's score of the block is the network's."""
    tool = package("torchcam.methods").LeGrad
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Tokens().double().eval()
    classifier.block.self_attention.in_proj_weight.data.mul_(4)
    pictures = images(16, 24).double()
    with tool(
        classifier,
        "block",
        score_projection=lambda tokens: classifier.head(tokens.mean(1)),
        prefix_tokens=0,
        grid_shape=(4, 6),
    ) as peer:
        (theirs,) = peer(1, classifier(pictures), normalized=False)
    place = AttentionPlace("attention", "attention", 1, 0, 4)
    probe = Probe(Dense(classifier), Layer("embed", "embed"), attention=[place], attention_gradients=True)
    (ours,) = METHODS.get("legrad").block_maps(probe(pictures, Target(1, "image")))
    assert ours.amax() > 0
    assert off_by(theirs.detach(), ours) <= 1e-6
