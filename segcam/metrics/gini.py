"""How unequally a map's energy is shared among its cells."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import ascending, unit
from segcam.scoring.reference import Reference


@metric(label="Gini coefficient", direction="none", lower=0.0, upper=1.0, chance=None, masks=False)
def gini(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Gini coefficient of the map over the cells of the layer's grid.

    `2 sum_i i L_(i) / (n sum L) - (n + 1) / n`, where `L_(1) <= ... <= L_(n)` are the `n` cells in order. Taken on the
    layer's own grid, like `spread`.

    Args:
        maps: non-negative maps.
        reference: what they are measured against; only the grid plays a part.

    Returns:
        0 for a uniform map, `1 - 1 / n` where all of the map is in one cell. NaN for a blank or undefined map.

    Source: Gini 1912; as a measure of an explanation's sparsity Chalasani et al., ICML 2020, section 3.
    """
    cells = unit(maps, reference).flatten(2)
    n = cells.shape[2]
    ranks = torch.arange(1, n + 1, dtype=cells.dtype, device=cells.device) / n - (n + 1) / (2 * n)
    ordered = ascending(cells)
    return (2 * (ordered @ ranks) / ordered.sum(2)).clamp(0, 1)
