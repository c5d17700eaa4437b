"""How a statistic that is no mean varies over seeds and images: tables whose means vary as it does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analyses.reading.arrays import Floats
from analyses.statistics.bootstrap import PORTION, mean_iou, portions

GROUPS = 50
"""Groups of images that are left out in turn: what depends on ranks does not change with each single image."""


def pseudo_values(left_out: ArrayLike) -> Floats:
    """Return the table of a statistic of crossed seeds and images, from its values without each of them.

    With `t` of all, `t_s`, `t_i` and `t_si` without a seed, an image, and both, of S seeds and I images:

        t + (S - 1) (t - t_s) + (I - 1) (t - t_i) + (S - 1) (I - 1) (t - t_s - t_i + t_si)

    Of a mean these are its numbers. So `half_width` of the table is due to the statistic.

    Args:
        left_out: (..., seeds + 1, images + 1): at 0 of either axis nothing is left out. Images may be groups of them.

    Returns:
        The table, (..., seeds, images). A factor with one value does not vary: nothing can be left out.

    Source: Tukey's pseudo-values, for two factors as Arvesen, Annals of Mathematical Statistics 40(6), 1969; images in
        groups as Shao and Wu, Annals of Statistics 17(3), 1989.
    """
    values = np.asarray(left_out, dtype=np.float64)
    seeds, images = values.shape[-2] - 1, values.shape[-1] - 1
    table: Floats = np.repeat(np.repeat(values[..., :1, :1], seeds, axis=-2), images, axis=-1)
    seed, image = table - values[..., 1:, :1], table - values[..., :1, 1:]
    if seeds > 1:
        table = table + (seeds - 1) * seed
    if images > 1:
        table = table + (images - 1) * image
    if seeds > 1 and images > 1:
        both = values[..., 1:, 1:] - values[..., :1, :1] + seed + image
        table = table + (seeds - 1) * (images - 1) * both
    return table


def means_left_out(matrix: ArrayLike, groups: int = GROUPS) -> Floats:
    """Return means over defined entries without each seed and each group of images, as `pseudo_values` takes them.

    Args:
        matrix: (..., seeds, images); NaN is undefined.
        groups: of images, every so manieth one; as many as images where these are fewer.

    Returns:
        (..., seeds + 1, groups + 1); NaN where nothing is left.
    """
    values = np.asarray(matrix)
    if values.ndim > 2 and values.size > PORTION and len(values) > 1:
        return np.concatenate([means_left_out(values[rows], groups) for rows in portions(values)])
    values, images = values.astype(np.float64, copy=False), values.shape[-1]
    number = min(groups, images)
    member = (np.arange(images)[:, None] % number == np.arange(number)).astype(np.float64)
    defined = ~np.isnan(values)
    totals, counts = (_left_out(part @ member) for part in (np.where(defined, values, 0.0), defined.astype(np.float64)))
    means: Floats = np.full(totals.shape, np.nan)
    np.divide(totals, counts, out=means, where=counts > 0.5)
    return means


def _left_out(sums: Floats) -> Floats:
    """Return totals of (..., seeds, groups) without each row and each column, behind those of all."""
    rows = np.concatenate([np.zeros_like(sums[..., :1, :]), sums], axis=-2)
    rows = sums.sum(axis=-2, keepdims=True) - rows
    columns = np.concatenate([np.zeros_like(rows[..., :1]), rows], axis=-1)
    left: Floats = rows.sum(axis=-1, keepdims=True) - columns
    return left


def miou_table(counts: ArrayLike) -> Floats:
    """Return the pseudo-values of a mean IoU that is averaged over seeds, from confusion counts.

    Of seed s and image i `I m_s - (I - 1) m_s(-i)`, with `m_s(-i)` the seed's mean IoU without the image: those of
    `pseudo_values`, since the statistic is a mean over the seeds.

    Args:
        counts: (..., seeds, images, truth, predicted); zero where an image was not tested.

    Returns:
        (..., seeds, images).
    """
    values = np.asarray(counts, dtype=np.float64)
    totals, images = values.sum(axis=-3), values.shape[-3]
    table: Floats = images * mean_iou(totals)[..., None] - (images - 1) * mean_iou(totals[..., None, :, :] - values)
    return table
