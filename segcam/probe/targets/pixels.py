"""Pixel sets and scores: which pixels of a dense output can be explained, and which number of each.

Adding one is an entry in `PIXEL_SETS` or `SCORES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.errors import ProbeError
from segcam.scoring.grids import Grid, to_grid

WIDTH = 0.02
"""How far from the outline `boundary` reaches unless told, as a share of the diagonal (Boundary IoU)."""


@dataclass(frozen=True, eq=False, slots=True)
class DenseOutput:
    """What pixels are chosen from, and scored.

    Attributes:
        logits: `(b, k, h, w)`, at the resolution at which the target looks; two classes or more.
        class_ids: the class explained in each image, `(b,)`.
        masks: the true class of each pixel of the input, `(b, H, W)`; None where there are none.
        distance: in pixels of the logits, for sets that take one; None for their default.
        odds: whether the score of a class is its log-odds: where the logits were made of probabilities, which leave a
            number shared by all classes open, and where one logit stands for two classes.
        overlapping: whether each class stands against its own 0, so that a pixel may have several.
        covered: the pixels that the network speaks of and that belong to the picture, `(h, w)` or `(b, h, w)`; None
            for all. Others are in no set.
    """

    logits: Float[Tensor, "b k h w"]
    class_ids: Int[Tensor, " b"]
    masks: Int[Tensor, "b H W"] | None = None
    distance: int | None = None
    odds: bool = False
    overlapping: bool = False
    covered: Bool[Tensor, "*b h w"] | None = None


@dataclass(frozen=True, slots=True)
class PixelSet:
    """A way to choose pixels.

    Attributes:
        choose: the pixels of each image.
        needs_masks: whether it looks at the true classes.
        takes_distance: whether `Target.distance` means something to it.
    """

    choose: Callable[[DenseOutput], Bool[Tensor, "b h w"]]
    needs_masks: bool = False
    takes_distance: bool = False


ScoreMap = Callable[[DenseOutput], Float[Tensor, "b h w"]]
"""Logits and the class of each image in, the score of each pixel out."""


def best_pixel(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the one pixel with the highest logit of the class (the paper's choice); of equals, the first in rows."""
    scores = logit(output)
    if output.covered is not None:
        scores = scores.masked_fill(~output.covered, -torch.inf)
    scores = scores.flatten(1)
    pixels = torch.zeros_like(scores, dtype=torch.bool)
    return pixels.scatter_(1, scores.argmax(1, keepdim=True), 1).view(-1, *output.logits.shape[2:])


