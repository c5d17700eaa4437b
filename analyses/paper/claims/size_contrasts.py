"""What a test at other sizes costs: the change of mean IoU of a network, or of one less another's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyses.paper.claims.contrasts import NotMeasuredError
from analyses.paper.claims.statements import Contrast
from analyses.reading.arrays import Floats, counted
from analyses.reading.choices import at_highest, described, model_of
from analyses.reading.results import Results
from analyses.statistics.bootstrap import bootstrap_miou, mean_iou


class SizeChange(NamedTuple):
    """A change of mean IoU from the training size to others.

    Attributes:
        estimate: the mean change over the other sizes, of the first model, or of the first less the second.
        resampled: the same of crossed resamples, (resamples,).
        values: the jackknife's pseudo-values, (seeds, images): their mean is the estimate but for its bias, their
            spread over seeds and images tells how far the estimate may be off.
        cells: the models, levels and sizes compared, in words.
        training_data: what the networks were trained on.
    """

    estimate: float
    resampled: Floats
    values: Floats
    cells: str
    training_data: str


def change(results: Results, contrast: Contrast, generator: np.random.Generator, resamples: int) -> SizeChange:
    """Return the mean change of mean IoU over the sizes other than the training size, each size with the same weight.

    Each model is taken at the highest level tested, on the seeds and images that all models have at all sizes. The
    pseudo-value of seed s and image i is I d_s - (I - 1) d_s(-i), with d_s(-i) the change without the image.

    Raises:
        NotMeasuredError: a model or the training size was not tested, or nothing but that was.

    Source of the pseudo-values: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11.
    """
    counts = results.resolution()
    if counts is None or counts.empty:
        raise NotMeasuredError("no tests at other sizes")
    cubes, names, sources = [], [], set()
    for group in contrast.groups:
        family = group.cells[0].model
        model = model_of(results, family)
        rows = counts[counts["model"] == model]
        if model is None or rows.empty:
            raise NotMeasuredError(f"no {family} tested at other sizes")
        level = int(rows["level"].max())
        rows = at_highest(rows)
        cubes.append(rows)
        names.append(described(results, model, level))
        sources |= set(rows["training_data"].astype(str)) if "training_data" in rows else set()
    keys = ["factor", "seed", "image"]
    shared = set.intersection(*(set(map(tuple, rows[keys].astype({"image": str}).to_numpy())) for rows in cubes))
    stacked, factors = [], np.zeros(0)
    for rows in cubes:
        in_both = [tuple(row) in shared for row in rows[keys].astype({"image": str}).to_numpy()]
        if not any(in_both):
            raise NotMeasuredError("no image tested with all models")
        cube, present, factors = counted(rows[in_both], results.counts)
        stacked.append(cube[:, :, present.all(axis=(0, 1))])
    unscaled = np.isclose(factors, 1)
    if not unscaled.any() or unscaled.all():
        raise NotMeasuredError("no tests at the training size and another")
    sizes = ", ".join(f"{factor:g}" for factor in factors[~unscaled])
    cells = f"{' less '.join(names)}; sizes {sizes} x the training's"
    confusions = np.stack(stacked).astype(np.float64)
    estimate, resampled = bootstrap_miou(confusions, generator, resamples)
    drawn = _change(np.moveaxis(resampled, 0, -1), unscaled)
    values = _pseudo_values(confusions, unscaled)
    return SizeChange(float(_change(estimate, unscaled)), drawn, values, cells, " / ".join(sorted(sources)))


def _change(miou: Floats, unscaled: NDArray[np.bool_]) -> Floats:
    """Return the change of (models, sizes, ...): over the sizes but the own, the first model's less the second's."""
    changes: Floats = miou[:, ~unscaled].mean(axis=1) - miou[:, unscaled][:, 0]
    difference: Floats = changes[0] - changes[1] if len(changes) > 1 else changes[0]
    return difference


def _pseudo_values(counts: Floats, unscaled: NDArray[np.bool_]) -> Floats:
    totals = counts.sum(axis=-3)
    images = counts.shape[-3]
    of_all = _change(mean_iou(totals), unscaled)[:, None]
    without = _change(mean_iou(totals[..., None, :, :] - counts), unscaled)
    values: Floats = images * of_all - (images - 1) * without
    return values
