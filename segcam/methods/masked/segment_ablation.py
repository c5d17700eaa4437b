"""Segment ablation: how much the score falls when a region of the image is covered."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.methods import method
from segcam.methods.material.passes import numbered, score_masked
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.methods.material.superpixels import superpixels
from segcam.probe.layers import Layer

SEGMENTS = 50


def _passes(parameters: Mapping[str, bool | int | float | str]) -> int:
    return int(parameters["segments"]) + 1


@method(
    "run",
    label="Segment ablation",
    family="perturbation",
    scope="input",
    signed=True,
    needs_gradients=False,
    passes=_passes,
    least={"segments": 2},
)
def segment_ablation(subject: Subject, _layer: Layer, segments: int = SEGMENTS) -> Float[Tensor, "b H W"]:
    """Fall of the score when a superpixel is covered with the mean colour; signed.

    `S = y - y_r` on each pixel of region r, `y` the score of the image and `y_r` that with r set to the input's zero,
    the mean colour under the usual normalisation. There are about `segments` superpixels. It is captum's
    `FeatureAblation` on the same regions, without captum, in batches of all images.

    Returns:
        `S` on the input's pixels, `(b, H, W)`, signed, in the units of the score; NaN for images whose pixel set is
        empty.

    Raises:
        InputError: fewer than 2 regions are asked for.

    Source: Zeiler and Fergus, ECCV 2014, section 4.2, with regions for windows; Achanta et al., TPAMI 2012 (SLIC).
    """
    regions = subject.once(f"superpixels {segments}", lambda: superpixels(subject.images, segments))
    covered = numbered(subject, int(regions.amax()) + 2)  # the first choice covers nothing

    def masks(images: Int[Tensor, " n"], numbers: Int[Tensor, " n"]) -> Float[Tensor, "n H W"]:
        return (regions[images] != (numbers - 1)[:, None, None]).to(torch.float32)

    scores = score_masked(subject, covered, masks)
    falls = scores[:, :1] - scores[:, 1:]
    return undefined_where_empty(falls.gather(1, regions.flatten(1)).view(regions.shape), subject)
