"""Means of a table's numbers over images and seeds, group by group, with crossed intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses.reading.arrays import distinct, fill
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import Bounds
from analyses.statistics.intervals import NOTE, bootstrap_interval

ALL = "all"
"""What stands for the mean over the layers in the column `layer`."""
UNIT = ["seed", "image"]
GROUP = ["model", "level", "target"]
INTERVALS = f"{CONFIDENCE:.0%} intervals from {RESAMPLES} resamples of images and seeds {NOTE}"


def means(frame: pd.DataFrame, keys: Sequence[str], columns: Mapping[str, Bounds], table: str) -> pd.DataFrame:
    """Return a row a group with the mean of each column and its interval.

    Args:
        frame: a row an image, seed and group.
        keys: what makes a group.
        columns: the numbers, and what each can be.
        table: where the rows are from, for the error's message.

    Returns:
        The keys; for each column its mean, `_low` and `_high`; and of the first one `n_images` and `n_seeds` with a
        value, and `n_undefined`, its rows without one.

    Raises:
        ResultsError: an image is there twice.
    """
    key = frame.groupby(list(keys), sort=True, observed=True, dropna=False).ngroup().to_numpy()
    axes: dict[str, Sequence[Any]] = {"_key": range(int(key.max()) + 1)}
    axes |= {name: distinct(frame[name]) for name in UNIT}
    values, present = fill(frame.assign(_key=key), axes, list(columns), table)
    ends = [np.array([getattr(one, end) for one in columns.values()], float)[:, None] for end in ("lower", "upper")]
    interval = bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, Bounds(*ends))
    index = frame[list(keys)].assign(_key=key).drop_duplicates("_key").sort_values("_key").drop(columns="_key")
    found: dict[str, Any] = {}
    for i, name in enumerate(columns):
        found |= {name: interval.estimate[i], f"{name}_low": interval.low[i], f"{name}_high": interval.high[i]}
    defined = ~np.isnan(values[0])
    found["n_images"] = defined.any(axis=1).sum(axis=1)
    found["n_seeds"] = defined.any(axis=2).sum(axis=1)
    found["n_undefined"] = (present & ~defined).sum(axis=(1, 2))
    return index.reset_index(drop=True).assign(**found)


def with_layer_means(frame: pd.DataFrame, keys: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Return rows of layers with those of their means, of the layers that have a value, called `ALL`.

    Args:
        frame: a row an image, seed, layer and group.
        keys: what makes a group beside layer, image and seed.
        numbers: the columns of numbers; others are left out.
    """
    unit = [*keys, *UNIT]
    over = frame.groupby(unit, as_index=False, observed=True, dropna=False)[list(numbers)].mean().assign(layer=ALL)
    return pd.concat([over, frame[[*unit, "layer", *numbers]]], ignore_index=True)


def as_text(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return a table with columns of names as text: categories of files that lie side by side need not agree."""
    return frame.astype({name: str for name in names if name in frame})
