"""Explained: what a target chose in a batch."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


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
