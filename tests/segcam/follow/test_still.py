"""A training that is followed ends with the very weights of one that is not."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from segcam.errors import ProbeError
from segcam.follow import Follow
from segcam.follow.still import still, unwrapped
from tests.segcam.follow.trainings import IMAGES, MASKS, network, train
from tests.small_networks import equal, unchanged


def follower(model: nn.Module, out: Path, **options: object) -> Follow:
    return Follow(model, IMAGES[:2], masks=MASKS[:2], out=out, strict=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"looks": "batches", "accumulate": 2},
        {"looks": "graph"},
        {"looks": "graph", "autocast": True},
        {"workers": 1},
    ],
    ids=lambda how: "-".join(map(str, how.values())),
)
def test_the_same_weights_with_and_without(how: dict[str, object], tmp_path: Path) -> None:
    model = network()
    plain = train(network(), lambda _: None, **how)  # type: ignore[arg-type]
    follow = follower(model, tmp_path)
    assert equal(train(model, follow, **how), plain)  # type: ignore[arg-type]
    assert len(follow.folder.steps()) >= 2


def test_the_test_would_see_a_difference() -> None:
    """A look that runs the network as it is in training changes what follows."""
    model = network()
    plain = train(network(), lambda _: None)
    assert not equal(train(model, lambda _: model(IMAGES)), plain)


def test_a_moving_average_and_a_wrapped_network(tmp_path: Path) -> None:
    plain = train(network(), lambda _: None)
    model = network()
    average = AveragedModel(model)
    follow = follower(average, tmp_path)
    assert follow.network is average.module
    assert equal(train(model, follow), plain)


def test_a_compiled_network(tmp_path: Path) -> None:
    def build() -> nn.Module:
        torch.manual_seed(1)
        layers = (nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(6, 2, 1))
        return nn.Sequential(*layers)

    def trained(model: nn.Module, look: Callable[[int], object]) -> dict[str, Tensor]:
        torch.manual_seed(2)
        compiled = torch.compile(model, backend="eager")
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        for epoch in range(3):
            nn.functional.cross_entropy(compiled(IMAGES), MASKS).backward()
            look(epoch)
            optimiser.step()
        return {**model.state_dict(), "next": torch.rand(2)}

    model = build()
    follow = follower(torch.compile(model, backend="eager"), tmp_path)  # type: ignore[arg-type]
    assert follow.network is model
    assert equal(trained(model, follow), trained(build(), lambda _: None))


class DistributedDataParallel(nn.Module):
    """Named as torch's own, which needs processes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("one process alone would wait for the others")


class FullyShardedDataParallel(DistributedDataParallel):
    pass


def test_a_network_of_several_processes(tmp_path: Path) -> None:
    follow = follower(DistributedDataParallel(network()), tmp_path)
    follow(0)
    assert follow.layers[0].startswith("stem")
    with pytest.raises(ProbeError, match="spread over processes"):
        unwrapped(nn.Sequential(FullyShardedDataParallel(network())))


class Merging(nn.Linear):
    """Merges its weights in eval(), as adapters of low rank do."""

    def train(self, mode: bool = True) -> Merging:
        if not mode:
            raise AssertionError("eval() was called")
        return super().train(mode)  # type: ignore[return-value]


def test_modes_are_set_and_eval_is_not_called() -> None:
    model = nn.Sequential(Merging(2, 2), nn.Dropout())
    model[1].training = False
    with still(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, False]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    model = network().train()
    follow = follower(model, tmp_path)
    for parameter in list(model.parameters())[::2]:
        parameter.grad = torch.rand_like(parameter)
    before = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    with unchanged(model):
        follow(0)
    for parameter, gradient in zip(model.parameters(), before, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)


def test_buffers_that_are_replaced_or_hold_nan_come_back() -> None:
    model = network()
    model.register_buffer("odd", torch.tensor([float("nan"), 1.0]))
    odd, version = model.odd, model.odd._version
    with still(model):
        model.passes = model.passes + 5
    assert torch.equal(model.passes, torch.zeros(1))
    assert model.odd is odd
    assert odd._version == version  # a graph may have saved it


@pytest.mark.slow
@pytest.mark.parametrize(("masked", "calls"), [(False, 200), (True, 60)])
def test_memory_does_not_grow_over_200_calls(
    tmp_path: Path, masked: bool, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same step again and again: what a folder holds of many steps is not kept in memory either way."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    masks = MASKS[:1, :8, :8] if masked else None
    images = IMAGES[:1, :, :8, :8]
    options = {"layers": ["body"], "methods": ["grad_cam", "uniform"], "metrics": ["energy_gain"], "out": tmp_path}
    follow = Follow(network(), images, masks=masks, strict=True, **options)  # type: ignore[arg-type]

    def kept(calls: int) -> tuple[int, int]:
        for _ in range(calls):
            follow(1)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0]  # before the list of all objects, which has megabytes itself
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects()), traced

    tracemalloc.start()
    try:
        first, second = kept(40), kept(calls)
    finally:
        tracemalloc.stop()
    assert second[0] == first[0]
    assert second[1] - first[1] < 800 * calls + 20_000  # the two rows of a call have two kilobytes


def test_copies_are_independent(tmp_path: Path) -> None:
    """A Follow keeps the network that it was given, and not a copy."""
    model = network()
    follow = follower(model, tmp_path)
    follow(0)
    before = copy.deepcopy(follow.rows)
    with torch.no_grad():
        model.head.weight.neg_()
    follow(0)
    assert follow.rows != before
