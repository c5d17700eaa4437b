"""Infidelity and sensitivity-n: whether a map's sums foretell what random parts of the image are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.checks.faithfulness.imputation import filler
from segcam.checks.faithfulness.orders import stacked, undefined
from segcam.checks.faithfulness.outcomes import BATCH, Subjects, measured
from segcam.errors import InputError
from segcam.scoring.grids import Grid, Placement, pull_back
from segcam.streams import generators


@dataclass(frozen=True, eq=False)
class Subsets:
    """What taking random sets of tiles away costs; the same for every map, so it is measured once.

    Attributes:
        gone: the pixels taken away, `(b, k, H, W)`.
        shares: the share of tiles in each set, `(k,)`.
        drops: by how much the mean class probability over the fixed set falls, `(b, k)`; NaN where it is empty.
    """

    gone: Bool[Tensor, "b k H W"]
    shares: Float[Tensor, " k"]
    drops: Float[Tensor, "b k"]

    @classmethod
    def draw(
        cls,
        subjects: Subjects,
        *,
        shares: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
        samples: int = 25,
        tiles: int = 16,
        imputation: str = "blur",
        batch_size: int = BATCH,
        seed: int = 0,
    ) -> Subsets:
        """Take sets of tiles away and measure.

        Args:
            subjects: network, images and sets.
            shares: the shares of tiles in a set.
            samples: sets of each share, drawn for each image by its name and the seed.
            tiles: tiles along each side.
            imputation: what stands in the place of tiles gone.
            batch_size: changed images that the network gets at once.
            seed: of the choice.

        Raises:
            InputError: a share is not between 0 and 1, there are fewer than three samples, of which no correlation
                could be had, or more tiles than pixels.
        """
        if samples < 3 or not all(0 < share < 1 for share in shares):
            raise InputError(f"{samples} samples of shares {tuple(shares)}: at least 3 of shares in 0..1 are needed")
        size = (int(subjects.chosen.shape[1]), int(subjects.chosen.shape[2]))
        if not 0 < tiles <= min(size):
            raise InputError(f"{tiles} tiles along a side of {min(size)} pixels: take from 1 to {min(size)}")
        b, k = len(subjects.images), samples * len(shares)
        every = torch.tensor([share for share in shares for _ in range(samples)], dtype=torch.float64)
        drawn = np.stack([_sets(rng, every.numpy(), tiles) for rng in generators(subjects.ids, seed, "subsets")])
        gone = _enlarged(torch.from_numpy(drawn), size).to(subjects.images.device)
        fill = filler(subjects.images, subjects.ids, imputation, seed)
        predicted = (~subjects.empty).nonzero()[:, 0]

        def make(numbers: Tensor) -> tuple[Tensor, Tensor]:
            image, which = predicted[numbers // k], numbers % k
            return fill(image, gone[image, which]), image

        left = measured(subjects, len(predicted) * k, make, batch_size)[:, 0]
        drops = left.new_full((b, k), torch.nan)
        drops[predicted] = subjects.unchanged[predicted, :1] - left.view(-1, k)
        return cls(gone, every.to(gone.device), drops)


def infidelity(
    maps: Float[Tensor, "b m h w"], subsets: Subsets, placement: Placement | None = None
) -> Float[Tensor, "b m"]:
    """Return how far the map's sums over random sets are from what the sets are worth.

    `min_(beta >= 0) E[(beta sum_S L - drop(S))^2] / E[drop(S)^2]`, with L upsampled to the image and S a set of pixels:
    the unit of a map is free, so the best scale is taken, not a negative one, and the error is given as a share of what
    a map of zeros would leave. `placement` says where the grid lies on the images; None where it spans them.

    Returns:
        0 where sums foretell all drops, 1 where they foretell nothing. NaN for a blank or undefined map, where
        nothing is predicted, and where no set costs anything.

    Source: Yeh et al., NeurIPS 2019, definition 2.1, with sets of pixels as the perturbation; the scaling follows the
    authors' experiments.
    """
    maps = stacked(maps, len(subsets.drops))
    sums, drops = _sums(maps, subsets, placement), subsets.drops[:, None].double()
    beta = ((sums * drops).mean(2) / sums.square().mean(2)).clamp(min=0)
    error = (beta[..., None] * sums - drops).square().mean(2) / drops.square().mean(2)
    return error.clamp(0, 1).to(maps.dtype)


def sensitivity_n(
    maps: Float[Tensor, "b m h w"], subsets: Subsets, placement: Placement | None = None
) -> Float[Tensor, "b m"]:
    """Return the Pearson correlation of the map's sums over random sets with what they are worth.

    One correlation over the sets of each share, and their mean. `placement` says where the grid lies on the images;
    None where it spans them.

    Returns:
        -1..1, 1 best. NaN for a blank, undefined or constant map, where nothing is predicted, and where all sets of
        a share cost the same.

    Source: Ancona et al., ICLR 2018, section 4 (sensitivity-n).
    """
    maps = stacked(maps, len(subsets.drops))
    sums, drops = _sums(maps, subsets, placement), subsets.drops[:, None].double()
    correlations = []
    for share in sorted(set(subsets.shares.tolist())):
        of_share = subsets.shares == share
        a, b = (x[..., of_share] - x[..., of_share].mean(-1, keepdim=True) for x in (sums, drops))
        spread = a.square().sum(2).sqrt()
        constant = spread <= 1e-9 * sums[..., of_share].abs().amax(2)
        correlations.append(((a * b).sum(2) / (spread * b.square().sum(2).sqrt())).masked_fill(constant, torch.nan))
    return torch.stack(correlations).mean(0).clamp(-1, 1).to(maps.dtype)


def _sums(maps: Float[Tensor, "b m h w"], subsets: Subsets, placement: Placement | None) -> Float[Tensor, "b m k"]:
    """Return the sums of the upsampled maps over each set, exactly, on the grid; maps are scaled to maximum 1."""
    cells = maps.double()
    cells = (cells / cells.abs().amax((2, 3), keepdim=True)).masked_fill(undefined(maps)[..., None, None], torch.nan)
    grid = (int(maps.shape[-2]), int(maps.shape[-1]))
    weights = pull_back(subsets.gone.double(), grid, placement)
    return torch.einsum("bmhw,bkhw->bmk", cells, weights)


def _sets(rng: np.random.Generator, shares: npt.NDArray[np.float64], tiles: int) -> npt.NDArray[np.bool_]:
    n = tiles * tiles
    sets = np.zeros((len(shares), n), np.bool_)
    for row, share in zip(sets, shares, strict=True):
        row[rng.choice(n, max(1, round(float(share) * n)), replace=False)] = True
    return sets.reshape(-1, tiles, tiles)


def _enlarged(tiles: Bool[Tensor, "b k t t"], size: Grid) -> Bool[Tensor, "b k H W"]:
    """Give each pixel the value of the tile that its centre lies in."""
    rows, columns = ((torch.arange(n) * 2 + 1) * tiles.shape[-1] // (2 * n) for n in size)
    return tiles[:, :, rows][..., columns]
