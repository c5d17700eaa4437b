"""Hints: the loss is what its formula says, and training with a teacher goes on where it was stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.endings import Stopped
from bench.planning.profile import Train
from bench.training.distillation import Hints
from bench.training.trainer import Trainer, TrainJob
from segcam import InputError, Layer
from tests.bench.training.test_trainer import CPU, SETTINGS, TRAIN, VAL

LAYERS = [Layer("0", "first", stride=1, role="encoder"), Layer("2", "second", stride=2, role="encoder")]


def network(width: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    stages = [nn.Conv2d(3, width, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(width, 2 * width, 3, padding=1)]
    return nn.Sequential(*stages, nn.Upsample(scale_factor=2), nn.BatchNorm2d(2 * width), nn.Conv2d(2 * width, 2, 1))


def hints(model: nn.Module, layers: list[Layer] = LAYERS, seed: int = 3) -> Hints:
    return Hints(model, layers, network(5, 1), LAYERS, 16, seed)


def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_loss_is_its_formula() -> None:
    model, teacher = network(3), network(5, 1)
    compared = Hints(model, LAYERS, teacher, LAYERS, 16, 0)
    with compared.watching(model):
        model(images())
    loss = compared(compared.features(images()))
    total = torch.zeros(())
    for modules, projection in zip((1, 3), compared.maps, strict=True):
        mapped, taught = projection(model[:modules](images())), teacher[:modules](images())
        for channel in range(taught.shape[1]):
            flat = taught[:, channel]
            total = total + F.smooth_l1_loss(mapped[:, channel], (flat - flat.mean()) / flat.std()) / taught.shape[1]
    assert torch.allclose(loss, total, rtol=1e-3)


def test_stages_of_another_stride_are_compared_with_the_nearest() -> None:
    model = network(3)
    compared = hints(model, [Layer("2", "only", stride=2, role="encoder")])
    assert [tuple(m.weight.shape) for m in compared.maps] == [(10, 6, 1, 1)]
    coarse = hints(model, [Layer("0", "fine", stride=8, role="encoder")])
    with coarse.watching(model):
        model(images())
    assert coarse(coarse.features(images())).isfinite()


def test_the_network_learns_and_the_teacher_does_not() -> None:
    model = network(3)
    compared = hints(model)
    before = {n: t.clone() for n, t in compared._teacher[0].state_dict().items()}
    with compared.watching(model):
        model(images())
    compared(compared.features(images())).backward()
    assert model[0].weight.grad is not None
    assert all(p.grad is not None for p in compared.maps.parameters())
    assert model[5].weight.grad is None, "the head has no part in it"
    assert all(torch.equal(t, before[n]) for n, t in compared._teacher[0].state_dict().items())
    assert len(list(compared.parameters())) == 4, "the teacher is not among what is learnt"


def test_nothing_is_left_behind_in_the_networks() -> None:
    model, teacher = network(3).train(), network(5, 1)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    before = torch.random.get_rng_state()
    compared = Hints(model, LAYERS, teacher, LAYERS, 16, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.training
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())
    assert not any(m._forward_hooks for m in [*model.modules(), *compared._teacher[0].modules()])


def test_networks_without_stages_are_refused() -> None:
    with pytest.raises(InputError, match="a teacher needs layers with the role 'encoder' in both networks"):
        hints(network(3), [Layer("0", "first", stride=1, role="decoder")])


def trainer(steps: int = 12) -> Trainer:
    model = network(3)
    settings = Train(**{**SETTINGS, "steps": steps, "levels": (99,), "teacher": "unet"})
    return Trainer(TrainJob(model, TRAIN, VAL, 2, "ignore", 1, settings, 0, CPU, hints(model)))


def test_a_training_with_a_teacher_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """And hints change what is learnt."""
    taught, stopped, again, alone = (trainer() for _ in range(4))
    file = tmp_path / "state.safetensors"

    def until(step: int, *_: object) -> None:
        if step == 5:
            raise Stopped(signal.SIGTERM, "")

    with pytest.raises(Stopped):
        stopped.run(until, file.write_bytes)
    again.restore(file)
    alone.hints = None
    for one in (taught, again, alone):
        one.run(lambda *_: None, lambda _: None)
    for one, other in ((taught.model, again.model), (taught.hints, again.hints)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(alone.model.get_parameter("0.weight"), taught.model.get_parameter("0.weight"))


def test_a_teachers_pass_ends_with_its_last_hint() -> None:
    """What lies behind is not run; the features are those of a whole pass."""
    teacher = network(5, 1)
    compared = Hints(network(3), LAYERS, teacher, LAYERS, 16, 0)
    behind: list[str] = []
    for name in ("3", "4", "5"):
        teacher[int(name)].register_forward_hook(lambda *_args, name=name: behind.append(name))
    features = compared.features(images())
    assert behind == []
    assert all(torch.equal(stage, teacher[:n](images())) for stage, n in zip(features, (1, 3), strict=True))
    teacher(images())
    assert behind == ["3", "4", "5"]  # and no hook of ours is left
    assert not teacher[0]._forward_hooks
