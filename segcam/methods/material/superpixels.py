"""Superpixels: connected regions of similar colour, by SLIC."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.arrays import real
from segcam.errors import InputError

COMPACTNESS = 10.0
"""How much places count against colours: scikit-image's default, on colours scaled to 0..1."""
TRIES = 6


def superpixels(images: Float[Tensor, "b ch h w"], segments: int) -> Int[Tensor, "b h w"]:
    """Divide images into connected regions of similar colour.

    Three channels are taken for RGB and compared in the Lab colour space, others as they are. Images may be normalised
    for a network: each is scaled to 0..1 by its own extremes. Where noise makes regions fall to pieces, so that less
    than half as many as asked for are left once the pieces are merged, places count ten times as much, and so on.

    Args:
        images: the images, any floating-point dtype.
        segments: about how many regions; SLIC starts from a grid of them and merges small ones with others.

    Returns:
        Each pixel's region, numbered from 0 without gaps in each image, on the images' device. The numbers of regions
        may differ between images; a plain image is divided into the grid's cells.

    Raises:
        InputError: fewer than 2 regions are asked for.

    Source: Achanta et al., SLIC Superpixels, TPAMI 2012, algorithm 1, as in scikit-image.
    """
    if segments < 2:
        raise InputError(f"an image is to be divided into {segments} superpixels: ask for 2 or more")
    images = real(images, "images")
    if images.ndim != 4 or 0 in images.shape or not bool(images.isfinite().all()):
        raise InputError(f"images are {tuple(images.shape)}: (b, channels, h, w), all finite, are needed")
    regions = []
    for image in images.detach().double().cpu().permute(0, 2, 3, 1).contiguous().numpy():
        low, high = float(image.min()), float(image.max())
        scaled = (image - low) / (high - low) if high > low else np.zeros_like(image)
        regions.append(_regions(scaled, segments))
    return torch.from_numpy(np.stack(regions)).long().to(images.device)


def _regions(image: npt.NDArray[np.float64], segments: int) -> npt.NDArray[np.int64]:
    """Divide one image `(h, w, ch)` with values in 0..1."""
    from skimage.segmentation import slic  # noqa: PLC0415  (slow to import)

    labels = np.zeros(image.shape[:2], np.int64)
    for attempt in range(TRIES):
        if 2 * len(np.unique(labels)) >= segments and attempt:
            break
        labels = slic(
            image,
            n_segments=segments,
            compactness=COMPACTNESS * 10**attempt,
            channel_axis=-1,
            convert2lab=image.shape[-1] == 3,
            enforce_connectivity=True,
            start_label=0,
        )
    return labels
