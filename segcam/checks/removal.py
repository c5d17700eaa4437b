"""What removing regions of an image does to the score of fixed pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import at_least_float32, booleans
from segcam.checks.faithfulness.imputation import Filler, filler
from segcam.checks.faithfulness.outcomes import BATCH
from segcam.errors import InputError
from segcam.methods.material.subject import examining
from segcam.probe.probe import Capture, Probe
from segcam.scoring.reference import Box, Scenery

IMPUTATION = "mean"
"""What takes the place of a region unless told otherwise: a blur leaves of a large region what it looks like."""


def score_changes(
    probe: Probe,
    images: Float[Tensor, "b ch H W"],
    capture: Capture,
    regions: Bool[Tensor, "b k H W"],
    scenery: Scenery,
    *,
    imputation: str = IMPUTATION,
    batch_size: int = BATCH,
) -> Float[Tensor, "b k"]:
    """Return how the score changes when each region is removed, relative to the score: segment ablation of regions.

    `(y_R - y) / |y|` with `y` the target's score of the image as it is and `y_R` that of the image with something else
    in the place of region R. The pixels whose score it is stay those that were chosen in the unchanged image. Negative:
    the region speaks for the class, and -1 means that the score falls to 0; positive: it spoke against it.

    Args:
        probe: network and layers.
        images: its input, as they were probed.
        capture: what the probe gave for them.
        regions: `k` regions of each image's pixels; a region may be empty.
        scenery: the images' names, which fix the noise, and where they are padded: what takes a region's place is made
            of the picture alone.
        imputation: what takes its place: 'mean' (the picture's mean colour), 'blur' or 'noisy_linear', see
            `segcam.checks.faithfulness.filler`.
        batch_size: changed images that the network gets at once.

    Returns:
        Relative changes; NaN where the region is empty, where the target chose no pixel, and where the score is 0.

    Raises:
        InputError: the imputation is unknown, or the regions are not of the images.
        NotApplicableError: the network takes more than the images.

    Source: Zeiler and Fergus, ECCV 2014, section 4.2, with regions for windows.
    """
    gone = booleans(regions, "regions").to(images.device)
    if gone.ndim != 4 or len(gone) != len(images) or gone.shape[2:] != images.shape[2:]:
        raise InputError(f"regions are {tuple(gone.shape)} for images {tuple(images.shape)}: (b, k, H, W) are needed")
    with examining(probe, images, capture, scenery) as subject, torch.no_grad():
        pixels, class_ids = subject.extra
        fill = _within(subject.images, scenery, imputation)

        def scored(changed: Tensor, rows: Tensor) -> Tensor:
            return at_least_float32(subject.objective(changed, pixels[rows], class_ids[rows]))

        every = torch.arange(len(images), device=images.device)
        before = torch.cat([scored(subject.images[rows], rows) for rows in torch.split(every, batch_size)])
        asked = gone.flatten(2).any(2) & (capture.target_pixels > 0)[:, None]
        after = before.new_full(asked.shape, torch.nan)
        for some in torch.split(asked.nonzero(), batch_size):
            rows, which = some.unbind(1)
            after[rows, which] = scored(fill(rows, gone[rows, which]), rows)
    changes = (after - before[:, None]) / before.abs()[:, None]
    return changes.masked_fill((before == 0)[:, None], torch.nan)


def _within(images: Float[Tensor, "b ch H W"], scenery: Scenery, imputation: str) -> Filler:
    """Return what fills pictures with what is made of them alone, and not of the padding around them."""
    whole = filler(images, scenery.ids, imputation, scenery.seed)  # the name is checked here, too
    if scenery.valid is None:
        return whole
    groups: dict[Box, list[int]] = {}
    for i, box in enumerate(scenery.boxes):
        groups.setdefault(box, []).append(i)
    fillers: list[tuple[Box, Filler]] = []
    place = torch.empty(len(images), 2, dtype=torch.long)
    for number, (box, members) in enumerate(groups.items()):
        top, bottom, left, right = box
        names: Sequence[str] = [scenery.ids[i] for i in members]
        fillers.append((box, filler(images[members][..., top:bottom, left:right], names, imputation, scenery.seed)))
        for n, i in enumerate(members):
            place[i] = torch.tensor([number, n])

    def fill(rows: Tensor, gone: Bool[Tensor, "n H W"]) -> Float[Tensor, "n ch H W"]:
        filled = images[rows].clone()
        for n, row in enumerate(rows.tolist()):
            (top, bottom, left, right), make = fillers[int(place[row, 0])]
            cut = gone[n, top:bottom, left:right]
            filled[n, :, top:bottom, left:right] = make(place[row, 1:].to(rows.device), cut[None])[0]
        return filled

    return fill
