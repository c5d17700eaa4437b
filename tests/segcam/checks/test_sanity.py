"""Random weights in the order of execution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcam import InputError, Probe, ProbeError, Target, grad_cam
from segcam.checks.sanity import cascading, evenly, execution_order, independent, randomised
from segcam.models import create
from tests.small_networks import IMAGES, Convolutions, Tokens, Twice, equal, seeded, states, unchanged


class Unordered(nn.Module):
    """Modules run in another order than they are named in; one holds weights alone, one runs inside another's."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(4, 2, 1)
        self.table = nn.Parameter(torch.arange(8.0))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.statistics = nn.BatchNorm2d(4, affine=False)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.quiet = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.quiet(self.statistics(self.first(x)))
        tokens = x.flatten(2).transpose(1, 2)
        mixed = self.attention(tokens, tokens, tokens)[0].transpose(1, 2).view(x.shape)
        return self.last(mixed + self.table.mean())


def test_the_order_is_that_of_execution() -> None:
    assert execution_order(seeded(Convolutions), IMAGES) == [("conv1", "norm1"), ("conv2",), ("head",)]
    assert execution_order(seeded(Twice), IMAGES) == [("conv",), ("head",)]
    assert execution_order(seeded(Tokens), IMAGES) == [("",), ("patches", "norm"), ("mlp",), ("head",)]
    found = execution_order(seeded(Unordered), IMAGES)
    assert found == [("",), ("first", "statistics"), ("attention", "attention.out_proj"), ("last",)]


def test_looking_at_the_order_changes_nothing() -> None:
    model, images = seeded(Convolutions).train(), IMAGES.clone()
    with unchanged(model):
        execution_order(model, images)
    assert torch.equal(images, IMAGES)


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(ProbeError, match="has no weights"):
        execution_order(nn.ReLU(), IMAGES)


def test_what_is_random_after_each_step() -> None:
    order = [("a", "b"), ("c",), ("d", "e")]
    assert cascading(order) == [("d", "e"), ("c", "d", "e"), ("a", "b", "c", "d", "e")]
    assert independent(order) == [("d", "e"), ("c",), ("a", "b")]
    for count in (1, 2, 5, 23):
        for most in (2, 3, 8, 30):
            found = evenly(count, most)
            assert (found[0], found[-1], len(found)) == (0, count - 1, min(count, most))
            assert sorted(set(found)) == found
            gaps = np.diff(found)
            assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
    assert evenly(0, 8) == []
    assert evenly(5, 0) == []


@pytest.mark.parametrize("build", [Convolutions, Tokens, Unordered])
def test_exactly_the_modules_named_get_new_weights(build: type[nn.Module]) -> None:
    model = seeded(build)
    before, order = states(model), execution_order(model, IMAGES)
    owner = {name: name.rpartition(".")[0] for name in before}
    for modules in cascading(order):
        with unchanged(model):
            fresh = randomised(model, modules, 3).state_dict()
        assert fresh.keys() == before.keys()
        equal = {name for name in before if torch.equal(before[name], fresh[name])}
        assert {name for name in before if owner[name] not in modules} <= equal
        # What is constant before training may be so afterwards: biases, counters.
        assert all(before[name].unique().numel() == 1 for name in equal if owner[name] in modules)
        assert set(modules) <= set(owner.values())


def test_new_weights_are_those_before_training() -> None:
    model = seeded(Convolutions)
    with torch.no_grad():
        model.norm1.weight.fill_(7)
        model.conv1.weight.fill_(7)
    fresh = randomised(model, ["conv1", "norm1"])
    assert torch.equal(fresh.norm1.weight, torch.ones(6, dtype=torch.float64))
    assert torch.equal(fresh.norm1.running_mean, torch.zeros(6, dtype=torch.float64))
    bound = 1 / math.sqrt(27)
    assert fresh.conv1.weight.abs().max() <= bound
    assert fresh.conv1.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
    assert fresh.conv1.weight.dtype == torch.float64
    assert fresh.conv1.weight.requires_grad


def test_values_are_permuted_where_a_module_cannot_reset_them() -> None:
    model = seeded(Unordered)
    fresh = randomised(model, [""])
    assert not torch.equal(fresh.table, model.table)
    assert torch.equal(fresh.table.sort().values, model.table)
    assert torch.equal(fresh.first.weight, model.first.weight)


def test_a_module_has_the_same_weights_whichever_others_are_random() -> None:
    model = seeded(Convolutions)
    alone, among = randomised(model, ["conv2"], 1), randomised(model, ["head", "conv2", "norm1"], 1)
    assert torch.equal(alone.conv2.weight, among.conv2.weight)
    assert not torch.equal(alone.conv2.weight, randomised(model, ["conv2"], 2).conv2.weight)
    assert not torch.equal(alone.conv2.weight.flatten()[:9], randomised(model, ["conv1"], 1).conv1.weight.flatten()[:9])
    with pytest.raises(InputError, match="unknown module 'conv3'"):
        randomised(model, ["conv3"])


def test_every_weight_of_real_networks_is_reached() -> None:
    model = create("unet", 2, {"width": 2}).eval()
    order = execution_order(model, torch.rand(1, 3, 32, 32))
    assert [step[0] for step in order[:2]] == ["encoders.0.conv1", "encoders.0.conv2"]
    assert order[-1] == ("head",)
    assert order.index(("ups.0",)) == 10
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    fresh = randomised(model, cascading(order)[-1])
    assert all((parameter != 7).all() for parameter in fresh.parameters())


def test_pixels_chosen_before_are_explained_again() -> None:
    model, target = seeded(Convolutions), Target(1, "best_pixel")
    first = Probe(model, "conv1")(IMAGES, target)
    changed = randomised(model, ["head", "conv2"])
    (again,) = Probe(changed, "conv1").many(IMAGES, [target], fixed=[first.explained])
    free = Probe(changed, "conv1")(IMAGES, target)
    assert torch.equal(again.explained.chosen, first.explained.chosen)
    assert not torch.equal(free.explained.chosen, first.explained.chosen)
    logits = F.interpolate(changed(IMAGES), size=IMAGES.shape[2:], mode="bilinear")
    torch.testing.assert_close(again.scores, logits[:, 1][first.explained.chosen])
    hits = (logits.argmax(1) == 1)[first.explained.chosen]
    assert torch.equal(again.target_predicted, hits)
    (same_again,) = Probe(model, "conv1").many(IMAGES, [target], fixed=[first.explained])
    assert torch.equal(same_again.maps(grad_cam, "conv1"), first.maps(grad_cam, "conv1"))


def test_pixels_of_other_images_are_refused() -> None:
    model = seeded(Convolutions)
    probe, target = Probe(model, "conv1"), Target()
    first = probe(IMAGES, target)
    with pytest.raises(ProbeError, match=r"the given pixels are \(3, 8, 12\).*needs \(2, 8, 12\)"):
        probe.many(IMAGES[:2], [target], fixed=[first.explained])
    with pytest.raises(ProbeError, match="2 sets of fixed pixels for 1 targets"):
        probe.many(IMAGES, [target], fixed=[first.explained] * 2)


def test_copies_are_apart() -> None:
    model = seeded(Convolutions)
    fresh = randomised(model, [])
    assert equal(states(model), states(fresh))
    with torch.no_grad():
        fresh.head.weight.zero_()
    assert model.head.weight.abs().sum() > 0
