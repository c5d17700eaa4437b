"""Trains one network with one seed and keeps the checkpoint of each level; may be interrupted at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from bench import endings
from bench.planning.profile import Train
from bench.training.augment import Augmentation
from bench.training.distillation import Hints
from bench.training.levels import Evaluation, LevelSearch, Weights, starts
from bench.training.optimise import answer, groups, learning_rate, moving_average, precision
from bench.training.state import read_state
from bench.training.validation import Validation
from segcam.errors import SegcamError, first_line
from segcam.models.weights.checkpoints import pack
from segcam.samples import IGNORE, Batch, Border, Images, with_border

Filming = Callable[[nn.Module, int, bool], None]
"""Called with the network as it would be kept, the step, and whether that is the last; it leaves all as it is."""
Report = Callable[[int, int, LevelSearch], None]
"""Called with steps done, steps in all, and the search, after each step."""


@dataclass(frozen=True)
class TrainJob:
    """What one training needs.

    Attributes:
        model: the network with its first weights.
        train: training images.
        val: validation images.
        classes: number of classes.
        border: the class of ignored pixels in loss and mean IoU.
        foreground: the class whose presence in predictions is counted.
        settings: the profile's section.
        seed: of the order of images and their augmentation.
        device: where it runs.
        hints: what the network learns from a teacher beside its own task, if it has one.
    """

    model: nn.Module
    train: Images
    val: Images
    classes: int
    border: Border
    foreground: int
    settings: Train
    seed: int
    device: torch.device
    hints: Hints | None = None


def steps(settings: Train, images: int) -> int:
    """Return how many steps a training takes at most."""
    return settings.steps or math.ceil(settings.epochs * images / settings.batch_size)


class Trainer:
    """One training; `run` starts it or goes on from a saved state, and ends with the same checkpoints either way.

    Attributes:
        film: told of the network after each step of the last start, to take pictures of it; None for no film.
        starts: its starts, which follow each other; those before the last are short.
        start: which of them this is.
        validation: what tells how good the network is.
    """

    def __init__(self, job: TrainJob) -> None:
        self.job = job
        self.film: Filming | None = None
        settings = job.settings
        self.validation = Validation(job.val, job.classes, job.border, job.foreground, job.device)
        self.starts = starts(settings, self.validation.pixels)
        self.start = 0
        self.model = job.model.to(device=job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.hints = job.hints.to(job.device) if job.hints else None
        self._learning: list[nn.Module] = [self.model, *([self.hints] if self.hints else [])]
        self._untrained: list[Weights] = []  # of each, where another start comes after this one
        if not self.last_start:
            self._untrained = [{n: t.clone() for n, t in one.state_dict().items()} for one in self._learning]
        self._begin()
        tolerance, longest = settings.tolerance / 100, settings.longest_interval
        self.search = LevelSearch(settings.levels, tolerance, longest, sought=self.starts[0].levels)
        self.total = steps(settings, len(job.train))
        self.step = 0
        self._begun = 0  # the step of the last evaluation; the losses and snapshots are those since then
        self._before = 0.0
        self._started = time.monotonic()
        self._precision = precision(settings.precision, job.device)
        self._augment = Augmentation(**settings.augment.model_dump())
        self._losses: list[Tensor] = []
        self._snapshots: dict[int, Weights] = {}
        self._order: tuple[int, np.ndarray[Any, Any]] = (-1, np.empty(0, int))

    @property
    def last_start(self) -> bool:
        """Whether no other start comes after this one."""
        return self.start + 1 == len(self.starts)

    def _begin(self) -> None:
        """Make the network answer as its start has it, and give it an average and an optimiser that know no step."""
        job, settings = self.job, self.job.settings
        if self.starts[self.start].initial_answer == "foreground":
            answer(self.model, job.classes, job.foreground)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(settings.average), use_buffers=True)
        self.optimiser = torch.optim.AdamW(groups(self.model, settings.weight_decay), lr=settings.learning_rate)
        if self.hints:
            self.optimiser.add_param_group({"params": list(self.hints.parameters()), "weight_decay": 0.0})

    def _begin_next(self) -> None:
        """Go back to the first weights and the first step, with the next start's answer and levels."""
        self.start += 1
        for network, untrained in zip(self._learning, self._untrained, strict=True):
            network.load_state_dict(untrained)
        self._begin()
        self.step = self._begun = 0
        self.search.begin(self.starts[self.start].levels)

    def run(self, report: Report, save: Callable[[bytes], None] | None = None) -> LevelSearch:
        """Train until every level is found or the steps are done, from the first step or from what was restored.

        Args:
            report: called after each step, with the number of steps from the last start, 0 before it.
            save: takes the state's bytes, every `save_every` seconds and when a signal asks the process to end; None
                where the training cannot go on later.

        Raises:
            SegcamError: the loss is not finite any more.
            Stopped: a signal asked the process to end; the state was saved, or the message says that it was not.
        """
        with endings.deferred():
            try:
                return self._run(report, save)
            except endings.Stopped as stop:
                if save is not None:
                    self._save_last(stop, save)
                raise

    def _run(self, report: Report, save: Callable[[bytes], None] | None) -> LevelSearch:
        self._started = time.monotonic()
        self._run_start(report, save)
        while not self.last_start:
            self._begin_next()
            self._run_start(report, save)
        return self.search

    def _run_start(self, report: Report, save: Callable[[bytes], None] | None) -> None:
        """Train until every level of this start is found or leapt over, or the steps are done."""
        saved = time.monotonic()
        cost = 0.0  # of the last save; large networks are saved less often
        last = self._evaluate(self._begun)
        self._film()
        while self._begun < self.step or (self.step < self.total and not self._found()):
            first = last
            self.advance(min(first.step + self.search.interval, self.total), report)
            last = self._evaluate(self.step)
            self.search.between(first, last, self._evaluate)
            self.search.adapt(first, last)
            self._losses.clear()
            self._snapshots.clear()
            self._begun = self.step
            every = self.job.settings.save_every
            if save is not None and time.monotonic() - saved >= (max(every, 20 * cost) if every else 0):
                begun = time.monotonic()
                save(self.state())
                saved = time.monotonic()
                cost = saved - begun
        self._film(last=True)

    def _found(self) -> bool:
        return self.search.complete() or (not self.last_start and self.search.left_behind())

    def _save_last(self, stop: endings.Stopped, save: Callable[[bytes], None]) -> None:
        """Save the state before the process ends; what keeps it from that is told, and changes no exit code."""
        try:
            save(self.state())
        except Exception as error:  # a full disk, no memory, a GPU that is gone
            stop.kept = f"the training could not be saved at step {self.step} ({first_line(error)}); {endings.GOES_ON}"
            stop.kept = f"{stop.kept}, as far as it was saved before"
        else:
            stop.kept = f"the training is saved at step {self.step}; {endings.GOES_ON}"

    @property
    def seconds(self) -> float:
        """Wall time of the training so far, interruptions left out."""
        return self._before + time.monotonic() - self._started

    def state(self) -> bytes:
        """Return everything that going on needs, as safetensors."""
        tensors: dict[str, Tensor] = {f"model.{n}": t for n, t in self.model.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.average.state_dict().items()}
        tensors |= {f"hints.{n}": t for n, t in self.hints.state_dict().items()} if self.hints else {}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{slot}": t for slot, t in slots.items()}
        for level, (_, weights) in self.search.nearest.items():
            tensors |= {f"nearest.{level}.{n}": t for n, t in weights.items()}
        cloned = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
        cloned |= {f"snapshots.{step}.{n}": t for step, weights in self._snapshots.items() for n, t in weights.items()}
        cloned |= {"losses": torch.stack(self._losses)} if self._losses else {}
        header = {
            "start": self.start,
            "step": self.step,
            "begun": self._begun,
            "seconds": self.seconds,
            "search": self.search.state(),
        }
        return pack(cloned, header)

    def restore(self, state: Path) -> None:
        """Take back what `state` gave, from a file.

        Raises:
            InputError: the file is damaged, or of another training; nothing is changed then.
        """
        saved = read_state(state, self)  # all of it is seen to be right before anything is changed
        self.model.load_state_dict(saved.below("model."))
        self.average.load_state_dict(saved.below("average."))
        if self.hints:
            self.hints.load_state_dict(saved.below("hints."))
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": saved.slots(), "param_groups": groups})
        weights = {level: saved.below(f"nearest.{level}.") for level in self.search.kept}
        self.search.restore(saved.search, weights)
        self.start = saved.start
        self.search.sought = self.starts[self.start].levels
        self.step, self._before, self._begun = saved.step, saved.seconds, saved.begun
        self._losses = list(saved.losses.to(self.job.device))
        snapshots = {step: saved.below(f"snapshots.{step}.") for step in range(self._begun + 1, self.step + 1)}
        self._snapshots = {step: weights for step, weights in snapshots.items() if weights}

    def advance(self, until: int, report: Report) -> None:
        """Train until `until` steps are done, and keep the weights of the steps before where levels are searched."""
        searching = not self.search.searched()
        while self.step < until:
            endings.check()
            self._losses.append(self._train_step())
            self._film()
            if searching and self.step < until:
                self._snapshots[self.step] = self._weights()
            report(self.step if self.last_start else 0, self.total, self.search)

    def _film(self, *, last: bool = False) -> None:
        if self.film is not None and self.last_start:
            self.film(self._shown, self.step, last)

    @property
    def _shown(self) -> nn.Module:
        """The network whose weights are validated and kept: the moving average, where there is one."""
        return self.average.module if self.job.settings.average else self.model

    def _train_step(self) -> Tensor:
        job, settings = self.job, self.job.settings
        images, masks = self._batch()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.total, settings)
        self.model.train()
        devices = [job.device] if job.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # dropout draws from the global state; ours depends on the step
            torch.manual_seed(_seed(job.seed, "dropout", self.step))
            loss = self._loss(images.contiguous(memory_format=torch.channels_last), masks)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if settings.average:
            self.average.update_parameters(self.model)
        self.step += 1
        return loss.detach()

    def _loss(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return the mean cross-entropy of the labelled pixels, and what a teacher adds."""
        autocast = torch.autocast(self.job.device.type, torch.bfloat16, enabled=self._precision == "bf16")
        with self.hints.watching(self.model) if self.hints else nullcontext(), autocast:
            logits = self.model(images)
        labelled = (masks != IGNORE).sum().clamp(min=1)  # a batch may hold no labelled pixel
        loss = F.cross_entropy(logits.float(), masks.long(), ignore_index=IGNORE, reduction="sum") / labelled
        if self.hints:
            with autocast:
                features = self.hints.features(images)
            loss = loss + self.job.settings.teacher_weight * self.hints(features)
        return loss

    def _batch(self) -> tuple[Tensor, Tensor]:
        size, count = self.job.settings.batch_size, len(self.job.train)
        positions = range(self.step * size, (self.step + 1) * size)
        batch = Batch.of([self.job.train[self._shuffled(n // count, n % count)] for n in positions], self.job.device)
        generator = torch.Generator().manual_seed(_seed(self.job.seed, "augment", self.step))
        labels = with_border(batch.masks, self.job.border, self.job.foreground, batch.valid)
        return self._augment(batch.images, labels, generator, batch.channels)

    def _shuffled(self, epoch: int, position: int) -> int:
        if self._order[0] != epoch:
            generator = np.random.default_rng([self.job.seed, epoch])
            self._order = (epoch, generator.permutation(len(self.job.train)))
        return int(self._order[1][position])

    def _weights(self) -> Weights:
        return {n: t.detach().clone() for n, t in self._shown.state_dict().items()}

    def _evaluate(self, step: int) -> Evaluation:
        """Validate the weights of a step, this one or one since the last evaluation, and offer them to the search."""
        for evaluation in self.search.history:
            if evaluation.step == step:
                return evaluation
        if step == self.step:
            evaluation = self._validate(self._shown, step)
            self.search.offer(evaluation, self._weights)
            return evaluation
        current = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
        self.model.load_state_dict(self._snapshots[step])
        try:
            evaluation = self._validate(self.model, step)
        finally:
            self.model.load_state_dict(current)
        self.search.offer(evaluation, lambda: self._snapshots[step])
        return evaluation

    def _validate(self, network: nn.Module, step: int) -> Evaluation:
        settings = self.job.settings
        passed = len(self._losses) - (self.step - step)
        loss = float(torch.stack(self._losses[:passed]).mean()) if passed > 0 else math.nan
        answers = self.validation(network)
        if not step and not answers.finite:  # before the first step, so that no learning rate is to blame
            raise SegcamError(
                "the network's first answers are not finite numbers: choose other pretrained weights, or none"
            )
        if not answers.finite or (passed > 0 and not math.isfinite(loss)):
            raise SegcamError(
                f"training diverged by step {step}: lower train.learning_rate ({settings.learning_rate:g})"
            )
        return Evaluation(
            step=step,
            images_seen=step * settings.batch_size,
            loss=loss,
            learning_rate=learning_rate(max(0, step - 1), self.total, settings) if step else 0.0,
            miou=answers.miou,
            iou=answers.iou,
            predicted_share=answers.predicted_share,
            seconds=self.seconds,
            initial_answer=self.starts[self.start].initial_answer,
        )


def _seed(*words: object) -> int:
    state = np.random.SeedSequence([int.from_bytes(str(word).encode(), "big") for word in words]).generate_state(2)
    return int(state[0]) << 31 ^ int(state[1])
