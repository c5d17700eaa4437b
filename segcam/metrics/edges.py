"""Whether a map follows the image's edges: its correlation with edge strength, and how many of the edges it finds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import metric
from segcam.scoring.normalise import highest, unit
from segcam.scoring.reference import Reference

DENSITY = 0.1
"""Share of the cells that are edges: the strongest, in the map as in the image."""


@metric(label="Edge alignment", direction="none", lower=-1.0, upper=1.0, chance=0.0, masks=False)
def edge_alignment(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Pearson correlation of the map with the image's edge strength, on the layer's grid.

    Edge strength is the Sobel magnitude of luminance, averaged over each cell; the masks play no part.

    Returns:
        Correlations in -1..1, clipped to that against rounding only. NaN for a blank, undefined or constant map,
        where edge strength is constant, and on a grid of one cell. Constant means: up to rounding.
    """

    def centred() -> tuple[Float[Tensor, "b h w"], Float[Tensor, " b"]]:
        edges = reference.edges - reference.edges.mean((1, 2), keepdim=True)
        return edges, edges.square().mean((1, 2))

    def make() -> Float[Tensor, "b m"]:
        edges, edge_variance = reference.once("edges_centred", centred)
        cells = unit(maps, reference)
        cells = cells - cells.mean((2, 3), keepdim=True)
        n = cells.shape[2] * cells.shape[3]
        variance = torch.linalg.vector_norm(cells.flatten(2), dim=2).square() / n
        return _pearson(_products(cells, edges) / n, variance, edge_variance, reference)

    return reference.shared("edge_alignment", maps, make)


