"""Training: the same seed gives the same bits, interrupted or not, and nothing outside is touched."""

from __future__ import annotations

import inspect
import math
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

import bench.training.trainer
import bench.training.validation
from analyses.reading.manifest import BEST
from bench import endings
from bench.endings import Stopped
from bench.planning.profile import Augment, Train
from bench.training.distillation import Hints
from bench.training.levels import LevelSearch, baseline
from bench.training.optimise import answer, learning_rate, precision
from bench.training.trainer import Trainer, TrainJob
from bench.training.validation import Validation
from segcam import InputError, SegcamError
from segcam.models import architecture, create
from segcam.samples import IGNORE, Border, Sample

CPU = torch.device("cpu")


class Spots:
    """Bright squares on a dark ground with an ignored edge: learnt within some steps."""

    def __init__(self, seed: int, count: int, side: int = 16) -> None:
        rng = np.random.default_rng(seed)
        self.samples = []
        for i in range(count):
            top, left = rng.integers(1, side // 2, 2)
            mask = np.zeros((side, side), np.uint8)
            mask[top - 1 : top + 7, left - 1 : left + 7] = IGNORE
            mask[top : top + 6, left : left + 6] = 1
            image = (
                rng.integers(0, 120, (side, side, 3)) + 90 * (mask == 1)[..., None] + 40 * (mask == IGNORE)[..., None]
            )
            self.samples.append(Sample(f"{seed}-{i}", image.astype(np.uint8), mask))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample:
        return self.samples[index]


TRAIN, VAL = Spots(1, 20), Spots(2, 6)
SETTINGS: dict[str, Any] = {
    "levels": (45, 70),
    "tolerance": 5.0,
    "steps": 30,
    "batch_size": 4,
    "learning_rate": 0.02,
    "precision": "fp32",
    "longest_interval": 4,
    "save_every": 0.0,
}


TWO_STARTS: dict[str, Any] = {"levels": (35, 70), "learning_rate": 0.003, "steps": 60}


def network(seed: int = 0) -> nn.Module:
    """Batch norm and dropout, so that buffers and random numbers count."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(6, 2, 1)
        )


def job(seed: int = 0, border: Border = "ignore", model: nn.Module | None = None, **changed: Any) -> TrainJob:
    settings = Train(**{**SETTINGS, **changed})
    return TrainJob(model or network(), TRAIN, VAL, 2, border, 1, settings, seed, CPU)


class Clock:
    """Time that passes with steps alone: saving takes none, so that `save_every = 0` saves at every evaluation."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with mock.patch.object(bench.training.trainer, "time", Clock()) as time:
        yield time


class Killed(BaseException):
    """A process that ends without a word."""


class Disk:
    """Where a training leaves its state, `seconds` a save; and what stops it."""

    def __init__(
        self,
        file: Path,
        after_saves: int | None = None,
        at_step: int | None = None,
        clock: Clock | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.file, self.after_saves, self.at_step, self.saves = file, after_saves, at_step, 0
        self.clock, self.seconds = clock or Clock(), seconds

    def save(self, state: bytes) -> None:
        self.file.write_bytes(state)
        self.saves += 1
        self.clock.now += self.seconds
        if self.saves == self.after_saves:
            raise Killed

    def report(self, step: int, total: int, search: LevelSearch) -> None:
        self.clock.now += 1
        if step == self.at_step:
            raise Killed


def train(todo: TrainJob, disk: Disk | None = None) -> Trainer:
    trainer = Trainer(todo)
    if disk is None:
        trainer.run(lambda *_: None, lambda _: None)
    else:
        if disk.file.is_file():
            trainer.restore(disk.file)
        trainer.run(disk.report, disk.save)
    return trainer


def differing(one: Trainer, other: Trainer) -> list[str]:
    """Names of weights, those now and those of each level, that are not the same bits."""

    def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
        states = {"now": trainer.model.state_dict()} | {k: state for k, (_, state) in trainer.search.nearest.items()}
        return {f"{key}.{name}": tensor for key, state in states.items() for name, tensor in state.items()}

    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def assert_same(one: Trainer, other: Trainer) -> None:
    assert differing(one, other) == []
    assert timeless(one) == timeless(other)
    assert one.search.interval == other.search.interval
    assert one.step == other.step


def timeless(trainer: Trainer) -> list[str]:
    """The evaluations as text, since NaN is unlike itself, without the wall time."""
    nearest = [evaluation for evaluation, _ in trainer.search.nearest.values()]
    every = [*trainer.search.earlier, *trainer.search.history, *nearest]
    return [repr(replace(evaluation, seconds=0.0)) for evaluation in every]


@pytest.fixture(scope="module")
def plain() -> Trainer:
    """A training that nothing interrupted; look, do not touch."""
    return train(job())


@pytest.fixture(scope="module")
def averaged() -> Trainer:
    """One whose weights are averaged over the steps."""
    return train(job(average=0.9))


@pytest.fixture(scope="module")
def of_two_starts() -> Trainer:
    """One whose first level is found from the answer 'foreground', the other from random weights."""
    return train(job(**TWO_STARTS))


@pytest.fixture(params=[{}, {"average": 0.9}, TWO_STARTS], ids=["plain", "averaged", "two starts"])
def changed(request: pytest.FixtureRequest) -> dict[str, Any]:
    settings: dict[str, Any] = request.param
    return settings


@pytest.fixture
def uninterrupted(changed: dict[str, Any], plain: Trainer, averaged: Trainer, of_two_starts: Trainer) -> Trainer:
    return averaged if "average" in changed else of_two_starts if changed else plain


def test_it_learns_and_reaches_the_levels(plain: Trainer) -> None:
    history = sorted(plain.search.history, key=lambda e: e.step)
    assert history[-1].miou > history[0].miou + 0.2
    assert all(plain.search.reached(level) for level in (45, 70))
    assert history[-1].loss < history[1].loss
    assert len({e.step for e in history}) == len(history)
    assert all(e.images_seen == 4 * e.step for e in history)
    assert math.isnan(history[0].loss)
    assert math.isfinite(history[-1].loss)
    assert all(0 <= e.predicted_share <= 1 for e in history)
    assert all(e.miou == pytest.approx(sum(e.iou) / 2) for e in history)


def test_the_nearest_weights_score_what_is_said_of_them(plain: Trainer) -> None:
    for level, (evaluation, weights) in plain.search.nearest.items():
        again = Trainer(job())
        again.model.load_state_dict(weights)
        measured = again._validate(again.model, 0)
        assert measured.miou == pytest.approx(evaluation.miou, abs=1e-9), level
        assert measured.predicted_share == evaluation.predicted_share


def test_training_ends_where_it_is_complete_or_out_of_steps() -> None:
    assert train(job(levels=(45,))).step < 30
    short = train(job(steps=7))
    assert short.step == short.search.history[-1].step == 7


@pytest.mark.parametrize(
    ("length", "steps"), [({"steps": 7}, 7), ({"steps": None, "epochs": 1.5}, 8), ({"steps": None, "epochs": 0.01}, 1)]
)
def test_steps_or_epochs(length: dict[str, Any], steps: int) -> None:
    assert Trainer(job(**length)).total == steps


def test_the_same_seed_gives_the_same_bits(changed: dict[str, Any], uninterrupted: Trainer) -> None:
    """And a training leaves the global random state alone, and does not depend on it."""
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    before, old = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert_same(uninterrupted, train(job(**changed)))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == old).all()  # noqa: NPY002


@pytest.mark.parametrize("augment", [Augment(), Augment(flip=0, rotation=0, scale=1, shift=0, colour=0)])
def test_seeds_differ_in_order_augmentation_and_dropout(augment: Augment) -> None:
    one, other = (train(job(seed=seed, steps=5, augment=augment)) for seed in (0, 1))
    assert "now.0.weight" in differing(one, other)


def test_every_image_is_seen_once_an_epoch() -> None:
    seen: list[int] = []

    class Counted(Spots):
        def __getitem__(self, index: int, /) -> Sample:
            seen.append(index)
            return super().__getitem__(index)

    trainer = Trainer(replace(job(seed=3, levels=(99,)), train=Counted(1, 20)))
    trainer.advance(10, lambda *_: None)
    first, second = seen[:20], seen[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


@pytest.mark.parametrize("pieces", [1, 2])
def test_stopped_after_saves_and_continued(
    tmp_path: Path, changed: dict[str, Any], uninterrupted: Trainer, pieces: int
) -> None:
    """Broken off again and again, until it ends by itself."""
    stops, ended = 0, None
    while ended is None:
        try:
            ended = train(job(**changed), Disk(tmp_path / "state", after_saves=pieces))
        except Killed:
            stops += 1
    assert stops >= 2
    assert_same(uninterrupted, ended)


def test_stopped_between_saves_and_continued(tmp_path: Path, changed: dict[str, Any], uninterrupted: Trainer) -> None:
    for step in (1, 2, 5, 6, 11, uninterrupted.step):
        with pytest.raises(Killed):
            train(job(**changed), Disk(tmp_path / "state", at_step=step))
    assert_same(uninterrupted, train(job(**changed), Disk(tmp_path / "state")))


@pytest.mark.parametrize("points", [3, 4, 9])
def test_stopped_at_any_point_and_continued(
    tmp_path: Path, changed: dict[str, Any], uninterrupted: Trainer, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every third point where a signal is heard, and so on: between steps, within validations and bisections."""
    heard, stops, where = 0, 0, set[str]()

    def check() -> None:
        nonlocal heard
        heard += 1
        where.add(inspect.stack()[1].function)
        if heard == points:
            raise Stopped(signal.SIGTERM, "")

    module = SimpleNamespace(check=check, Stopped=Stopped, deferred=nullcontext, GOES_ON="")
    for place in (bench.training.trainer, bench.training.validation):
        monkeypatch.setattr(place, "endings", module)
    disk = Disk(tmp_path / "state")
    ended = None
    while ended is None:
        heard = 0
        try:
            ended = train(job(**changed, save_every=1e6), disk)
        except Stopped:
            stops += 1
            assert disk.saves == stops
    assert stops >= 2
    assert where == {"advance", "__call__", "_made"}
    assert_same(uninterrupted, ended)


class Ringing(Spots):
    """Images of which one brings a signal when it is read."""

    def __getitem__(self, index: int, /) -> Sample:
        if index == 7:
            signal.raise_signal(signal.SIGTERM)
        return super().__getitem__(index)


def test_a_signal_within_a_step_waits_for_its_end(tmp_path: Path, plain: Trainer, signals: None) -> None:
    disk = Disk(tmp_path / "state")
    with pytest.raises(Stopped, match="saved at step 4; the same command goes on") as caught:
        train(replace(job(save_every=1e6), train=Ringing(1, 20)), disk)
    assert caught.value.code == 143
    assert disk.saves == 1
    endings.install()  # another process
    assert_same(plain, train(job(), disk))


def test_a_state_that_cannot_be_saved_is_told(signals: None) -> None:
    def full(_: bytes) -> None:
        raise SegcamError("no space left")

    trainer = Trainer(replace(job(save_every=1e6), train=Ringing(1, 20)))
    with pytest.raises(Stopped, match=r"could not be saved at step 4 \(no space left\)") as caught:
        trainer.run(lambda *_: None, full)
    assert caught.value.code == 143


def test_a_unet_laid_out_channels_last_goes_on_too(tmp_path: Path) -> None:
    def todo() -> TrainJob:
        return job(model=create("unet", 2, {"width": 2}, 1), levels=(45, 99), steps=8, batch_size=2)

    with pytest.raises(Killed):
        train(todo(), Disk(tmp_path / "state", after_saves=2))
    assert_same(train(todo()), train(todo(), Disk(tmp_path / "state")))


def test_how_often_it_is_saved_changes_nothing(tmp_path: Path, plain: Trainer) -> None:
    often, never = Disk(tmp_path / "a"), Disk(tmp_path / "b")
    for trained in (train(job(), often), train(job(save_every=1e6), never)):
        assert_same(plain, trained)
    assert often.saves > 3
    assert never.saves == 0


def test_the_state_counts_the_seconds_of_all_pieces(tmp_path: Path, clock: Clock, plain: Trainer) -> None:
    """A second a step here; what passes while nothing runs does not count."""
    with pytest.raises(Killed):
        train(job(), Disk(tmp_path / "state", after_saves=3, clock=clock))
    clock.now += 1000
    ended = train(job(), Disk(tmp_path / "state", clock=clock))
    assert ended.seconds == ended.step == plain.step
    in_turn = [evaluation for evaluation in ended.search.history if evaluation.seconds == evaluation.step]
    assert len(in_turn) >= 4, "all but those that bisection went back to"


@pytest.mark.parametrize(("seconds", "saves"), [(0.5, 3), (0.0, 30)])
def test_large_networks_are_saved_less_often(tmp_path: Path, clock: Clock, seconds: float, saves: int) -> None:
    """Ten steps of a second each lie between saves of half a second."""
    disk = Disk(tmp_path / "state", clock=clock, seconds=seconds)
    train(job(levels=(99,), longest_interval=1, save_every=1e-3), disk)
    assert disk.saves == saves


def test_weights_average_as_the_formula_says() -> None:
    """`a <- a + (1 - d)(w - a)` with `d = min(decay, (1 + n) / (10 + n))`; before that there is no average."""
    trainer, seen = Trainer(job(average=0.28, levels=(99,))), []
    trainer.advance(4, lambda *_: seen.append({n: t.detach().clone() for n, t in trainer.model.state_dict().items()}))
    expected = dict(seen[0])
    for n, weights in enumerate(seen[1:], start=1):
        decay = min(0.28, (1 + n) / (10 + n))
        for name, tensor in weights.items():
            mixed = expected[name] + (1 - decay) * (tensor - expected[name]) if tensor.is_floating_point() else tensor
            expected[name] = mixed
    torch.testing.assert_close(dict(trainer.average.module.state_dict()), expected)
    assert int(expected["1.num_batches_tracked"]) == 4


def test_average_on_or_off() -> None:
    plain, averaged = (Trainer(job(average=average, levels=(99,))) for average in (0.0, 0.9))
    for trainer in (plain, averaged):
        trainer.advance(6, lambda *_: None)
    assert all(torch.equal(t, plain._weights()[n]) for n, t in plain.model.state_dict().items())
    assert not torch.equal(averaged._weights()["0.weight"], averaged.model.state_dict()["0.weight"])
    assert torch.equal(plain.model.state_dict()["0.weight"], averaged.model.state_dict()["0.weight"])


@pytest.mark.parametrize("class_id", [0, 1])
def test_an_untrained_network_answers_one_class(class_id: int) -> None:
    model = network()
    answer(model, 2, class_id)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (model.eval()(images).argmax(1) == class_id).all()


def test_start() -> None:
    low = Trainer(job(initial_answer="foreground")).run(lambda *_: None, lambda _: None)
    assert low.history[0].iou[0] == 0, "all is foreground"
    plain, left = network(), Trainer(job(initial_answer="random")).model.state_dict()
    assert all(torch.equal(t, left[n]) for n, t in plain.state_dict().items())


def test_low_levels_have_a_start_of_their_own(of_two_starts: Trainer) -> None:
    """What comes after it is the training that there would be without the low level, bit for bit."""
    search = of_two_starts.search
    asked = [(start.initial_answer, start.levels) for start in of_two_starts.starts]
    assert asked == [("foreground", (35,)), ("random", (70,))]
    assert {e.initial_answer for e in search.earlier} == {search.nearest[35][0].initial_answer} == {"foreground"}
    assert {e.initial_answer for e in search.history} == {search.nearest[70][0].initial_answer} == {"random"}
    assert search.earlier[0].iou[0] == 0, "all is foreground"
    assert all(search.reached(level) for level in (35, 70))
    low, high = (train(job(**TWO_STARTS | {"levels": levels})) for levels in ((35,), (70,)))
    assert max(e.miou for e in search.earlier) >= 0.35, "it ends when its level is passed"
    assert max(e.step for e in search.earlier) == low.step < of_two_starts.step == high.step
    for alone, level in ((low, 35), (high, 70), (high, BEST)):
        (one, weights), (other, others) = alone.search.nearest[level], search.nearest[level]
        assert replace(one, seconds=0.0) == replace(other, seconds=0.0)
        assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())


@pytest.mark.parametrize("hints", [False, True])
def test_a_start_begins_with_the_first_weights(hints: bool) -> None:
    """Those of the optimiser, the average and of what learns from a teacher, too."""
    todo = job(**TWO_STARTS, average=0.9)
    if hints:
        model, teacher = (create("unet", 2, {"width": 2}, seed) for seed in (0, 1))
        layers = architecture("unet").layers(model, "conv")
        todo = replace(todo, model=model, hints=Hints(model, layers, teacher, layers, 16, 0))
    trainer = Trainer(todo)
    begun = {n: t.clone() for n, t in todo.hints.state_dict().items()} if todo.hints else {}
    trainer.advance(3, lambda *_: None)
    trainer._begin_next()
    untrained = (create("unet", 2, {"width": 2}, 0) if hints else network()).state_dict()
    for weights in (trainer.model.state_dict(), trainer.average.module.state_dict()):
        assert all(torch.equal(tensor, weights[name]) for name, tensor in untrained.items())
    assert all(torch.equal(tensor, todo.hints.state_dict()[name]) for name, tensor in begun.items() if todo.hints)
    assert trainer.optimiser.state_dict()["state"] == {}
    assert (trainer.step, int(trainer.average.n_averaged)) == (0, 0)


def test_a_low_level_that_is_leapt_over_does_not_keep_the_others_waiting() -> None:
    ended = train(job(levels=(20, 70), tolerance=0.1, learning_rate=0.3)).search
    assert not ended.reached(20)
    assert [(e.step, e.miou > 0.2) for e in ended.earlier] == [(0, False), (1, True)]
    assert ended.history[0].initial_answer == "random"
    assert ended.nearest[20][0] == ended.earlier[0]


def test_start_needs_a_last_layer_with_a_bias() -> None:
    with pytest.raises(InputError, match=r"set train\.initial_answer"):
        Trainer(job(model=nn.Conv2d(3, 2, 1, bias=False), initial_answer="foreground"))


def test_damaged_state_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"half")
    with pytest.raises(InputError, match="state cannot be read"):
        train(job(), Disk(tmp_path / "state"))


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_learning_rate_rises_and_falls(schedule: str, warmup: float) -> None:
    total, settings = 200, Train(learning_rate=0.5, schedule=schedule, warmup=warmup)
    rates = [learning_rate(step, total, settings) for step in range(total + 1)]
    top = round(warmup * total)
    assert rates[top] == pytest.approx(0.5) == max(rates)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert rates[total] == pytest.approx(0, abs=1e-12)
    assert all(rate > 0 for rate in rates[:total])
    middle = (top + total) // 2
    assert rates[middle] == pytest.approx(0.25, rel=0.05)
    if top and schedule == "cosine":
        assert np.diff(rates[:top], 2) == pytest.approx(0, abs=1e-12)
        assert rates[0] == pytest.approx(0.5 / (top + 1))
    if top and schedule == "onecycle":
        assert 0.5 / 25 < rates[0] < 0.5 / 20


def test_the_rate_is_what_the_optimiser_gets() -> None:
    trainer = Trainer(job(levels=(99,)))
    for step in range(5):
        trainer.advance(step + 1, lambda *_: None)
        assert trainer.optimiser.param_groups[0]["lr"] == learning_rate(step, 30, trainer.job.settings)


def test_divergence_is_told() -> None:
    with pytest.raises(SegcamError) as caught:
        train(job(learning_rate=1e30, steps=20))
    assert "training diverged by step" in str(caught.value)
    assert "lower train.learning_rate (1e+30)" in str(caught.value)
    assert caught.value.exit_code == 1


def labelled(*masks: list[list[int]]) -> list[Sample]:
    return [Sample("a", np.zeros((*np.shape(mask), 3), np.uint8), np.array(mask, np.uint8)) for mask in masks]


@pytest.mark.parametrize(
    ("masks", "classes", "border", "foreground", "expected"),
    [
        ([[[0, 0], [1, IGNORE]]], 2, "ignore", 1, (2 / 3) / 2),
        ([[[0, 0], [1, IGNORE]]], 2, "pet", 1, (2 / 4) / 2),
        ([[[0, 0], [1, IGNORE]]], 2, "background", 1, (3 / 4) / 2),
        ([[[0, 0], [0, IGNORE]]], 3, "ignore", 2, 1),  # class 2 is in the truth only where the border makes it so
        ([[[0, 0], [0, IGNORE]]], 3, "pet", 2, (3 / 4 + 0) / 2),
        ([[[0, 0], [0, IGNORE]]], 3, "background", 2, 1),
        ([[[0, 1, 1, 1]], [[0, 0, 0, 1]]], 2, "ignore", 1, 4 / 8 / 2),  # summed over images
    ],
)
def test_baseline_by_hand(
    masks: list[list[list[int]]], classes: int, border: Border, foreground: int, expected: float
) -> None:
    pixels = Validation(labelled(*masks), classes, border, foreground, CPU).pixels()
    assert baseline(pixels) == pytest.approx(expected)


def test_border_changes_labels_loss_and_mean_iou() -> None:
    trainers = {border: train(job(border=border, steps=3, levels=(99,))) for border in ("ignore", "pet", "background")}
    histories = [trainer.search.history for trainer in trainers.values()]
    assert len({history[0].miou for history in histories}) == 3, "the same first weights, measured on other labels"
    assert len({history[-1].loss for history in histories}) == 3
    labels = {border: trainer._batch()[1] for border, trainer in trainers.items()}
    assert (labels["pet"] == 1).sum() > (labels["ignore"] == 1).sum()
    assert (labels["background"] == 0).sum() > (labels["ignore"] == 0).sum()
    assert (labels["ignore"] == IGNORE).sum() > (labels["pet"] == IGNORE).sum()


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    for able, chosen in ((True, "bf16"), (False, "fp32")):
        capabilities = {capability: able, "avx2": True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda values=capabilities: values, raising=False)
        assert [precision(setting, CPU) for setting in ("auto", "fp32", "bf16")] == [chosen, "fp32", "bf16"]
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(("able", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_bf16_where_the_gpu_has_it(monkeypatch: pytest.MonkeyPatch, able: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    assert [precision(setting, torch.device("cuda")) for setting in ("auto", "fp32")] == [chosen, "fp32"]


def test_bf16_trains_float32_weights() -> None:
    trainer, plain = (train(job(precision=p, steps=4, levels=(99,))) for p in ("bf16", "fp32"))
    assert all(t.dtype != torch.bfloat16 for t in trainer.model.state_dict().values())
    assert math.isfinite(trainer.search.history[-1].loss)
    assert trainer.search.history[-1].loss != plain.search.history[-1].loss
    assert trainer.search.history[-1].loss == pytest.approx(plain.search.history[-1].loss, rel=0.05)


def test_batches_without_a_labelled_pixel_do_no_harm() -> None:
    unlabelled = [replace(sample, mask=np.full_like(sample.mask, IGNORE)) for sample in Spots(1, 8).samples]
    assert train(replace(job(steps=3), train=unlabelled)).search.history[-1].loss == 0
