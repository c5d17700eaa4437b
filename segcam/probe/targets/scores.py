"""Scores: which number of each pixel of a dense output can be explained. Adding one is an entry in `SCORES`.

A set of classes counts as one class. Its logit is `z_S = log sum_{k in S} exp z_k`, the logarithm of its probability up
to what all classes of a pixel share; read `z_c` below as that, and `k != c` as the classes outside the set.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float, Int
from torch import Tensor

from segcam.errors import ProbeError
from segcam.probe.targets.dense import DenseOutput, membership, of_class, others

ScoreMap = Callable[[DenseOutput], Float[Tensor, "b h w"]]
"""Logits and the class of each image in, the score of each pixel out."""


def logit(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by the class logit `z_c`, before softmax (the paper's choice).

    Where only probabilities are known, or one logit stands for two classes, it is the class's log-odds,
    `log p_c / (1 - p_c) = z_c - log sum_{k != c} exp z_k`.
    """
    own = of_class(output)
    return own - others(output).logsumexp(1) if output.odds else own


def rival(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by the logit of the best other class there, `max_{k != c} z_k`: what speaks for another class.

    It is `logit` of that class, and so its log-odds where that is.
    """
    rest = others(output)
    if not output.odds:
        return rest.amax(1)
    best = rest.argmax(1, keepdim=True)
    own = output.logits.gather(1, best)
    left = output.logits.masked_fill(torch.zeros_like(rest, dtype=torch.bool).scatter(1, best, 1), -torch.inf)
    return own[:, 0] - left.logsumexp(1)


def margin(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by `z_c - max_{k != c} z_k`, which softmax identifies and the logit alone not.

    An overlapping class has no rival but its own 0: there it is `z_c`.
    """
    own = of_class(output)
    return own if output.overlapping else own - others(output).amax(1)


def logprob(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by the logarithm of the class's probability, `z_c - log sum_k exp z_k`, in nats.

    Of an overlapping class the probability is the sigmoid's, `p_c = 1 / (1 + exp -z_c)`; of a set of such classes that
    of any of them, each taken for itself, `1 - prod_{k in S} (1 - p_k)`.
    """
    if output.overlapping and output.class_ids.ndim > 1:
        return _any_of(output)
    own = of_class(output)
    return F.logsigmoid(own) if output.overlapping else own - output.logits.logsumexp(1)


def _any_of(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Return the logarithm of the probability that a class of the set holds: the first that does is one of them."""
    inside = membership(output.class_ids, output.logits.shape[1])[:, :, None, None]
    logits = output.logits.masked_fill(~inside, -torch.inf)
    absent = F.logsigmoid(-logits)
    return (F.logsigmoid(logits) + absent.cumsum(1) - absent).logsumexp(1)


def contrast(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by `z_c - max_{k != c, k != 0} z_k`: why this object and not another, whatever the background says.

    `margin` asks why the class and not the best other one, which is the background near an object's outline. With two
    object classes the question is why the one and not the other (class 0 is the background). Where classes overlap
    there is no background among them, and all others are compared.

    Raises:
        ProbeError: there is no other class than the background.
    """
    first = 0 if output.overlapping else 1
    inside = membership(output.class_ids, output.logits.shape[1])
    if output.logits.shape[1] < 2 + first or bool(inside[:, first:].all(1).any()):
        raise ProbeError("score 'contrast' compares objects, and the network knows one: take 'margin' or 'logit'")
    return of_class(output) - others(output)[:, first:].amax(1)


def pair(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by `z_c - z_o`: why the class and not the other one that the target names, whatever the rest says.

    On the pixel set `border` it is the class-pair border of Xplique: along the line between two regions each pixel
    counts for the class that it has and against the other.
    """
    assert output.other is not None  # the target sees to it
    return of_class(output) - of_class(output, output.other)


def rival_classes(output: DenseOutput) -> Int[Tensor, "b h w"]:
    """Return the best other class of each pixel, the one that `rival` scores; of equals, the first."""
    return others(output).argmax(1)


def own_classes(output: DenseOutput) -> Int[Tensor, "b h w"]:
    """Return the best class of each pixel among those that count as the class; of equals, the first."""
    inside = membership(output.class_ids, output.logits.shape[1])
    return output.logits.masked_fill(~inside[:, :, None, None], -torch.inf).argmax(1)


SCORES: dict[str, ScoreMap] = {
    "logit": logit,
    "margin": margin,
    "logprob": logprob,
    "rival": rival,
    "contrast": contrast,
    "pair": pair,
}
