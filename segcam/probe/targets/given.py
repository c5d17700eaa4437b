"""Given: classes, masks, valid regions and logits as a target needs them for a batch, or refused."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.arrays import tensor
from segcam.classes import Classes, members
from segcam.errors import NotFiniteError, ProbeError
from segcam.probe.targets.dense import ClassIndices, cell_shares, membership
from segcam.scoring.grids import Grid, Placement


def class_indices(
    given: Classes | tuple[Classes, ...], logits: Float[Tensor, "b k h w"], *, overlapping: bool
) -> ClassIndices:
    """Return the class of each image; where one is asked about a set, the classes of each.

    Raises:
        ProbeError: there are classes for another number of images, one does not exist, or a set holds all.
    """
    batch, classes = logits.shape[:2]
    found = indices_of(given, batch).to(logits.device)
    outside = found[(found < 0) | (found >= classes)]
    if len(outside):
        raise ProbeError(
            f"the target's class {int(outside[0])} does not exist: the network has classes 0 to {classes - 1}"
        )
    if found.ndim > 1 and not overlapping and bool(membership(found, classes).all(1).any()):
        raise ProbeError(
            f"the target's set holds all {classes} classes, of which one holds at every pixel: leave one out"
        )
    return found


def indices_of(given: Classes | tuple[Classes, ...], images: int) -> ClassIndices:
    """Return the class of each image, whatever there are; where one is asked about a set, the classes of each.

    Raises:
        ProbeError: there are classes for another number of images, or one is a name.
    """
    of_images = given if isinstance(given, tuple) else (given,) * images
    if len(of_images) != images:
        raise ProbeError(f"the target names {len(of_images)} classes for {images} images: give one, or one an image")
    ids = [members(one) for one in of_images]
    for one in (one for several in ids for one in several):
        if isinstance(one, str):
            raise ProbeError(f"class {one!r} is a name: give its index, or probe with Probe(..., classes=[...])")
    most = max(map(len, ids))
    rows = [one[0] if most == 1 else (*one, *[one[0]] * (most - len(one))) for one in ids]
    return torch.tensor(rows)


def true_classes(masks: Int[Tensor, "b H W"] | None, of: str, images: int, size: Grid) -> Int[Tensor, "b H W"]:
    """Return masks as the target named `of` needs them.

    Raises:
        ProbeError: there are none, or they are of another kind or size.
    """
    if masks is None:
        raise ProbeError(f"target '{of}' looks at the true classes: pass masks=batch.masks, class indices (b, h, w)")
    shape, labels = (images, *size), tensor(masks, "masks")
    if tuple(labels.shape) != shape or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ProbeError(
            f"masks are {labels.dtype} {tuple(labels.shape)}: target '{of}' needs class indices of an "
            f"integer type, 255 to ignore, at the input's resolution, {shape}"
        )
    return labels.long()


def valid_cells(
    valid: Bool[Tensor, "b H W"], images: int, size: Grid, grid: Grid, placement: Placement | None
) -> Bool[Tensor, "b h w"]:
    """Return the cells of a grid that belong to the picture: those of which it fills half, or most where it is thin.

    Raises:
        ProbeError: the regions are of another kind or size.
    """
    shape = (images, *size)
    if tuple(valid.shape) != shape:
        raise ProbeError(f"valid regions are {tuple(valid.shape)}: {shape}, True where the picture is, is needed")
    if grid == size:
        return valid
    share = cell_shares(valid, grid, placement)
    return share >= share.amax((1, 2), keepdim=True).clamp(max=0.5)  # a thin picture fills half of no pixel


def check_finite(logits: Float[Tensor, "b k h w"]) -> None:
    """Refuse logits that are not finite.

    Raises:
        NotFiniteError: one is not.
    """
    if not bool(torch.isfinite(logits).all()):
        raise NotFiniteError("the network's logits are not finite: its weights or the input hold NaN or infinity")
