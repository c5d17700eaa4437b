"""Saturation: probabilities of exactly 0 or 1, whose logits have no gradient any more."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as nnf

from segcam.errors import ProbeError, SegcamWarning
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
    lost = saturated(values, target.meaning)
    ids = explained.class_ids.clamp(max=lost.shape[1] - 1)
    of_class = lost[torch.arange(len(ids), device=ids.device), ids]
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


def saturated(values: Float[Tensor, "b k h w"], meaning: Output | None) -> Bool[Tensor, "b k h w"]:
    """Return where a class's log-odds cannot be told from its probability, or all others are exactly 0."""
    if meaning == "log-probabilities":
        values = values.exp()
    if values.shape[1] == 1 or meaning == "multilabel-probabilities":
        return (values <= 0) | (values >= 1)
    best = values.topk(2, 1).values
    others = torch.where(values == best[:, :1], best[:, 1:], best[:, :1])  # of two that are equal both are above 0
    return (values <= 0) | (others <= 0)
