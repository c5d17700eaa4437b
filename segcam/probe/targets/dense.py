"""Dense outputs: logits at the resolution at which a target looks, and what pixels and scores are read off them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segcam.scoring.grids import Grid, Placement, to_grid

ClassIndices: TypeAlias = Int[Tensor, "b ..."]
"""The class of each image, `(b,)`; of sets that count as one class their classes, `(b, n)`, some of them repeated."""


@dataclass(frozen=True, eq=False, slots=True)
class DenseOutput:
    """What pixels are chosen from, and scored.

    Attributes:
        logits: `(b, k, h, w)`, at the resolution at which the target looks; two classes or more.
        class_ids: the class explained in each image, `(b,)`, or the classes that count as one, `(b, n)`.
        masks: the true class of each pixel of the input, `(b, H, W)`; None where there are none.
        distance: in pixels of the logits, for sets that take one; None for their default.
        odds: whether the score of a class is its log-odds: where the logits were made of probabilities, which leave a
            number shared by all classes open, and where one logit stands for two classes.
        overlapping: whether each class stands against its own 0, so that a pixel may have several.
        covered: the pixels that the network speaks of and that belong to the picture, `(h, w)` or `(b, h, w)`; None
            for all. Others are in no set.
        placement: where the logits' cells lie on the input; None where they span it.
        point: row and column of the input, for sets that take one.
        other: the other class, as `class_ids`, for what compares two.
        size: rows and columns of the input.
        true_ids: the class explained as masks have it, as `class_ids`; None where they have the network's classes.
    """

    logits: Float[Tensor, "b k h w"]
    class_ids: ClassIndices
    masks: Int[Tensor, "b H W"] | None = None
    distance: int | None = None
    odds: bool = False
    overlapping: bool = False
    covered: Bool[Tensor, "*b h w"] | None = None
    placement: Placement | None = None
    point: tuple[int, int] | None = None
    other: ClassIndices | None = None
    size: Grid | None = None
    true_ids: ClassIndices | None = None

    @property
    def grid(self) -> Grid:
        """Rows and columns of the logits."""
        return int(self.logits.shape[2]), int(self.logits.shape[3])


def of_class(output: DenseOutput, class_ids: ClassIndices | None = None) -> Float[Tensor, "b h w"]:
    """Return the logits of the class; of a set the logarithm of the sum of their exponentials."""
    ids = output.class_ids if class_ids is None else class_ids
    if ids.ndim == 1:
        return output.logits[torch.arange(len(output.logits), device=output.logits.device), ids]
    inside = membership(ids, output.logits.shape[1])[:, :, None, None]
    return output.logits.masked_fill(~inside, -torch.inf).logsumexp(1)


def others(output: DenseOutput) -> Float[Tensor, "b k h w"]:
    """Return the logits with minus infinity for the class, or for all of a set."""
    inside = membership(output.class_ids, output.logits.shape[1])
    return output.logits.masked_fill(inside[:, :, None, None], -torch.inf)


def membership(class_ids: ClassIndices, classes: int) -> Bool[Tensor, "b k"]:
    """Return which classes each image is asked about."""
    found = F.one_hot(class_ids, classes).bool()
    return found if class_ids.ndim == 1 else found.any(1)


def true_pixels(output: DenseOutput) -> Bool[Tensor, "b H W"]:
    """Return the pixels of the input that belong to the class, or to any class of a set, in truth."""
    assert output.masks is not None  # the target sees to it
    ids = output.class_ids if output.true_ids is None else output.true_ids
    if ids.ndim == 1:
        return output.masks == ids.view(-1, 1, 1)
    return (output.masks[:, None] == ids[:, :, None, None]).any(1)


def share(pixels: Bool[Tensor, "b H W"], output: DenseOutput) -> Float[Tensor, "b h w"]:
    """Return the share of each of the logits' cells that pixels of the input cover, 0..1."""
    return cell_shares(pixels, output.grid, output.placement)


def cell_shares(pixels: Bool[Tensor, "b H W"], grid: Grid, placement: Placement | None) -> Float[Tensor, "b h w"]:
    """Return the share of each cell of a grid that pixels of the input cover, 0..1.

    Of a grid that lies in the input's middle the outermost cells end where their own area does.
    """
    fields = pixels[:, None].double()
    if placement is None:
        return to_grid(fields, grid)[:, 0]
    covered = placement.covered(grid, (int(pixels.shape[1]), int(pixels.shape[2]))).to(pixels.device)
    rows, columns = covered.any(1), covered.any(0)
    first = int(rows.int().argmax()), int(columns.int().argmax())
    moved = Placement((placement.origin[0] - first[0], placement.origin[1] - first[1]), placement.step)
    return to_grid(fields[:, :, rows][:, :, :, columns], grid, moved)[:, 0]


def mostly(pixels: Bool[Tensor, "b H W"], output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Return pixels of the input at the logits' resolution: cells of which they cover more than half."""
    return pixels if pixels.shape[1:] == output.grid and output.placement is None else share(pixels, output) > 0.5


def of_region(pixels: Bool[Tensor, "b H W"], output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Return a region of the input at the logits' resolution: `mostly`, or where that is none what it covers most."""
    if pixels.shape[1:] == output.grid and output.placement is None:
        return within(pixels, output)
    covered = share(pixels, output)
    most = covered.amax((1, 2), keepdim=True)
    cells = torch.where(most > 0.5, covered > 0.5, covered >= most - 1e-9) & (covered > 0)
    return within(cells, output)


def within(pixels: Bool[Tensor, "b h w"], output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Return those of the pixels that the network speaks of and that belong to the picture."""
    return pixels if output.covered is None else pixels & output.covered


def predicted(output: DenseOutput) -> Bool[Tensor, "b h w"]:
    """Choose all pixels predicted as the class (Seg-Grad-CAM, Vinogradova et al. 2020); possibly none.

    That is where its logit is the largest; of overlapping classes, where its own is above 0. A set of classes is
    predicted where any of them is.
    """
    ids = output.class_ids
    if output.overlapping:
        if ids.ndim == 1:
            return within(of_class(output) > 0, output)
        inside = membership(ids, output.logits.shape[1])[:, :, None, None]
        return within(((output.logits > 0) & inside).any(1), output)
    largest = output.logits.max(1).indices  # as argmax, and many times faster where the classes do not lie last
    if ids.ndim == 1:
        return within(largest == ids.view(-1, 1, 1), output)
    return within((largest[:, None] == ids[:, :, None, None]).any(1), output)


def two_sided(logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k2 h w"]:
    """Return the logits of all classes: a single channel is that of class 1 against 0 for class 0."""
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)
