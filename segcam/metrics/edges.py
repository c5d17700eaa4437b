"""Whether a map follows the image's edges: its correlation with edge strength, on the layer's grid or the image's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from segcam.metrics import METRICS, Metric
from segcam.reference import Reference
from segcam.scores import unit


def edge_alignment(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return the Pearson correlation of the map with the image's edge strength, over all cells of the layer's grid.

    Edge strength is the Sobel magnitude of luminance, averaged over each cell; the masks play no part.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        Correlations in -1..1, clipped to that against rounding only. NaN for a blank, undefined or constant map,
        where edge strength is constant, and on a grid of one cell. Constant means: up to rounding.
    """

    def make() -> Float[Tensor, "b m"]:
        cells = unit(maps, reference)
        cells = cells - cells.mean((2, 3), keepdim=True)
        edges = reference.once("edges_centred", lambda: reference.edges - reference.edges.mean((1, 2), keepdim=True))
        covariance = (cells * edges[:, None]).mean((2, 3))
        return _pearson(covariance, cells.square().mean((2, 3)), edges.square().mean((1, 2)), reference)

    return reference.shared("edge_alignment", maps, make)


def edge_alignment_full(maps: Float[Tensor, "b m h w"], reference: Reference) -> Float[Tensor, "b m"]:
    """Return the Pearson correlation of the upsampled map with the image's edge strength, over all pixels.

    It is exact without upsampling: with U for bilinear upsampling and E for edge strength, `<U L, E> = <L, U^T E>`,
    `sum U L = <L, U^T 1>` and `|U L|^2 = <L, Gy L Gx>`, where `Gy = Uy^T Uy`, `Gx = Ux^T Ux`. As `U 1 = 1`, the
    upsampled map's mean is taken off on the grid, before anything is squared: float32 would lose it after.

    Args:
        maps: non-negative maps.
        reference: what they are measured against.

    Returns:
        Correlations in -1..1; see `edge_alignment`, with which it agrees where the grid is the image's.
    """
    if reference.grid == reference.size:
        return edge_alignment(maps, reference)
    cells = unit(maps, reference)
    n = reference.size[0] * reference.size[1]
    cells = cells - (cells * reference.everything).sum((2, 3), keepdim=True) / n
    covariance = (cells * reference.edges_full[:, None]).sum((2, 3)) / n
    down, across = reference.gram
    variance = (down @ (cells @ across)).mul_(cells).sum((2, 3)) / n
    return _pearson(covariance, variance, reference.edges_full_variance, reference)


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


METRICS.add(
    Metric(
        name="edge_alignment",
        label="Edge alignment",
        compute=edge_alignment,
        summary="Pearson correlation of the map with the image's edge strength, on the layer's grid",
        direction="none",
        lower=-1.0,
        upper=1.0,
        chance=0.0,
    )
)

METRICS.add(
    Metric(
        name="edge_alignment_full",
        label="Edge alignment, upsampled",
        compute=edge_alignment_full,
        summary="Pearson correlation of the upsampled map with the image's edge strength, at input resolution",
        direction="none",
        lower=-1.0,
        upper=1.0,
        chance=0.0,
    )
)
