"""Explained: what a target chose in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from segcam.probe.targets.dense import ClassIndices


@dataclass(frozen=True, slots=True)
class Explained:
    """What a target chose in a batch.

    Attributes:
        scores: the number differentiated for each image, `(b,)`; 0 where the set is empty.
        chosen: the pixel set, `(b, h, w)`.
        pixels: its size, `(b,)`; where it is 0 the image's maps are undefined.
        predicted: whether the class is predicted at any pixel of the set, `(b,)`.
        class_ids: the class explained in each image, `(b,)`; of sets that count as one class their classes, `(b, n)`,
            some of them repeated.
        signs: for sets whose pixels count for and against the class, 1 and -1 there and 0 elsewhere, `(b, h, w)`; None
            where all chosen pixels count alike.
    """

    scores: Float[Tensor, " b"]
    chosen: Bool[Tensor, "b h w"]
    pixels: Int[Tensor, " b"]
    predicted: Bool[Tensor, " b"]
    class_ids: ClassIndices
    signs: Int8[Tensor, "b h w"] | None = None

    @property
    def weights(self) -> Bool[Tensor, "b h w"] | Int8[Tensor, "b h w"]:
        """How each pixel counts: what `Target.score_again` takes."""
        return self.chosen if self.signs is None else self.signs

    def of(self, rows: slice | Sequence[int] | Int[Tensor, " n"]) -> Explained:
        """Return what was chosen in some images of the batch, or in copies of them."""
        signs = None if self.signs is None else self.signs[rows]
        scores, chosen, pixels = self.scores[rows], self.chosen[rows], self.pixels[rows]
        return Explained(scores, chosen, pixels, self.predicted[rows], self.class_ids[rows], signs)
