"""What becomes of a fixed predicted set when the image changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from segcam.arrays import at_least_float32, booleans
from segcam.classes import Classes
from segcam.errors import InputError
from segcam.probe.network.elements import select
from segcam.probe.network.held import frozen, run
from segcam.probe.network.inputs import as_images
from segcam.probe.targets import Target
from segcam.probe.targets.dense import ClassIndices, DenseOutput, predicted
from segcam.probe.targets.outputs import logits_of, resolved, told_by
from segcam.probe.targets.scores import logprob

OUTCOMES = ("probability", "dice", "iou")
"""Mean class probability over the set; Dice of the new prediction with the set; IoU of it with the truth."""

BATCH = 8
"""Changed images that the network gets at once: on a processor, for whose caches more are slower."""


@dataclass(frozen=True, eq=False)
class Subjects:
    """Images and the set of pixels that is predicted in them before anything changes.

    Attributes:
        model: the network; it is run in eval mode and left as it was.
        images: its input, `(b, ch, H, W)`.
        class_ids: the class explained in each, see `segcam.probe.targets.Explained`.
        chosen: the fixed set M, the pixels predicted as the class, `(b, H, W)`.
        foreground: the true pixels of the class.
        background: the true pixels of other classes; the border belongs to neither.
        ids: the images' names.
        target: what the network's output means and where it lies on the input.
    """

    model: nn.Module
    images: Float[Tensor, "b ch H W"]
    class_ids: ClassIndices
    chosen: Bool[Tensor, "b H W"]
    foreground: Bool[Tensor, "b H W"]
    background: Bool[Tensor, "b H W"]
    ids: tuple[str, ...]
    target: Target = field(default_factory=Target)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        images: Float[Tensor, "b ch H W"],
        class_ids: Classes | Sequence[Classes] | Int[Tensor, " b"],
        masks: tuple[Bool[Tensor, "b H W"], Bool[Tensor, "b H W"]],
        ids: tuple[str, ...],
        target: Target | None = None,
    ) -> Subjects:
        """Find what the network predicts in the images as they are; `masks` are the true foreground and background.

        `target` is a capture's, which knows what the network's output means and where it lies on the input; unless
        given, the output spans the input, and its meaning is told from its values.

        Raises:
            InputError: images, masks, classes or names do not fit each other.
        """
        images = as_images(images)
        inside, beside = (booleans(mask, "masks").to(images.device) for mask in masks)
        shape = (len(images), *images.shape[2:])
        if inside.shape != shape or beside.shape != shape or len(ids) != len(images):
            raise InputError(
                f"images {tuple(images.shape)}, masks {tuple(inside.shape)} and {tuple(beside.shape)}, {len(ids)} "
                "names: masks of foreground and background, (b, h, w) each, and a name an image are needed"
            )
        with torch.no_grad(), frozen(model):
            given = target or Target()
            output = select(run(model, images), given.element)
            known = Target(
                class_ids,  # type: ignore[arg-type]
                output=resolved(output, given.output or told_by(model)),  # type: ignore[arg-type]
                placement=given.placement,
                element=given.element,
            )
            dense = _dense(known, output, images, None)
        return cls(model, images, dense.class_ids, predicted(dense), inside, beside, ids, known)

    @property
    def empty(self) -> Bool[Tensor, " b"]:
        """Images in which the class is predicted nowhere: nothing can be said of them."""
        return ~self.chosen.flatten(1).any(1)

    @cached_property
    def unchanged(self) -> Float[Tensor, "b 3"]:
        """The outcomes of the images as they are."""
        return measured(self, len(self.images), lambda rows: (self.images[rows], rows))


def _dense(target: Target, output: object, images: Tensor, class_ids: ClassIndices | None) -> DenseOutput:
    """Return a network's output at input resolution, where targets look at it too."""
    size = (int(images.shape[-2]), int(images.shape[-1]))
    return target.dense(logits_of(output, target.meaning or "logits"), size, class_ids)


def outcomes(subjects: Subjects, output: DenseOutput, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """Measure what a network answers to changed images.

    Args:
        subjects: what they were.
        output: its output for the changed images, at input resolution.
        rows: of which image each is made.

    Returns:
        Mean probability of the class over the fixed set, Dice of the new prediction with the fixed set, and IoU of the
        new prediction with the truth, the border left out. NaN where the fixed set (for IoU: the union) is empty.
    """
    new = predicted(output)
    fixed, truth = subjects.chosen[rows], subjects.foreground[rows]
    labelled = truth | subjects.background[rows]
    size = _count(fixed).to(output.logits.dtype)
    probability = (logprob(output).exp() * fixed).flatten(1).sum(1) / size
    dice = 2 * _count(new & fixed) / (_count(new) + size)
    iou = _count(new & truth) / _count((new & labelled) | truth).to(output.logits.dtype)
    return torch.stack([probability, dice, iou], 1).masked_fill((size == 0)[:, None], torch.nan)


def measured(
    subjects: Subjects,
    number: int,
    make: Callable[[Int[Tensor, " n"]], tuple[Float[Tensor, "n ch H W"], Int[Tensor, " n"]]],
    batch_size: int = BATCH,
) -> Float[Tensor, "N 3"]:
    """Return the outcomes of `number` changed images, made and measured a batch at a time.

    Args:
        subjects: network, images and sets.
        number: of changed images.
        make: `(numbers) -> (changed images, of which image each is made)`.
        batch_size: changed images that the network gets at once.
    """
    every = torch.arange(number, device=subjects.images.device)
    batches = [subjects.images.new_empty(0, 3, dtype=at_least_float32(subjects.images[:0]).dtype)]
    with torch.no_grad(), frozen(subjects.model):
        for numbers in torch.split(every, batch_size) if number else ():
            changed, rows = make(numbers)
            answer = select(run(subjects.model, changed), subjects.target.element)
            output = _dense(subjects.target, answer, changed, subjects.class_ids[rows])
            batches.append(outcomes(subjects, output, rows))
    return torch.cat(batches)


def _count(pixels: Bool[Tensor, "n H W"]) -> Int[Tensor, " n"]:
    return pixels.flatten(1).sum(1)
