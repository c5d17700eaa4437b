"""Planted attributions: does a metric put maps in the order of their known share on the evidence?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analyses.artifacts import tidy
from analyses.reading.arrays import Floats, distinct, fill, nan_mean
from analyses.reading.manifest import Metric
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import CORRELATION
from analyses.statistics.decisions import side
from analyses.statistics.intervals import bootstrap_interval

LEFT_OUT = ("blank",)
"""Metrics that say whether there is a value at all."""
IN_ORDER = 0.9
"""A metric puts planted maps in order where the interval of its rank correlation lies above this."""


def judges_place(metric: Metric) -> bool:
    """Return whether a metric says of a map's place that it is better or worse."""
    return metric.masks and metric.direction in ("higher", "lower")


def sign(metric: Metric) -> int:
    """Return -1 for a metric of which less is better, else 1."""
    return -1 if metric.direction == "lower" else 1


def rank_correlation(one: Floats, other: Floats) -> Floats:
    """Return Spearman's correlations along the last axis; 0 where one side is constant: it puts nothing in order.

    NaN where a value is undefined.

    >>> rank_correlation(np.array([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]]), np.array([3.0, 5.0, 6.0])).tolist()
    [1.0, 0.0]
    """
    ranks = [rankdata(values, axis=-1, nan_policy="propagate") for values in (one, other)]
    ranks = [values - values.mean(axis=-1, keepdims=True) for values in ranks]
    size = np.sqrt((ranks[0] ** 2).sum(axis=-1) * (ranks[1] ** 2).sum(axis=-1))
    product = (ranks[0] * ranks[1]).sum(axis=-1)
    correlation: Floats = np.where(np.isnan(product), np.nan, 0.0)
    np.divide(product, size, out=correlation, where=size > 0)
    return correlation


def tabulate(frame: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return a row a metric and size of cells.

    Args:
        frame: rows of the table planted, of one model.
        metrics: that it has columns of.

    Returns:
        `rho`, the mean over plants, cues and scenes of the rank correlation of a metric with the planted share, with
        its interval over scenes; and that of each plant.
    """
    keys = ("cue", "plant", "cell", "scene", "step")
    axes: dict[str, Sequence[Any]] = {key: distinct(frame[key]) for key in keys}
    axes["plant"] = list(dict.fromkeys(frame["plant"].astype(str)))
    values, _ = fill(frame, axes, ["share", *(metric.name for metric in metrics)], "planted")
    signs = np.array([sign(metric) for metric in metrics]).reshape(-1, *(1 for _ in axes))
    orders = nan_mean(rank_correlation(signs * values[1:], values[:1]), axis=1)  # over cues: the scenes are the same
    whole = nan_mean(orders, axis=1)[:, :, None]  # (metrics, cells, one seed, scenes)
    interval = bootstrap_interval(whole, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, CORRELATION)
    by_plant = nan_mean(orders)
    rows = []
    for m, metric in enumerate(metrics):
        for c, cell in enumerate(axes["cell"]):
            row: dict[str, Any] = {"metric": metric.name, "judges_place": judges_place(metric), "cell": cell}
            row |= {
                "rho": interval.estimate[m, c],
                "rho_low": interval.low[m, c],
                "rho_high": interval.high[m, c],
            }
            beyond = side([row["rho"], row["rho_low"], row["rho_high"]], IN_ORDER) > 0
            row["in_order"] = bool(row["judges_place"] and beyond)
            row |= {f"rho_{plant}": by_plant[m, p, c] for p, plant in enumerate(axes["plant"])}
            row["undefined_share"] = float(np.isnan(orders[m, :, c]).mean())
            rows.append(row | {"n_scenes": int((~np.isnan(whole[m, c])).sum())})
    return tidy(pd.DataFrame(rows), [])


ABOUT = (
    "Planted attributions: on each scene the evidence itself, in ten steps mixed with noise, with a region as large "
    "elsewhere (distractor) or with all that it is not (inverse), moved off its place (shifted), or blurred. The share "
    "of each map's energy that lies on the evidence is known at the pixels; then the map is brought to a layer's grid "
    "as area means and measured against the evidence. rho: mean over plants, cues and scenes of Spearman's "
    "correlation of the metric with that share, over the eleven maps of a scene and plant; turned where less is "
    f"better; 1 is the planted order, 0 none (also of a constant metric). {CONFIDENCE:.0%} intervals from {RESAMPLES} "
    "resamples of scenes. cell: side of a cell in pixels. judges_place: the metric calls a map better or worse by its "
    f"place; in_order: of such a metric the interval lies above {IN_ORDER}. No network plays a part."
)
