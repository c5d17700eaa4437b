"""What a network in training answers on the validation images."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench import endings
from segcam.samples import IGNORE, Batch, Border, Images, with_border
from segcam.scoring.miou import confusion, iou, mean_iou

BATCH = 32
"""Images a forward pass."""


@dataclass(frozen=True)
class Answers:
    """How good a network's answers on the validation images are.

    Attributes:
        miou: mean IoU, 0..1.
        iou: IoU of each class, 0..1.
        predicted_share: share of the images with any pixel predicted as the foreground.
        finite: whether all logits are finite numbers.
    """

    miou: float
    iou: tuple[float, ...]
    predicted_share: float
    finite: bool


@dataclass
class Validation:
    """The validation images; their batches are made once and stay on the device.

    Attributes:
        images: as they were read.
        classes: number of classes.
        border: the class of ignored pixels in mean IoU.
        foreground: the class whose presence in predictions is counted.
        device: where the network is.
    """

    images: Images
    classes: int
    border: Border
    foreground: int
    device: torch.device
    _batches: list[tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=list, init=False, repr=False)

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> Answers:
        """Return how good a network answers; it is left in evaluation mode."""
        network.eval()
        predictions, counts, finite = [], [], True
        for inputs, labels, valid in self._made():
            endings.check()
            logits = network(inputs)
            finite = finite and bool(torch.isfinite(logits).all())
            answer = logits.argmax(1)
            predictions.append(answer if valid is None else answer.masked_fill(~valid, IGNORE))
            counts.append(confusion(predictions[-1], labels, self.classes))
        total = torch.cat(counts).sum(0)
        shares = torch.cat([(classes == self.foreground).flatten(1).any(1) for classes in predictions])
        return Answers(mean_iou(total), tuple(iou(total).tolist()), float(shares.double().mean()), finite)

    def pixels(self) -> list[int]:
        """Return how many pixels there are of each class, in truth; ignored ones are of none."""
        counts = [
            confusion(torch.zeros_like(labels, dtype=torch.long), labels, self.classes) for _, labels, _ in self._made()
        ]
        return [int(number) for number in torch.cat(counts).sum((0, 2))]

    def _made(self) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """Return inputs, labels and valid regions of the batches."""
        if not self._batches:
            batches = []
            for first in range(0, len(self.images), BATCH):
                rows = range(first, min(first + BATCH, len(self.images)))
                endings.check()
                batch = Batch.of([self.images[i] for i in rows], self.device)
                inputs = batch.inputs().contiguous(memory_format=torch.channels_last)
                labels = with_border(batch.masks, self.border, self.foreground, batch.valid)
                batches.append((inputs, labels, batch.valid))
            self._batches = batches
        return self._batches
