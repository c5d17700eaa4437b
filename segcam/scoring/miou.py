"""Mean IoU, in its one definition: counts summed over the whole split, IoU a class, mean over the classes present."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from segcam.samples import IGNORE


def confusion(predictions: Int[Tensor, "b h w"], labels: UInt8[Tensor, "b h w"], classes: int) -> Int[Tensor, "b k k"]:
    """Count pixels by true class (rows) and predicted class (columns), for each image; ignored pixels do not count.

    Args:
        predictions: class index a pixel.
        labels: true class index a pixel; `IGNORE` is left out.
        classes: number of classes `k`.
    """
    images = torch.arange(len(labels), device=labels.device).view(-1, 1, 1)
    index = (images * classes + labels.long()) * classes + predictions
    counts = torch.bincount(index[labels != IGNORE], minlength=len(labels) * classes * classes)
    return counts.view(-1, classes, classes)


def iou(counts: Int[Tensor, "k k"]) -> Float[Tensor, " k"]:
    """Compute intersection over union of each class, 0..1; NaN for a class that the truth does not hold."""
    hits = counts.diagonal().double()
    truth = counts.sum(1).double()
    union = truth + counts.sum(0).double() - hits
    return torch.where(truth > 0, hits / union, torch.nan)


def mean_iou(counts: Int[Tensor, "k k"]) -> float:
    """Compute mean IoU over the classes present in the truth, 0..1; NaN where no pixel counts.

    Source: the accumulation of `torchmetrics.classification.MulticlassJaccardIndex(ignore_index=255)`, but that
    counts a class that is predicted and absent from the truth as 0.

    >>> import torch
    >>> round(mean_iou(torch.tensor([[6, 0], [4, 0]])), 3)
    0.3
    """
    return float(iou(counts).nanmean())
