"""Training: the same seed gives the same bits, interrupted or not, and nothing outside is touched."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bench.training.trainer
from bench.planning.profile import Augment, Train
from bench.training.levels import LevelSearch
from bench.training.optimise import answer, learning_rate, precision
from bench.training.trainer import Trainer, TrainJob, baseline
from segcam import InputError, SegcamError
from segcam.models import create
from segcam.samples import IGNORE, Border, Images, Sample

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
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(bench.training.trainer, "time", found)
    return found


class Stopped(BaseException):
    """A process that ends."""


class Disk:
    """Where a training leaves its state; and what stops it."""

    def __init__(self, file: Path, after_saves: int | None = None, at_step: int | None = None) -> None:
        self.file, self.after_saves, self.at_step, self.saves = file, after_saves, at_step, 0
        self.clock: Clock | None = None

    def save(self, state: bytes) -> None:
        self.file.write_bytes(state)
        self.saves += 1
        if self.saves == self.after_saves:
            raise Stopped

    def report(self, step: int, total: int, search: LevelSearch) -> None:
        if self.clock is not None:
            self.clock.now += 1
        if step == self.at_step:
            raise Stopped


def train(todo: TrainJob, disk: Disk | None = None) -> Trainer:
    trainer = Trainer(todo)
    if disk is None:
        trainer.run(lambda *_: None, lambda _: None)
    else:
        if disk.file.is_file():
            trainer.restore(disk.file)
        trainer.run(disk.report, disk.save)
    return trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    found = {f"now.{n}": t for n, t in trainer.model.state_dict().items()}
    for level, (_, kept) in trainer.search.nearest.items():
        found |= {f"{level}.{n}": t for n, t in kept.items()}
    return found


def differing(one: Trainer, other: Trainer) -> list[str]:
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
    kept = [found for found, _ in trainer.search.nearest.values()]
    return [repr(replace(found, seconds=0.0)) for found in [*trainer.search.history, *kept]]


def test_it_learns_and_reaches_the_levels() -> None:
    trainer = train(job())
    history = sorted(trainer.search.history, key=lambda e: e.step)
    assert history[-1].miou > history[0].miou + 0.2
    assert all(trainer.search.reached(level) for level in (45, 70))
    assert history[-1].loss < history[1].loss
    assert len({e.step for e in history}) == len(history)
    assert all(e.images_seen == 4 * e.step for e in history)
    assert math.isnan(history[0].loss)
    assert math.isfinite(history[-1].loss)
    assert all(0 <= e.predicted_share <= 1 for e in history)
    assert all(e.miou == pytest.approx(sum(e.iou) / 2) for e in history)


def test_kept_weights_score_what_is_said_of_them() -> None:
    trainer = train(job())
    for level, (found, kept) in trainer.search.nearest.items():
        again = Trainer(job())
        again.model.load_state_dict(kept)
        measured = again._validate(again.model, 0)
        assert measured.miou == pytest.approx(found.miou, abs=1e-9), level
        assert measured.predicted_share == found.predicted_share


def test_training_ends_where_it_is_complete_or_out_of_steps() -> None:
    assert train(job(levels=(45,))).step < 30
    short = train(job(steps=7))
    assert short.step == 7
    assert short.search.history[-1].step == 7


def test_steps_or_epochs() -> None:
    assert Trainer(job(steps=7)).total == 7
    assert Trainer(job(steps=None, epochs=1.5)).total == math.ceil(1.5 * 20 / 4)
    assert Trainer(job(steps=None, epochs=0.01)).total == 1


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_same_seed_gives_the_same_bits(average: float) -> None:
    assert_same(train(job(average=average)), train(job(average=average)))


def test_seeds_differ_in_order_augmentation_and_dropout() -> None:
    one, other = train(job(seed=0, steps=5)), train(job(seed=1, steps=5))
    assert "now.0.weight" in differing(one, other)
    still = Augment(flip=0, rotation=0, scale=1, shift=0, colour=0)
    one, other = (train(job(seed=seed, steps=5, augment=still)) for seed in (0, 1))
    assert "now.0.weight" in differing(one, other)


def test_every_image_is_seen_once_an_epoch() -> None:
    class Counted(Spots):
        seen: list[int] = []  # noqa: RUF012

        def __getitem__(self, index: int, /) -> Sample:
            self.seen.append(index)
            return super().__getitem__(index)

    counted = Counted(1, 20)
    trainer = Trainer(TrainJob(network(), counted, VAL, 2, "ignore", 1, Train(**{**SETTINGS, "levels": (99,)}), 3, CPU))
    trainer.advance(10, lambda *_: None)
    first, second = counted.seen[:20], counted.seen[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("pieces", [1, 2])
def test_stopped_after_saves_and_continued(tmp_path: Path, average: float, pieces: int) -> None:
    """Broken off again and again, until it ends by itself."""
    whole, file = train(job(average=average)), tmp_path / "state"
    stops, ended = 0, None
    while ended is None:
        try:
            ended = train(job(average=average), Disk(file, after_saves=pieces))
        except Stopped:
            stops += 1
    assert stops >= 3
    assert_same(whole, ended)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_stopped_between_saves_and_continued(tmp_path: Path, average: float) -> None:
    whole, file = train(job(average=average)), tmp_path / "state"
    stopped = 0
    for step in (1, 2, 5, 6, 11, whole.step):
        try:
            train(job(average=average), Disk(file, at_step=step))
        except Stopped:
            stopped += 1
    assert stopped == 6
    assert_same(whole, train(job(average=average), Disk(file)))


def test_a_unet_laid_out_channels_last_goes_on_too(tmp_path: Path) -> None:
    def todo() -> TrainJob:
        return job(model=create("unet", 2, {"width": 2}, 1), levels=(45, 99), steps=12, batch_size=2)

    whole, file = train(todo()), tmp_path / "state"
    for saves in (1, 2):
        with pytest.raises(Stopped):
            train(todo(), Disk(file, after_saves=saves))
    assert_same(whole, train(todo(), Disk(file)))


def test_how_often_it_is_saved_changes_nothing(tmp_path: Path) -> None:
    often, never = Disk(tmp_path / "a"), Disk(tmp_path / "b")
    assert_same(train(job(), often), train(job(save_every=1e6), never))
    assert often.saves > 3
    assert never.saves == 0


def test_the_state_counts_the_seconds_of_all_pieces(tmp_path: Path, clock: Clock) -> None:
    """A second a step here; what passes while nothing runs does not count."""
    file, whole = tmp_path / "state", train(job())
    disk = Disk(file, after_saves=3)
    disk.clock = clock
    with pytest.raises(Stopped):
        train(job(), disk)
    clock.now += 1000
    disk = Disk(file)
    disk.clock = clock
    ended = train(job(), disk)
    assert ended.seconds == ended.step == whole.step
    in_turn = [found for found in ended.search.history if found.seconds == found.step]
    assert len(in_turn) >= 4, "all but those that bisection went back to"


def test_large_networks_are_saved_less_often(tmp_path: Path, clock: Clock) -> None:
    class Slow(Disk):
        def save(self, state: bytes) -> None:
            super().save(state)
            clock.now += 0.5

    slow, fast = Slow(tmp_path / "a"), Disk(tmp_path / "b")
    for disk in (slow, fast):
        disk.clock = clock
        train(job(levels=(99,), longest_interval=1, save_every=1e-3), disk)
    assert fast.saves == 30
    assert slow.saves == 3, "ten steps of a second each between saves of half a second"


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    before, old = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = train(job())
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == old).all()  # noqa: NPY002
    torch.manual_seed(7)
    assert_same(first, train(job()))


def test_weights_average_as_the_formula_says() -> None:
    """`a <- a + (1 - d)(w - a)` with `d = min(decay, (1 + n) / (10 + n))`; before that there is no average."""
    trainer, seen = Trainer(job(average=0.28, levels=(99,))), []

    def keep(*_: object) -> None:
        seen.append({n: t.detach().clone() for n, t in trainer.model.state_dict().items()})

    trainer.advance(4, keep)
    wanted = dict(seen[0])
    for n, now in enumerate(seen[1:], start=1):
        decay = min(0.28, (1 + n) / (10 + n))
        for name, tensor in now.items():
            mixed = wanted[name] + (1 - decay) * (tensor - wanted[name]) if tensor.is_floating_point() else tensor
            wanted[name] = mixed
    found = trainer.average.module.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, msg=name)
    assert int(found["1.num_batches_tracked"]) == 4


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
    assert Trainer(job()).run(lambda *_: None, lambda _: None).history[0].iou[0] == 0, "all is foreground"
    plain, left = network(), Trainer(job(initial_answer="random")).model.state_dict()
    assert all(torch.equal(t, left[n]) for n, t in plain.state_dict().items())


def test_start_needs_a_last_layer_with_a_bias() -> None:
    with pytest.raises(InputError, match=r"set train\.initial_answer"):
        Trainer(job(model=nn.Conv2d(3, 2, 1, bias=False)))


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


class Fixed:
    """One image with the labels given."""

    def __init__(self, mask: list[list[int]]) -> None:
        array = np.array(mask, np.uint8)
        self.sample = Sample("a", np.zeros((*array.shape, 3), np.uint8), array)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> Sample:
        return self.sample


@pytest.mark.parametrize(
    ("border", "expected"), [("ignore", (2 / 3) / 2), ("pet", (2 / 4) / 2), ("background", (3 / 4) / 2)]
)
def test_baseline_by_hand(border: Border, expected: float) -> None:
    assert baseline(Fixed([[0, 0], [1, IGNORE]]), 2, border, 1) == pytest.approx(expected)


def test_the_border_is_given_to_the_class_explained() -> None:
    """Three classes, of which 1 and 2 are in the truth only where the border makes them so."""
    mask = Fixed([[0, 0], [0, IGNORE]])
    assert baseline(mask, 3, "ignore", 2) == 1
    assert baseline(mask, 3, "pet", 2) == pytest.approx((3 / 4 + 0) / 2)
    assert baseline(mask, 3, "background", 2) == 1


def test_baseline_sums_over_images() -> None:
    class Two:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int, /) -> Sample:
            return Fixed([[0, 0, 0, 1]] if index else [[0, 1, 1, 1]])[0]

    assert baseline(Two(), 2, "ignore", 1) == pytest.approx(4 / 8 / 2)


def test_border_changes_labels_loss_and_mean_iou() -> None:
    found = {border: train(job(border=border, steps=3, levels=(99,))) for border in ("ignore", "pet", "background")}
    mious = [trainer.search.history[0].miou for trainer in found.values()]
    losses = [trainer.search.history[-1].loss for trainer in found.values()]
    assert len(set(mious)) == 3, "the same first weights, measured on other labels"
    assert len(set(losses)) == 3
    labels = {border: trainer._batch()[1] for border, trainer in found.items()}
    assert (labels["pet"] == 1).sum() > (labels["ignore"] == 1).sum()
    assert (labels["background"] == 0).sum() > (labels["ignore"] == 0).sum()
    assert (labels["ignore"] == IGNORE).sum() > (labels["pet"] == IGNORE).sum()


@pytest.mark.parametrize("capability", ["avx512_bf16", "amx_bf16"])
def test_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True, "avx2": True}, raising=False)
    assert precision("auto", CPU) == "bf16"
    assert precision("fp32", CPU) == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: False, "avx2": True}, raising=False)
    assert precision("auto", CPU) == "fp32"
    assert precision("bf16", CPU) == "bf16"
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("able", [True, False])
def test_bf16_where_the_gpu_has_it(monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    assert precision("auto", torch.device("cuda")) == ("bf16" if able else "fp32")
    assert precision("fp32", torch.device("cuda")) == "fp32"


def test_bf16_trains_float32_weights() -> None:
    trainer, plain = (train(job(precision=p, steps=4, levels=(99,))) for p in ("bf16", "fp32"))
    assert all(t.dtype != torch.bfloat16 for t in trainer.model.state_dict().values())
    assert math.isfinite(trainer.search.history[-1].loss)
    assert trainer.search.history[-1].loss != plain.search.history[-1].loss
    assert trainer.search.history[-1].loss == pytest.approx(plain.search.history[-1].loss, rel=0.05)


def test_images_are_any_sequence() -> None:
    assert isinstance(TRAIN, Images)


def test_batches_without_a_labelled_pixel_do_no_harm() -> None:
    class Unlabelled(Spots):
        def __getitem__(self, index: int, /) -> Sample:
            sample = super().__getitem__(index)
            return Sample(sample.id, sample.image, np.full_like(sample.mask, IGNORE))

    trainer = train(
        TrainJob(network(), Unlabelled(1, 8), VAL, 2, "ignore", 1, Train(**{**SETTINGS, "steps": 3}), 0, CPU)
    )
    assert trainer.search.history[-1].loss == 0