@metric(label="Edge alignment, upsampled", direction="none", lower=-1.0, upper=1.0, chance=0.0, masks=False)
def edge_alignment_full(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Pearson correlation of the upsampled map with the image's edge strength, at input resolution.

    It is exact without upsampling: with U for bilinear upsampling and E for edge strength, `<U L, E> = <L, U^T E>`,
    `sum U L = <L, U^T 1>` and `|U L|^2 = <L, Gy L Gx>`, where `Gy = Uy^T Uy`, `Gx = Ux^T Ux`. As `U 1 = 1`, the
    upsampled map's mean is taken off on the grid, before anything is squared: float32 would lose it after.

    Returns:
        Correlations in -1..1; see `edge_alignment`, with which it agrees where the grid is the image's.
    """
    if reference.pixelwise:
        return edge_alignment(maps, reference)
    cells = unit(maps, reference)
    n = reference.size[0] * reference.size[1]
    cells = cells - (cells * reference.everything).sum((2, 3), keepdim=True) / n
    variance = _upsampled_squares(cells, reference) / n
    return _pearson(_products(cells, reference.edges_full) / n, variance, reference.edges_full_variance, reference)


@metric(label="Edges beyond the object", direction="none", lower=-1.0, upper=1.0, chance=0.0)
def partial_edge_alignment(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Correlation with edge strength, given the mask and the image's middle, on the layer's grid.

    The mask itself aligns with edges, and the more the coarser the grid: 0.11 to 0.34 from strides 1 to 16. So a map
    that only finds the object, or only the middle, seems to follow edges. Here all three, the map, the edge strength
    and so the correlation, are freed of what is linear in the mask's share of each cell and in a centred Gaussian:

        corr(L - P L, E - P E),   P the projection onto the span of 1, mask share and Gaussian

    Returns:
        Partial correlations in -1..1. NaN for a blank or undefined map, where either mask is empty, on a grid of four
        cells or fewer, and where the map or the edge strength is nothing but mask, middle and constant: up to rounding.

    Source: Fisher, Metron 3, 1924 (partial correlation).
    """

    def make() -> Float[Tensor, "b m"]:
        basis, edges, edge_variance = reference.once("beyond_object", lambda: _beyond(reference))
        cells = unit(maps, reference).flatten(2)
        cells = cells - (cells @ basis) @ basis.transpose(1, 2)
        cells = cells - (cells @ basis) @ basis.transpose(1, 2)  # once more: what rounding left of the first time
        variance = cells.square().mean(2)
        covariance = (cells @ edges[:, :, None])[..., 0] / cells.shape[2]
        partial = _pearson(covariance, variance, edge_variance, reference)
        few = cells.shape[2] <= MOST_EXPLAINED
        return partial.masked_fill(reference.one_sided[:, None] | few, torch.nan)

    return reference.shared("partial_edge_alignment", maps, make)


MOST_EXPLAINED = 4
"""Cells that three fields and a constant explain whatever lies in them."""


def _beyond(reference: Reference) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n"], Float[Tensor, " b"]]:
    """Return an orthonormal basis of constant, mask and middle, and the edge strength freed of them; its variance."""
    mask = reference.foreground_share.flatten(1)
    middle = reference.centre().flatten(1).expand_as(mask)
    columns: list[Float[Tensor, "b n"]] = []
    for field in (torch.ones_like(mask), mask, middle):
        left = field
        for column in columns * 2:  # twice is enough (Parlett, The Symmetric Eigenvalue Problem, 1980, section 6.9)
            left = left - (left * column).sum(1, keepdim=True) * column
        length = torch.linalg.vector_norm(left, dim=1, keepdim=True)
        told = length > 64 * torch.finfo(mask.dtype).eps * torch.linalg.vector_norm(field, dim=1, keepdim=True)
        columns.append(torch.where(told, left / torch.where(told, length, 1), 0))  # a field of the others adds nothing
    basis = torch.stack(columns, 2)
    edges = reference.edges.flatten(1)
    for _ in range(2):
        edges = edges - ((edges[:, None] @ basis) @ basis.transpose(1, 2))[:, 0]
    return basis, edges, edges.square().mean(1)


@metric(label="Edge recall", direction="none", lower=0.0, upper=1.0, chance=DENSITY, masks=False)
def edge_recall(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Share of the image's strongest edges found among the map's strongest cells, a tenth of all cells each.

    Of n cells of the layer's own grid, the k = n / 10 (rounded, at least 1) of highest edge strength are edges, and the
    k highest of the map are what it draws. As both are equally dense, it is precision as well. Edge strength is that of
    `edge_alignment`. Cells tied for the last places, up to rounding, share them: the mean over all orders of the tied.

    Returns:
        0..1; about k / n, which is 1/10 but on grids of few cells, for a map that knows nothing. NaN where
        `edge_alignment` is.

    Source: segcam; recall at matched density as in Martin et al., PAMI 2004, section 3, without tolerance of place.
    """

    def edges() -> Float[Tensor, "b h w"]:
        noise = 4 * reference.edge_noise[:, None]
        return highest(reference.edges.flatten(1), count, noise).view_as(reference.edges)

    count = max(1, round(DENSITY * reference.grid[0] * reference.grid[1]))
    strongest = reference.once("edges_strongest", edges)
    noise = 32 * torch.finfo(reference.dtype).eps
    drawn = highest(unit(maps, reference).flatten(2), count, noise).view_as(maps)
    recall = _products(drawn, strongest) / count
    return recall.clamp(0, 1).masked_fill(edge_alignment(maps, reference).isnan(), torch.nan)


def _products(cells: Float[Tensor, "b m h w"], field: Float[Tensor, "b h w"]) -> Float[Tensor, "b m"]:
    """Return `<L, E>` of each map; with the maps on the left the product takes several times longer."""
    return torch.bmm(field.flatten(1)[:, None], cells.flatten(2).transpose(1, 2))[:, 0]


def _upsampled_squares(cells: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return `|U L|^2 = <L, Gy L Gx>`.

    A pixel lies between two neighbouring cells, so Gy couples neighbours alone: with `Z = L Gx` and rows y, it is
    `sum_y Gy[y, y] <L_y, Z_y> + 2 sum_y Gy[y, y + 1] <L_y, Z_(y + 1)>`.
    """
    down, across = reference.gram
    turned = cells @ across
    diagonal = (cells * turned).sum(3) @ down.diagonal()
    return diagonal + 2 * ((cells[:, :, :-1] * turned[:, :, 1:]).sum(3) @ down.diagonal(1))


def _pearson(
    covariance: Float[Tensor, "b m"],
    map_variance: Float[Tensor, "b m"],
    edge_variance: Float[Tensor, " b"],
    reference: Reference,
) -> Float[Tensor, "b m"]:
    """Return `covariance / sqrt(map_variance * edge_variance)`; NaN where a variance is 0 up to rounding.

    Maps have maximum 1, so what rounding leaves of a constant one is a few eps.
    """
    noise = 8 * torch.finfo(reference.dtype).eps
    constant = (map_variance <= noise**2) | (edge_variance <= reference.edge_noise**2)[:, None]
    correlation = covariance / (map_variance.sqrt() * edge_variance.sqrt()[:, None])
    return correlation.clamp(-1, 1).masked_fill(constant, torch.nan)
