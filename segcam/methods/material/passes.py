"""Passes: a network run many times on changed images, several at once, and somebody told of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.methods.material.subject import Subject
from segcam.probe.memory import images_at_once

SAMPLES = 8
"""Samples, of all images together, that are run at once on a processor, for whose caches more are slower (U-Net: 11 ms
a sample by 8, 17 ms by 32); on other devices eight times as many. It bounds the memory whatever budget and batch are.
"""

Score = Callable[[Int[Tensor, " n"], Int[Tensor, " n"]], Float[Tensor, " n"]]
"""`(images, choices) -> scores`: for each sample the image, and what is done to it; a few samples at once."""


@torch.no_grad()
def score_each(subject: Subject, choices: Int[Tensor, "b k"], score: Score) -> Float[Tensor, "b k"]:
    """Score each image with each of its choices: several samples at once, as many as the subject's pace allows.

    Args:
        subject: whose pace it is.
        choices: what is done to each image, as `score` takes it: channels, masks, segments.
        score: runs the network.

    Raises:
        ProbeError: a single sample takes more than the memory that is allowed.
    """
    images = torch.arange(len(choices), device=choices.device).repeat_interleave(choices.shape[1])
    flat = choices.flatten()
    step = _at_once(subject, images, flat, score)
    scores = []
    for at in range(0, len(flat), step):
        scores.append(score(images[at : at + step], flat[at : at + step]))
        subject.pace.told(min(at + step, len(flat)), len(flat))
    return torch.cat(scores).view_as(choices)


def _at_once(subject: Subject, images: Int[Tensor, " n"], choices: Int[Tensor, " n"], score: Score) -> int:
    step = SAMPLES if images.is_cpu else 8 * SAMPLES
    if subject.pace.max_memory is None:
        return step

    def job(some: slice) -> None:
        score(images[some], choices[some])

    return images_at_once(job, min(step, len(choices)), subject.pace.max_memory)


def score_masked(
    subject: Subject,
    choices: Int[Tensor, "b k"],
    masks: Callable[[Tensor, Tensor], Float[Tensor, "n H W"]],
    behind: Float[Tensor, "b ch 1 1"] | None = None,
) -> Float[Tensor, "b k"]:
    """Score each image seen through each of its masks; what is masked fades to the input's zero, or to a colour.

    Under the usual normalisation the input's zero is the mean colour. The explained pixels stay those of the unchanged
    image.

    Args:
        subject: the network and its images.
        choices: the masks of each image, as `masks` takes them.
        masks: `(images, choices) -> masks`, 0..1, at the input's size.
        behind: the colour of each image that is seen where it is masked; None for the input's zero.
    """
    pixels, class_ids = subject.extra

    def seen(rows: Tensor, of: Tensor) -> Tensor:
        through = masks(rows, of)[:, None].to(subject.images.dtype)
        images = subject.images[rows] * through
        if behind is not None:
            images = images + behind[rows].to(images.dtype) * (1 - through)
        scores: Tensor = subject.objective(images, pixels[rows], class_ids[rows])
        return scores

    return score_each(subject, choices, seen)


def numbered(subject: Subject, count: int) -> Int[Tensor, "b k"]:
    """Return the numbers below `count` for each image: the choices where all images have as many."""
    numbers = torch.arange(count, device=subject.images.device)
    return numbers.expand(len(subject.images), count)
