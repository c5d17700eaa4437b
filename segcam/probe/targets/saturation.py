"""Saturation: probabilities of exactly 0 or 1, whose logits have no gradient any more."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as nnf

from segcam.errors import ProbeError, SegcamWarning
from segcam.probe.targets.dense import ClassIndices, membership
from segcam.probe.targets.explained import Explained
from segcam.probe.targets.outputs import Output, tensor_of
from segcam.probe.targets.target import Target

MOST = 0.5
"""The largest share of an image's explained pixels that may be without a gradient."""


def check_saturation(output: object, target: Target, explained: Explained) -> None:
    """See to it that what is explained has a gradient, where logits are made of a network's probabilities.

    Where only some pixels have none that is a `SegcamWarning`.

    Args:
        output: as the network returned it.
        target: with the output's meaning.
        explained: the pixels.

    Raises:
        ProbeError: most pixels of an image have none.
    """
    if target.argument or target.score == "logprob" or target.meaning in (None, "logits", "multilabel"):
        return
    values = tensor_of(output).detach()
    of_class = saturated(values, target.meaning, explained.class_ids)
    grid = (int(of_class.shape[1]), int(of_class.shape[2]))
    weights = nnf.adaptive_avg_pool2d(explained.chosen[:, None].double(), grid)[:, 0]
    shares = (weights * of_class).sum((1, 2)) / weights.sum((1, 2)).clamp(min=torch.finfo(torch.float64).tiny)
    worst = float(shares.max())
    if not worst:
        return
    message = (
        f"{100 * worst:.1f} % of the explained pixels of an image have a probability of exactly 0 or 1, whose logit is "
        "lost: wrap the network in a Module that returns what goes into its softmax or sigmoid"
    )
    if worst >= MOST:
        raise ProbeError(message)
    warnings.warn(f"{message}; the maps are those of the others", SegcamWarning, stacklevel=2)


def saturated(
    values: Float[Tensor, "b k h w"], meaning: Output | None, class_ids: ClassIndices
) -> Bool[Tensor, "b h w"]:
    """Return where the log-odds of a class, or a set of classes, cannot be told from its probability.

    That is so where it is exactly 0 or 1; among several classes that sum to 1, where all others are exactly 0.
    """
    if meaning == "log-probabilities":
        values = values.exp()
    if values.shape[1] == 1:
        return ((values <= 0) | (values >= 1))[:, 0]
    own = membership(class_ids, values.shape[1])[:, :, None, None]
    if meaning == "multilabel-probabilities":
        return (((values <= 0) | (values >= 1)) | ~own).all(1)  # a set has a gradient while one of its classes has
    return ~((values > 0) & own).any(1) | ~((values > 0) & ~own).any(1)
