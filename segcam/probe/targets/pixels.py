"""Pixel sets: which pixels of a dense output can be explained. Adding one is an entry in `PIXEL_SETS`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Int8
from torch import Tensor

from segcam.classes import IGNORE
from segcam.probe.targets import instances
from segcam.probe.targets.dense import DenseOutput, mostly, predicted, true_pixels, within
from segcam.probe.targets.scores import logit
from segcam.scoring.grids import Grid

WIDTH = 0.02
"""How far from the outline `boundary` reaches unless told, as a share of the diagonal (Boundary IoU)."""

Parameter = Literal["distance", "point", "other"]
"""What a target may tell a pixel set beside the class."""


@dataclass(frozen=True, slots=True)
class PixelSet:
    """A way to choose pixels.

    Attributes:
        choose: the pixels of each image; of a signed set 1 for those that count for the class, -1 for those that count
            against it, and 0 for all others.
        needs_masks: whether it looks at the true classes.
        takes: the field of `Target` that means something to it, if any.
    """

    choose: Callable[[DenseOutput], Bool[Tensor, "b h w"] | Int8[Tensor, "b h w"]]
    needs_masks: bool = False
    takes: Parameter | None = None

    @property
    def needs(self) -> bool:
        """Whether the field must be given: what has no default."""
        return self.takes in ("point", "other")


def best_pixel(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the one pixel with the highest logit of the class (the paper's choice); of equals, the first in rows."""
    scores = logit(output)
    if output.covered is not None:
        scores = scores.masked_fill(~output.covered, -torch.inf)
    scores = scores.flatten(1)
    pixels = torch.zeros_like(scores, dtype=torch.bool)
    return pixels.scatter_(1, scores.argmax(1, keepdim=True), 1).view(-1, *output.logits.shape[2:])


def truth(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the pixels that belong to the class in truth; none where the image does not show it.

    Ignored pixels belong to no class. Where the logits have another resolution than the masks, the class has those
    pixels of theirs of which it covers more than half; what is thinner than that is lost.
    """
    return within(mostly(true_pixels(output), output), output)


def hit(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the pixels that are predicted as the class and belong to it in truth."""
    return predicted(output) & truth(output)


def false_positive(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the pixels that are predicted as the class and belong to another one in truth; ignored ones do not."""
    assert output.masks is not None  # the target sees to it
    beside = ~true_pixels(output) & (output.masks != IGNORE)
    return predicted(output) & mostly(beside, output)


def false_negative(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the pixels that belong to the class in truth and are not predicted as it."""
    return truth(output) & ~predicted(output)


def rejection(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the pixels beside the class that are rightly not predicted as it.

    They belong to another class in truth, and at most `reach` steps, diagonal ones included, lead to a pixel that is
    predicted as the class or belongs to it: where errors lie, so that these can be compared with what is right there.
    """
    assert output.masks is not None  # the target sees to it
    beside = ~true_pixels(output) & (output.masks != IGNORE)
    close = _near(predicted(output) | truth(output), reach(output.grid))
    return within(~predicted(output) & close, output) & mostly(beside, output)


def boundary(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose the predicted pixels within d of the predicted outline.

    Those are the predicted pixels from which at most d steps, diagonal ones included, lead to a pixel that is not.
    The frame of the image, or of what of it is a picture, is no outline: where every pixel is predicted as the class,
    or none, the set is empty. d is the target's `distance`; unless told, 2 % of the diagonal, rounded, and at least 1:
    4 for 128 x 128 pixels, 7 for 256 x 256. The outline's definition and the 2 % are those of Cheng et al., CVPR 2021
    (Boundary IoU).
    """
    inside = predicted(output)
    distance = output.distance or reach(output.grid)
    return inside & _near(within(~inside, output), distance)


def border(output: DenseOutput) -> Int8[Tensor, "b h w"]:
    """Choose the border between the class and the target's `other`: 1 on the class's side, -1 on the other's.

    Those are the pixels predicted as one of the two that touch, corners included, a pixel predicted as the other. Where
    the two regions do not touch the set is empty. As the sides count with opposite signs, what is explained is how
    sharply the network parts them there. After `get_common_border` of Xplique.
    """
    assert output.other is not None  # the target sees to it
    one, two = predicted(output), predicted(replace(output, class_ids=output.other))
    one, two = one & ~two, two & ~one  # overlapping classes share pixels, which are on neither side
    return (one & _near(two, 1)).to(torch.int8) - (two & _near(one, 1)).to(torch.int8)


def image(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose all pixels."""
    return within(torch.ones_like(output.logits[:, 0], dtype=torch.bool), output)


def reach(size: Grid) -> int:
    """Return the default d of `boundary`, in pixels, for an output of this size."""
    return max(1, round(WIDTH * math.hypot(*size)))


def _near(pixels: Bool[Tensor, "b h w"], distance: int) -> Bool[Tensor, "b h w"]:
    """Return what lies at most so many steps from the pixels, diagonal ones included; they themselves too."""
    spread = pixels.float()
    for kernel, padding in (((2 * distance + 1, 1), (distance, 0)), ((1, 2 * distance + 1), (0, distance))):
        spread = F.max_pool2d(spread, kernel, stride=1, padding=padding)
    return spread > 0


PIXEL_SETS: dict[str, PixelSet] = {
    "best_pixel": PixelSet(best_pixel),
    "predicted": PixelSet(predicted),
    "truth": PixelSet(truth, needs_masks=True),
    "boundary": PixelSet(boundary, takes="distance"),
    "image": PixelSet(image),
    "hit": PixelSet(hit, needs_masks=True),
    "false_positive": PixelSet(false_positive, needs_masks=True),
    "false_negative": PixelSet(false_negative, needs_masks=True),
    "rejection": PixelSet(rejection, needs_masks=True),
    "border": PixelSet(border, takes="other"),
    "instance": PixelSet(instances.instance, takes="point"),
    "largest": PixelSet(instances.largest),
    "smallest": PixelSet(instances.smallest),
    "instance_truth": PixelSet(instances.instance_truth, needs_masks=True, takes="point"),
    "largest_truth": PixelSet(instances.largest_truth, needs_masks=True),
    "smallest_truth": PixelSet(instances.smallest_truth, needs_masks=True),
}
