"""How much of a map lies along the object's outline."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.metrics import metric
from segcam.probe.targets.pixels import reach
from segcam.scoring.normalise import unit
from segcam.scoring.reference import Reference


@metric(label="Boundary energy", direction="none", lower=0.0, upper=None, chance=1.0)
def boundary_energy(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Share of the map within 2 % of the diagonal of the mask's outline / that band's share of the image.

    L is the map upsampled bilinearly to the image; sums over the band are exact on the grid, see `energy_inside`. The
    band holds the pixels from which a step of at most d pixels, diagonals included, leads over the outline of the
    foreground, d being 2 % of the image's diagonal, rounded, and at least 1. The trimap's border lies along the outline
    and takes part as what is not foreground.

    Returns:
        Ratios from 0; 1 for a uniform map. NaN for a blank or undefined map, and for images without an outline.

    Source: segcam; the band is that of Cheng et al., CVPR 2021 (Boundary IoU), on both sides.
    """
    cells = unit(maps, reference)
    band = reference.scenery.once("band", lambda: outline_band(reference.scenery.foreground, reach(reference.size)))
    weights = reference.once("band_pulled", lambda: reference.pull(band))
    share = (cells * weights[:, None]).sum((2, 3)) / (cells * reference.everything).sum((2, 3))
    area = band.to(cells.dtype).mean((1, 2))
    return share / area[:, None]  # 0 / 0 where there is no outline


def outline_band(mask: Bool[Tensor, "b H W"], distance: int) -> Bool[Tensor, "b H W"]:
    """Return the pixels within `distance` pixels of the mask's outline, on either side; diagonal steps count as one.

    The frame of the image is no outline.
    """
    sides = torch.stack([mask, ~mask], 1).float()
    near = F.max_pool2d(sides, 2 * distance + 1, stride=1, padding=distance) > 0
    return near.all(1)
