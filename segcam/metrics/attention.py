"""Metrics of attention itself: whether a block's heads look at the background, and how far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.errors import InputError
from segcam.metrics import Direction
from segcam.precision import in_full_precision
from segcam.probe.attention import Attention
from segcam.registry import words
from segcam.scoring.grids import Grid
from segcam.scoring.reference import Reference, Scenery

HeadMetric = Callable[[Attention, Scenery], Float[Tensor, "b heads"]]
"""A block's attention and the images that it looked at in; a number an image and head out, NaN where undefined."""


@dataclass(frozen=True, slots=True)
class AttentionMetric:
    """A metric of attention matrices, and what tables and figures say of it; see `Metric` for the attributes.

    `chance` is a number, or 'uniform' where the value of attention to all keys alike depends on the grid: `by_chance`
    gives it.
    """

    name: str
    label: str
    compute: HeadMetric
    summary: str
    direction: Direction
    lower: float | None
    upper: float | None
    chance: float | Literal["uniform"]
    unit: str = ""
    source: str = "segcam"

    def by_chance(self, attention: Attention, scenery: Scenery) -> Float[Tensor, "b heads"]:
        """Return what uniform attention on the same grids scores, for each image, the same for all heads."""
        return self.compute(attention.uniform(), scenery).expand(-1, attention.heads)


def attention_background_ratio(attention: Attention, scenery: Scenery) -> Float[Tensor, "b heads"]:
    """Share of the foreground's attention that goes to the background / the background's share of the keys.

    With `f_i` the share of foreground pixels in query i's cell, `g_j` that of background pixels in key j's, averaged
    over the query cells that the key was made of, and `a_ij` the attention, each row scaled to sum 1 over the m keys:

        (sum_i f_i sum_j a_ij g_j / sum_i f_i) / (sum_j g_j / m).

    A cell that the mask cuts counts by its share. The trimap's border belongs to neither side; it fills up cells, so
    attention to it counts as attention to no background. Class and register tokens are left out, as queries and as
    keys. Cells tile the image evenly.

    Returns:
        Ratios, 0 and up; 1 for attention that does not depend on the key. NaN where no query has foreground or no key
        background.

    Source: segcam.
    """
    view = scenery.on(attention.grid)
    queries = view.once("foreground share", lambda: view.pool(scenery.foreground).flatten(1))
    keys = view.once(f"background keys {attention.reduction}", lambda: attention.pool(view.pool(scenery.background)))
    taken = (attention.placed().to(view.dtype) @ keys[:, None, :, None]).squeeze(-1)
    weights = queries / queries.sum(1, keepdim=True)
    return (taken * weights[:, None]).sum(2) / keys.mean(1, keepdim=True)


def attention_distance(attention: Attention, scenery: Scenery) -> Float[Tensor, "b heads"]:
    """Mean distance from query to key, weighted by attention.

    `mean_i sum_j a_ij |p_i - p_j|`, each row of `a` scaled to sum 1, with the centres of the cells `p`: cells tile the
    image evenly, and a key's cell is that of the query cells that it was made of together. A query thus lies off the
    centre of a larger key: at a reduction above 1 the least possible value is not 0. Class and register tokens are
    left out, as queries and as keys. The masks play no part.

    Attention to all keys alike has a mean distance, too: about half an image's side, whatever the grid. It is what
    chance gives, and no sign of a view of the whole image.

    Returns:
        Distances in input pixels, 0 and up. NaN where a query looks at tokens of no place alone.

    Source: Dosovitskiy et al., ICLR 2021, figure 7; reduced keys: segcam.
    """
    view = scenery.on(attention.grid)
    distances = view.once(f"distances {attention.reduction}", lambda: _distances(attention, view))
    return (attention.placed().to(view.dtype) * distances).sum(3).mean(2)


def _distances(attention: Attention, view: Reference) -> Float[Tensor, "n m"]:
    """Return the distances between the centres of the queries' and the keys' cells, in input pixels."""
    # The sides of a query's cell, in pixels.
    cell = torch.tensor(view.size, dtype=torch.float64) / torch.tensor(attention.grid)
    queries = (_centres(attention.grid) * cell).to(view.device, view.dtype)
    keys = (_centres(attention.keys) * cell * attention.reduction).to(view.device, view.dtype)
    return torch.cdist(queries, keys, compute_mode="donot_use_mm_for_euclid_dist")


def _centres(grid: Grid) -> Float[Tensor, "n 2"]:
    """Return the centres of a grid's cells, row by row, a cell's side being 1."""
    return torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1])) + 0.5


def _metric(
    compute: HeadMetric, label: str, direction: Direction, *, chance: float | Literal["uniform"], unit: str = ""
) -> AttentionMetric:
    summary, source = words(compute)

    @in_full_precision
    @wraps(compute)
    def checked(attention: Attention, scenery: Scenery) -> Float[Tensor, "b heads"]:
        if len(attention.weights) != len(scenery.ids):
            raise InputError(f"attention of {len(attention.weights)} images, and a scenery of {len(scenery.ids)}")
        return compute(attention, scenery)

    return AttentionMetric(compute.__name__, label, checked, summary, direction, 0.0, None, chance, unit, source)


ATTENTION_METRICS = (
    _metric(attention_background_ratio, "Attention background ratio", "lower", chance=1.0),
    _metric(attention_distance, "Attention distance", "none", chance="uniform", unit="px"),
)
"""What is measured of every block and head of a network with attention."""
