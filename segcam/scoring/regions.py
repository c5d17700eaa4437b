"""How much of a map lies on each of several regions, exactly, on the map's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.arrays import Numbers, booleans
from segcam.classes import Classes, belonging
from segcam.errors import InputError
from segcam.precision import in_full_precision
from segcam.samples import Batch
from segcam.scoring.grids import pull_back
from segcam.scoring.normalise import checked, unit
from segcam.scoring.reference import Reference, pieces


@dataclass(frozen=True, eq=False)
class Shares:
    """What of maps lies on each of several regions, and what of a uniform map would.

    Attributes:
        energy: the share of each map's energy on each region, `(b, m, k)`, 0..1. NaN for a blank or undefined map, for
            an empty region, and where no energy lies on any.
        area: the region's share of the pixels of all regions, `(b, k)`, 0..1: what a uniform map scores. 0 for an
            empty region; NaN where all are.
    """

    energy: Float[Tensor, "b m k"]
    area: Float[Tensor, "b k"]

    @property
    def density(self) -> Float[Tensor, "b m k"]:
        """Energy share over area share: 1 by chance, whatever the region's size; NaN where `energy` is."""
        return self.energy / self.area[:, None]


@in_full_precision
def region_shares(maps: Numbers, reference: Reference, regions: Bool[Tensor, "b k H W"]) -> Shares:
    """Return the share of each map's energy on each region: `sum_R L / sum L over all regions`.

    L is the map upsampled bilinearly to the image, where the reference says that its cells lie. Sums are exact on the
    grid, as those of `energy_inside`: regions are pulled back instead of maps upsampled. Pixels of no region count
    nowhere: those that masks ignore, and padding.

    Args:
        maps: non-negative maps on the reference's grid, `(b, m, h, w)`.
        reference: what they are measured against; of its masks none plays a part.
        regions: `k` regions of each image's pixels; a region may be empty.

    Raises:
        InputError: the maps are not as metrics take them, or the regions are not of the reference's images.

    Source: segcam; of two regions Arras et al. 2022 (CLEVR-XAI), relevance mass accuracy.

    >>> from segcam.scoring.reference import Scenery
    >>> left = torch.tensor([[[True, True, False, False]] * 2])
    >>> scenery = Scenery(torch.zeros(1, 2, 4), left, ~left, ("a",))
    >>> shares = region_shares(torch.tensor([[[[3.0, 1.0]]]]), scenery.on((1, 2)), torch.stack([left, ~left], 1))
    >>> shares.energy.tolist(), shares.area.tolist()
    ([[[0.6875, 0.3125]]], [[0.5, 0.5]])
    """
    maps = checked(maps, reference)
    regions = regions_of(regions, reference)
    b, k = regions.shape[:2]
    energy = torch.empty((b, maps.shape[1], k), dtype=reference.dtype, device=maps.device)
    area = torch.empty((b, k), dtype=reference.dtype, device=maps.device)
    for images, cut, part, (fields,) in pieces(maps, reference, regions):
        energy[images], area[images] = _shares(cut, part, fields)
    return Shares(energy, area)


def _shares(
    maps: Float[Tensor, "b m h w"], reference: Reference, regions: Bool[Tensor, "b k H W"]
) -> tuple[Float[Tensor, "b m k"], Float[Tensor, "b k"]]:
    fields = torch.cat([regions, regions.any(1, keepdim=True)], 1)
    weights = pull_back(fields.to(reference.dtype), reference.grid, reference.placement)
    sums = torch.einsum("bmhw,bkhw->bmk", unit(maps, reference), weights)
    pixels = fields.flatten(2).sum(2).to(reference.dtype)
    energy = (sums[..., :-1] / sums[..., -1:]).clamp(0, 1)
    return energy.masked_fill(pixels[:, None, :-1] == 0, torch.nan), pixels[:, :-1] / pixels[:, -1:]


def regions_of(regions: Numbers, reference: Reference) -> Bool[Tensor, "b k H W"]:
    """Return regions on the reference's device.

    Raises:
        InputError: they are not `(b, k, H, W)` of the reference's images.
    """
    given = booleans(regions, "regions").to(reference.device)
    b, size = len(reference.ids), reference.size
    if given.ndim != 4 or len(given) != b or tuple(given.shape[2:]) != size:
        raise InputError(
            f"regions are {tuple(given.shape)}: ({b}, regions, {size[0]}, {size[1]}) are needed, each image's at its "
            "own pixels; for one region an image regions[:, None]"
        )
    return given


def class_regions(batch: Batch, classes: Sequence[Classes]) -> Bool[Tensor, "b k H W"]:
    """Return the true pixels of each class, or set of classes; ignored pixels belong to none.

    Raises:
        InputError: there is no class, or a class is none that masks may hold.
    """
    if not classes:
        raise InputError("no class is named: name one or more, by their indices in the masks")
    return torch.stack([belonging(batch.masks, one) for one in classes], 1)
