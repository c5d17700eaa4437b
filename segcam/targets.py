"""Target: which pixels, and which score of them, an explanation is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.errors import ProbeError, unknown

PixelSet = Callable[[Float[Tensor, "b k h w"], Int[Tensor, " b"]], Bool[Tensor, "b h w"]]
ScoreMap = Callable[[Float[Tensor, "b k h w"], Int[Tensor, " b"]], Float[Tensor, "b h w"]]


def _of_class(logits: Float[Tensor, "b k h w"], class_ids: Int[Tensor, " b"]) -> Float[Tensor, "b h w"]:
    return logits[torch.arange(len(logits), device=logits.device), class_ids]


def best_pixel(logits: Float[Tensor, "b k h w"], class_ids: Int[Tensor, " b"]) -> Bool[Tensor, "b h w"]:
    """Choose the one pixel with the highest logit of the class (the paper's choice); of equals, the first in rows."""
    scores = _of_class(logits, class_ids).flatten(1)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    return chosen.scatter_(1, scores.argmax(1, keepdim=True), 1).view(-1, *logits.shape[2:])


def predicted(logits: Float[Tensor, "b k h w"], class_ids: Int[Tensor, " b"]) -> Bool[Tensor, "b h w"]:
    """Choose all pixels predicted as the class (Seg-Grad-CAM, Vinogradova et al. 2020); possibly none."""
    return logits.argmax(1) == class_ids.view(-1, 1, 1)


def logit(logits: Float[Tensor, "b k h w"], class_ids: Int[Tensor, " b"]) -> Float[Tensor, "b h w"]:
    """Score a pixel by the class logit, before softmax (the paper's choice)."""
    return _of_class(logits, class_ids)


def margin(logits: Float[Tensor, "b k h w"], class_ids: Int[Tensor, " b"]) -> Float[Tensor, "b h w"]:
    """Score a pixel by the class logit minus the best other one, which softmax identifies and the logit alone not."""
    own = F.one_hot(class_ids, logits.shape[1]).bool()[:, :, None, None]
    return _of_class(logits, class_ids) - logits.masked_fill(own, -torch.inf).amax(1)


PIXEL_SETS: dict[str, PixelSet] = {"best_pixel": best_pixel, "predicted": predicted}
SCORES: dict[str, ScoreMap] = {"logit": logit, "margin": margin}


@dataclass(frozen=True, slots=True)
class Target:
    """A set of pixels x a score: what is differentiated.

    The mean of the score over the set is taken, not the sum, so that its scale does not depend on the set's size.

    Attributes:
        class_id: the class explained, one for all images or one for each.
        pixels: name of the pixel set: 'best_pixel' or 'predicted'.
        score: name of the score: 'logit' or 'margin'.
        at: where pixels are chosen and scored: on the logits upsampled bilinearly to the input ('input', as the
            paper's figure does) or at the network's own output resolution ('output'). They give different pixels.
    """

    class_id: int | tuple[int, ...] = 1
    pixels: str = "best_pixel"
    score: str = "logit"
    at: Literal["input", "output"] = "input"

    def __post_init__(self) -> None:
        if self.pixels not in PIXEL_SETS:
            raise unknown("pixel set", self.pixels, PIXEL_SETS)
        if self.score not in SCORES:
            raise unknown("score", self.score, SCORES)

    @property
    def name(self) -> str:
        """Return the name in tables: pixel set and score, such as 'best_pixel:logit'."""
        return f"{self.pixels}:{self.score}" + ("" if self.at == "input" else "@output")

    @classmethod
    def parse(cls, name: str, class_id: int | tuple[int, ...] = 1) -> Target:
        """Read a target from its name: 'predicted', 'predicted:margin' or 'best_pixel:logit@output'.

        Raises:
            InputError: the pixel set, the score or the place is unknown.
        """
        rest, _, at = name.partition("@")
        pixels, _, score = rest.partition(":")
        if at not in ("", "input", "output"):
            raise unknown("resolution of a target", at, ("input", "output"))
        return cls(class_id, pixels, score or "logit", "output" if at == "output" else "input")

    def explain(self, logits: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Explained:
        """Choose the pixels and score them.

        Args:
            logits: the network's output; a single channel is read as the logit of class 1 against 0 for class 0.
            size: height and width of the input, in pixels.

        Raises:
            ProbeError: the class does not exist, or the logits are not finite.
        """
        logits = self._readable(logits, size)
        class_ids = self._class_ids(logits)
        with torch.no_grad():
            if not bool(torch.isfinite(logits).all()):
                raise ProbeError("the network's logits are not finite: its weights or the input hold NaN or infinity")
            chosen = PIXEL_SETS[self.pixels](logits, class_ids)
            hits = (chosen & predicted(logits, class_ids)).flatten(1).any(1)
        return Explained(self._mean(logits, chosen, class_ids), chosen, chosen.flatten(1).sum(1), hits, class_ids)

    def score_again(
        self,
        logits: Float[Tensor, "b k h w"],
        size: tuple[int, int],
        chosen: Bool[Tensor, "b H W"],
        class_ids: Int[Tensor, " b"],
    ) -> Float[Tensor, " b"]:
        """Score pixels that were chosen before, on the logits of changed images or of a changed network.

        Args:
            logits: the network's output.
            size: height and width of the input, in pixels.
            chosen: the pixels, `Explained.chosen` of the unchanged images.
            class_ids: their classes, `Explained.class_ids`.

        Returns:
            The mean score over each set; 0 where it is empty.
        """
        return self._mean(self._readable(logits, size), chosen, class_ids)

    def _readable(self, logits: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b k2 H W"]:
        logits = _two_sided(at_least_float32(logits))
        if self.at == "input" and logits.shape[2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits

    def _mean(
        self, logits: Float[Tensor, "b k h w"], chosen: Bool[Tensor, "b h w"], class_ids: Int[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        weights = chosen / chosen.flatten(1).sum(1).clamp(min=1).view(-1, 1, 1)
        return (SCORES[self.score](logits, class_ids) * weights).flatten(1).sum(1)

    def _class_ids(self, logits: Float[Tensor, "b k h w"]) -> Int[Tensor, " b"]:
        batch, classes = logits.shape[:2]
        ids = (self.class_id,) * batch if isinstance(self.class_id, int) else self.class_id
        if len(ids) != batch:
            raise ProbeError(f"the target names {len(ids)} classes for {batch} images: give one, or one an image")
        bad = [i for i in ids if not 0 <= i < classes]
        if bad:
            raise ProbeError(f"the target's class {bad[0]} does not exist: the network has classes 0 to {classes - 1}")
        return torch.tensor(ids, device=logits.device)


def at_least_float32(values: Tensor) -> Tensor:
    """Return the values in float32, or as they are in float64."""
    return values if values.dtype == torch.float64 else values.float()


def _two_sided(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k2 h w"]:
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


@dataclass(frozen=True, slots=True)
class Explained:
    """What a target chose in a batch.

    Attributes:
        scores: the number differentiated for each image, `(b,)`; 0 where the set is empty.
        chosen: the pixel set, `(b, h, w)`.
        pixels: its size, `(b,)`; where it is 0 the image's maps are undefined.
        predicted: whether the class is predicted at any pixel of the set, `(b,)`.
        class_ids: the class explained in each image, `(b,)`.
    """

    scores: Float[Tensor, " b"]
    chosen: Bool[Tensor, "b h w"]
    pixels: Int[Tensor, " b"]
    predicted: Bool[Tensor, " b"]
    class_ids: Int[Tensor, " b"]
