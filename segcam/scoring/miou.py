"""Mean IoU, in its one definition: counts summed over the whole split, IoU a class, mean over the classes present."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import Numbers, integers, whole
from segcam.errors import InputError
from segcam.samples import IGNORE


def confusion(
    predictions: Numbers, labels: Numbers, classes: int, ignore: int | Iterable[int] = IGNORE
) -> Int[Tensor, "b k k"]:
    """Count pixels by true class (rows) and predicted class (columns), for each image; ignored pixels do not count.

    >>> truth = torch.tensor([[[0, 1, 1, -1]]])
    >>> confusion(torch.tensor([[[0, 1, 0, 7]]]), truth, 2, ignore=-1).tolist()
    [[[1, 0], [1, 1]]]

    Args:
        predictions: class index a pixel, `(b, h, w)`, whole numbers of any type. What is predicted where the label is
            ignored plays no part.
        labels: true class index a pixel, of the same shape.
        classes: number of classes `k`.
        ignore: labels of pixels that are left out: one value or several, such as 255, or -1 and -100 elsewhere.

    Raises:
        InputError: the two differ in shape, or there is a label or a prediction that is neither a class nor ignored;
            the message names it.
    """
    classes = whole(classes, "the number of classes")
    truth, found = integers(labels, "labels"), integers(predictions, "predictions")
    if truth.shape != found.shape or truth.ndim != 3 or classes < 1:
        raise InputError(
            f"predictions {tuple(found.shape)} and labels {tuple(truth.shape)} of {classes} classes: equal shapes, "
            "(images, rows, columns), and at least one class are needed; logits (b, k, h, w) give predictions by "
            "argmax(1)"
        )
    found = found.to(truth.device)
    left_out = {whole(v, "a value to ignore") for v in (ignore if isinstance(ignore, Iterable) else [ignore])}
    counted = torch.ones_like(truth, dtype=torch.bool)
    for value in left_out:
        counted &= truth != value
    _refuse_others("label", truth, counted, classes, f"name what is left out with ignore=..., now {sorted(left_out)}")
    _refuse_others(
        "prediction", found, counted, classes, "give the number of the network's classes, or map its classes"
    )
    images = torch.arange(len(truth), device=truth.device).view(-1, 1, 1)
    index = (images * classes + truth) * classes + found
    counts = torch.bincount(index[counted], minlength=len(truth) * classes * classes)
    return counts.view(-1, classes, classes)


def _refuse_others(
    kind: str, values: Int[Tensor, "b h w"], counted: Bool[Tensor, "b h w"], classes: int, cure: str
) -> None:
    """Raise InputError where a pixel that counts has no class from 0: it would be counted for another image."""
    other = values[counted & ((values < 0) | (values >= classes))]
    if len(other):
        some = ", ".join(map(str, sorted(set(other.tolist()))[:5]))
        raise InputError(f"{len(other)} pixels have the {kind} {some}, and the classes are 0 to {classes - 1}: {cure}")


def iou(counts: Int[Tensor, "k k"]) -> Float[Tensor, " k"]:
    """Compute intersection over union of each class, 0..1; NaN for a class that the truth does not hold.

    Raises:
        InputError: the counts are not those of one image or of a sum over images, `(k, k)`.
    """
    wide = integers(counts, "counts").double()
    if wide.ndim != 2 or wide.shape[0] != wide.shape[1]:
        raise InputError(
            f"counts are {tuple(wide.shape)}: (classes, classes) are needed, over a split confusion(...).sum(0)"
        )
    hits = wide.diagonal()
    truth = wide.sum(1)
    union = truth + wide.sum(0) - hits
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
