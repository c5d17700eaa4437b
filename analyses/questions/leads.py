"""Which method leads on an axis, and from which others it is not told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.plots.map_tiles import number
from analyses.questions.axes import ALL, GROUP, SHOWN, TABLE, UNIT, Axis
from analyses.reading.arrays import distinct, fill, nan_mean
from analyses.reading.catalogue import BLIND, FEWEST
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.decisions import side
from analyses.statistics.intervals import bootstrap_interval

MOST_RESAMPLES = 10 * RESAMPLES
"""Of a comparison with many others, at most."""


@dataclass(frozen=True)
class Lead:
    """Which method has the best mean on an axis, and which are not told from it.

    Attributes:
        method: the best.
        value: its mean.
        untold: methods whose paired difference from it may be none.
        others: how many it is compared with.
        images: of the best.
    """

    method: str
    value: float
    untold: tuple[str, ...]
    others: int
    images: int


def lead(values: pd.DataFrame, axis: Axis, methods: Sequence[str]) -> Lead | None:
    """Return the best of methods on an axis, compared with each other one on the same images and seeds.

    As many intervals as there are others hold at once: each has the confidence that leaves all of them the usual one
    (Bonferroni), so that the choice of the best is paid for. Pairs of fewer than `FEWEST` images tell nothing.

    Args:
        values: of one model, level, target and group of layers, a row a map.
        axis: what is compared.
        methods: those compared.
    """
    means = values[values["method"].isin(methods)].groupby(["method", *UNIT], observed=True)[axis.name].mean()
    rows = means.dropna().reset_index()
    if rows.empty:
        return None
    names = [name for name in methods if (rows["method"] == name).any()]
    axes: dict[str, Sequence[Any]] = {"method": names, **{name: distinct(rows[name]) for name in UNIT}}
    (cube,), _ = fill(rows, axes, [axis.name], TABLE)
    sign = -1.0 if axis.better == "lower" else 1.0
    estimates = nan_mean(cube.reshape(len(names), -1))  # over all maps, as the table's intervals have it
    best = int((sign * estimates).argmax())
    others = [i for i in range(len(names)) if i != best]
    images = int((~np.isnan(cube[best])).any(axis=0).sum())
    if not others:
        return Lead(names[best], float(estimates[best]), (), 0, images)
    confidence = 1 - (1 - CONFIDENCE) / len(others)
    apart = sign * (cube[best] - cube[others])
    # Ends further out rest on fewer resamples. With as many more their noise, over half the width, is no larger than
    # what `side` takes for the usual confidence and resamples; at `MOST_RESAMPLES` up to about seventy others.
    resamples = min(RESAMPLES * len(others), MOST_RESAMPLES)
    interval = bootstrap_interval(apart, np.random.default_rng(SEED), resamples, confidence)
    sides = side(interval, resamples=RESAMPLES)
    enough = (~np.isnan(apart)).any(axis=1).sum(axis=-1) >= FEWEST
    untold = tuple(names[i] for i, told in zip(others, (sides > 0) & enough, strict=True) if not told)
    return Lead(names[best], float(estimates[best]), untold, len(others), images)


def finding(results: Results, frame: pd.DataFrame, sources: Mapping[str, pd.DataFrame]) -> str:
    """Say which method leads on each axis, of those that are examined on all images, as far as it can be told."""
    known = frame[frame["family"] != "control"]
    rows = known[known["layers"] == ALL]  # maps of the input are no others' equals
    rows = rows[rows["n_robust"] >= 0.5 * rows["n_robust"].max()] if len(rows) else rows
    if rows.empty:
        return ""
    place = {key: rows[key].iloc[0] for key in (*GROUP, "layers")}
    words, level, leading = [], list[str](), list[set[str]]()
    for axis, verb in zip(SHOWN, ("leaks least", "is the most faithful", "is the most robust"), strict=False):
        values = sources.get(axis.name)
        if values is None:
            continue
        here = values[np.logical_and.reduce([values[key] == value for key, value in place.items()])]
        found = lead(here, axis, list(rows["method"]))
        if found is None:
            continue
        label, value = results.label("methods", found.method), number(found.value)
        if not found.others:
            words.append(f"{label} alone has a {axis.name} ({value})")
            continue
        measured = set(here.loc[here[axis.name].notna(), "method"].astype(str))
        leading.append({found.method, *found.untold, *set(rows["method"]) - measured})
        told, blind = "", _blind(results, here, axis, found)
        if found.others > 1 and len(found.untold) == found.others:
            level.append(f"{axis.name} ({found.images} images{blind})")
            continue
        if found.untold:
            few = len(found.untold) <= 2
            names = printing.listed([results.label("methods", name) for name in found.untold])
            told = f", not told from {names if few else f'{len(found.untold)} of {found.others} others'}"
        words.append(f"{label} {verb} ({value}{told}{blind})")
    if level:
        words.append(f"no method is told from another by {' or '.join(level)}")
    if not words:
        return ""
    end = ""
    if len(leading) > 1:
        all_three = set.intersection(*leading)
        sure = all(len(one) == 1 for one in leading)
        end = "; none leads on all" if not all_three else "; one method leads on all" if sure else ""
    among = f", {len(rows)} methods of layers on the same images" if len(rows) < len(known) else ""
    return f"{results.label('models', str(frame['model'].iloc[0]))}{among}: {printing.listed(words)}{end}."


def _blind(results: Results, values: pd.DataFrame, axis: Axis, leader: Lead) -> str:
    """Say which control that sees no network does better than the best method; '' where none does."""
    best = lead(values, axis, [leader.method, *BLIND])
    if best is None or best.method == leader.method:
        return ""
    sure = "" if leader.method in best.untold else "surely "
    return f"; the blind control {results.label('methods', best.method)} is {sure}ahead with {number(best.value)}"
