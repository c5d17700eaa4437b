"""How broad a map is, and whether there is one at all."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import log2_, tops, unit
from segcam.scoring.reference import Reference


@metric(label="Spread", direction="none", lower=0.0, upper=1.0, chance=None, masks=False)
def spread(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Entropy of the map normalised to sum 1, over the log of its number of cells.

    `-sum p log p / log n`, `p = L / sum L` on n cells. Taken on the layer's own grid, so compare layers of one grid; `0
    log 0` is 0.

    Returns:
        0 where all of the map is in one cell, 1 for a uniform map; clipped to 0..1 against rounding only. NaN for a
        blank or undefined map and on a grid of one cell.
    """
    cells = unit(maps, reference).flatten(2)
    n = cells.shape[2]
    total = cells.sum(2)
    # -sum p log p = log S - (sum L log L) / S, with S = sum L; the base of the logarithm cancels out in the end.
    logs = log2_(cells.clamp_min(torch.finfo(cells.dtype).tiny))  # finite, so that 0 log 0 = 0; faster than xlogy
    entropy = total.log2() - torch.linalg.vecdot(logs, cells) / total
    share: Tensor = entropy / math.log2(n)
    return share.clamp(0, 1)  # 0 / 0, thus NaN, on one cell


@metric(label="Blank", direction="lower", lower=0.0, upper=1.0, chance=None, masks=False)
def blank(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """1 where the map is zero everywhere, else 0.

    Its mean is the share of blank maps.

    Returns:
        0 or 1; NaN for an undefined map, that is one that holds NaN or infinity.
    """
    top = tops(maps, reference)
    values = (top == 0).to(reference.dtype)
    return values.masked_fill(~top.isfinite(), torch.nan)
