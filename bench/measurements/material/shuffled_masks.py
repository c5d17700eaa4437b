"""A network trained on masks that belong to other images, to compare what it explains with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from analyses.reading.manifest import BEST
from bench.measurements.material.columns import counted
from bench.planning import plan
from bench.planning.cells import TrainCell
from bench.planning.data import Data
from bench.planning.profile import Profile
from bench.training.levels import starts
from bench.training.trainer import Trainer, TrainJob
from bench.training.validation import Validation
from segcam.errors import InputError
from segcam.models import create
from segcam.samples import Images, Sample
from segcam.scoring.miou import mean_iou

EXAMINED = 64
"""How many training images tell what a network has learned of their masks."""
VALIDATIONS = 4
"""How many validations there are; the loss is that since the last but one."""


class ShuffledMasks:
    """Images, each with the mask of another one.

    Args:
        images: the split.
        seed: of the order; no image keeps its mask.

    Raises:
        InputError: there is one image alone.
    """

    def __init__(self, images: Images, seed: int) -> None:
        if len(images) < 2:
            raise InputError("masks of one training image cannot be shuffled: take more images (data.train)")
        self.images = images
        order = np.random.default_rng([seed, len(images)]).permutation(len(images))
        self._donors = np.empty_like(order)
        self._donors[order] = np.roll(order, -1)  # one round trip through all images: none keeps its own

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        """Return an image with the mask of another one; what decides its class is not known."""
        other = self.images[int(self._donors[index])]
        return replace(self.images[index], mask=other.mask, evidence=None)


@dataclass(frozen=True, eq=False)
class Shuffled:
    """A network trained on shuffled masks, and what it learned.

    Attributes:
        model: the network, in eval mode.
        steps: optimiser steps.
        loss: mean training loss of the last quarter of them.
        miou_shuffled: mean IoU on training images, against the masks that it was given for them.
        miou_own: on the same images against their own masks.
        miou_validation: on the validation images against their own masks.
    """

    model: nn.Module
    steps: int
    loss: float
    miou_shuffled: float
    miou_own: float
    miou_validation: float


def train_shuffled(
    profile: Profile, cell: TrainCell, data: Data, device: torch.device, steps: int, note: Callable[[str], None]
) -> Shuffled:
    """Train a fresh network by its recipe, without a teacher, which knows the true masks.

    Args:
        profile: whose recipe it is.
        cell: the training whose network, first weights and order of images are taken.
        data: the images.
        device: where it runs.
        steps: optimiser steps; the learning rate's schedule has as many.
        note: told of how far it is.
    """
    classes, foreground = len(data.opened.info.classes), profile.score.foreground
    model = create(cell.model, classes, plan.parameters(profile, cell.model), cell.seed)
    shuffled = ShuffledMasks(data.train, cell.seed)
    own = profile.recipe(cell.model)
    start = starts(own, Validation(data.val, classes, profile.data.border, foreground, device).pixels)[-1]
    changes = {"levels": (BEST,), "steps": steps, "longest_interval": math.ceil(steps / VALIDATIONS), "teacher": ""}
    changes["initial_answer"] = start.initial_answer  # as where the network itself was trained to its highest level
    recipe = own.model_copy(update=changes)
    job = TrainJob(model, shuffled, data.val, classes, profile.data.border, foreground, recipe, cell.seed, device)
    trainer = Trainer(job)
    search = trainer.run(lambda step, total, _: note(f"training on shuffled masks, step {step} of {total}"))
    network: nn.Module = trainer.average.module if recipe.average else trainer.model
    network.eval()
    few = range(min(EXAMINED, len(shuffled)))

    def fit(images: Sequence[Sample]) -> float:
        counts = counted(network, images, data.opened.info.classes, profile.data.border, foreground, lambda _: None)
        sums = [[int(counts[f"n_{i}_{j}"].sum()) for j in range(classes)] for i in range(classes)]
        return mean_iou(torch.tensor(sums))

    last = search.history[-1]
    given, true = ([images[i] for i in few] for images in (shuffled, data.train))
    return Shuffled(network, trainer.step, last.loss, fit(given), fit(true), last.miou)
