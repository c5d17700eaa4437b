"""How sure a network is of what it predicts, image by image: what a map's score may go with."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.probe.captures import Capture
from segcam.probe.targets.dense import predicted
from segcam.probe.targets.scores import logprob


class Certainty(NamedTuple):
    """How sure a network is of each image.

    Attributes:
        confidence: mean probability of the class over the pixels predicted as it, 0..1; NaN where there are none.
        entropy: mean entropy a pixel, in nats: of the softmax over all classes, or where classes overlap of the class
            against its absence. Pixels that are no picture, or that the network does not speak of, do not count.
    """

    confidence: Float[Tensor, " b"]
    entropy: Float[Tensor, " b"]


@torch.no_grad()
def certainty(capture: Capture, valid: Bool[Tensor, "b H W"] | None = None) -> Certainty:
    """Return how sure a network is of the class that a capture explains, at the input's resolution.

    A set of classes that counts as one has the sum of their probabilities. Neither number looks at masks.

    >>> from torch import nn
    >>> from segcam import Probe, Target
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> sure = certainty(Probe(net, "0")(torch.rand(2, 3, 16, 24), Target(1, "image")))
    >>> sure.entropy.shape, bool((sure.entropy <= 0.6932).all())
    (torch.Size([2]), True)

    Args:
        capture: of any target of the class.
        valid: where the pictures are and not the padding around them, `Batch.valid`; None is everywhere.

    Returns:
        A number an image each, float32 or wider; NaN where no pixel counts.

    Source: segcam; the entropy is Shannon's, Bell System Technical Journal 27, 1948.
    """
    output = replace(capture.target, at="input").dense(capture.logits, capture.size, None)
    counted = torch.ones_like(output.logits[:, 0], dtype=torch.bool)
    for region in (output.covered, valid):
        counted = counted if region is None else counted & region.to(counted.device)
    probability = logprob(output).exp().clamp(max=1)  # rounding leads beyond it, where entropy has no value
    if output.overlapping:
        entropy = torch.special.entr(probability) + torch.special.entr(1 - probability)
    else:  # image by image: of many classes all probabilities at once take much memory
        entropy = torch.stack([torch.special.entr(of_image.softmax(0)).sum(0) for of_image in output.logits])
    return Certainty(_mean(probability, predicted(output) & counted), _mean(entropy, counted))


def _mean(values: Float[Tensor, "b h w"], pixels: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Return the mean over pixels of each image; NaN where there are none."""
    return torch.where(pixels, values, 0).flatten(1).sum(1) / pixels.flatten(1).sum(1)