def predicted(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose all pixels predicted as the class (Seg-Grad-CAM, Vinogradova et al. 2020); possibly none.

    That is where its logit is the largest; of overlapping classes, where its own is above 0.
    """
    if output.overlapping:
        return _covered(_of_class(output) > 0, output)
    largest = output.logits.max(1).indices  # as argmax, and many times faster where the classes do not lie last
    return _covered(largest == output.class_ids.view(-1, 1, 1), output)


def truth(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the pixels that belong to the class in truth; none where the image does not show it.

    Ignored pixels belong to no class. Where the logits have another resolution than the masks, the class has those
    pixels of theirs of which it covers more than half; what is thinner than that is lost.
    """
    assert output.masks is not None  # the target sees to it
    mask = output.masks == output.class_ids.view(-1, 1, 1)
    grid = (int(output.logits.shape[2]), int(output.logits.shape[3]))
    if mask.shape[1:] != grid:
        mask = to_grid(mask[:, None].double(), grid)[:, 0] > 0.5
    return _covered(mask, output)


def boundary(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the predicted pixels within d of the predicted outline.

    Those are the predicted pixels from which at most d steps, diagonal ones included, lead to a pixel that is not.
    The frame of the image, or of what of it is a picture, is no outline: where every pixel is predicted as the class,
    or none, the set is empty. d is the target's `distance`; unless told, 2 % of the diagonal, rounded, and at least 1:
    4 for 128 x 128 pixels, 7 for 256 x 256. The outline's definition and the 2 % are those of Cheng et al., CVPR 2021
    (Boundary IoU).
    """
    inside = predicted(output)
    distance = output.distance or reach((int(inside.shape[1]), int(inside.shape[2])))
    outside = _covered(~inside, output).float()
    for kernel, padding in (((2 * distance + 1, 1), (distance, 0)), ((1, 2 * distance + 1), (0, distance))):
        outside = F.max_pool2d(outside, kernel, stride=1, padding=padding)
    return inside & (outside > 0)


def image(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose all pixels."""
    return _covered(torch.ones_like(output.logits[:, 0], dtype=torch.bool), output)


def reach(size: Grid) -> int:
    """Return the default d of `boundary`, in pixels, for an output of this size."""
    return max(1, round(WIDTH * math.hypot(*size)))


def logit(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by the class logit `z_c`, before softmax (the paper's choice).

    Where only probabilities are known, or one logit stands for two classes, it is the class's log-odds,
    `log p_c / (1 - p_c) = z_c - log sum_{k != c} exp z_k`.
    """
    own = _of_class(output)
    return own - _others(output).logsumexp(1) if output.odds else own


def rival(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by the logit of the best other class there, `max_{k != c} z_k`: what speaks for another class.

    It is `logit` of that class, and so its log-odds where that is.
    """
    others = _others(output)
    if not output.odds:
        return others.amax(1)
    best = others.argmax(1, keepdim=True)
    own = output.logits.gather(1, best)
    rest = output.logits.masked_fill(torch.zeros_like(others, dtype=torch.bool).scatter(1, best, 1), -torch.inf)
    return own[:, 0] - rest.logsumexp(1)


def margin(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by `z_c - max_{k != c} z_k`, which softmax identifies and the logit alone not.

    An overlapping class has no rival but its own 0: there it is `z_c`.
    """
    own = _of_class(output)
    return own if output.overlapping else own - _others(output).amax(1)


def logprob(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by the logarithm of the class's probability, `z_c - log sum_k exp z_k`, in nats.

    Of an overlapping class the probability is the sigmoid's, `1 / (1 + exp -z_c)`.
    """
    own = _of_class(output)
    return F.logsigmoid(own) if output.overlapping else own - output.logits.logsumexp(1)


def contrast(output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Score a pixel by `z_c - max_{k != c, k != 0} z_k`: why this object and not another, whatever the background says.

    `margin` asks why the class and not the best other one, which is the background near an object's outline. With two
    object classes the question is why the one and not the other (class 0 is the background). Where classes overlap
    there is no background among them, and all others are compared.

    Raises:
        ProbeError: there is no other class than the background.
    """
    first = 0 if output.overlapping else 1
    if output.logits.shape[1] < 2 + first:
        raise ProbeError("score 'contrast' compares objects, and the network knows one: take 'margin' or 'logit'")
    return _of_class(output) - _others(output)[:, first:].amax(1)


def rival_classes(output: DenseOutput) -> Int[Tensor, "b h w"]:
    """Return the best other class of each pixel, the one that `rival` scores; of equals, the first."""
    return _others(output).argmax(1)


def _of_class(output: DenseOutput) -> Float[Tensor, "b h w"]:
    return output.logits[torch.arange(len(output.logits), device=output.logits.device), output.class_ids]


def _others(output: DenseOutput) -> Float[Tensor, "b k h w"]:
    target = F.one_hot(output.class_ids, output.logits.shape[1]).bool()[:, :, None, None]
    return output.logits.masked_fill(target, -torch.inf)


def _covered(pixels: Bool[Tensor, "b h w"], output: DenseOutput) -> Bool[Tensor, "b h w"]:
    return pixels if output.covered is None else pixels & output.covered


PIXEL_SETS: dict[str, PixelSet] = {
    "best_pixel": PixelSet(best_pixel),
    "predicted": PixelSet(predicted),
    "truth": PixelSet(truth, needs_masks=True),
    "boundary": PixelSet(boundary, takes_distance=True),
    "image": PixelSet(image),
}

SCORES: dict[str, ScoreMap] = {
    "logit": logit,
    "margin": margin,
    "logprob": logprob,
    "rival": rival,
    "contrast": contrast,
}


def two_sided(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k2 h w"]:
    """Return the logits of all classes: a single channel is that of class 1 against 0 for class 0."""
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)
