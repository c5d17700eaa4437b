"""Leakage, faithfulness, robustness and time of each method: where they are read, and their means with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.reading.arrays import Floats, distinct, each_once, fill
from analyses.reading.catalogue import entries
from analyses.reading.manifest import INPUT
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import ANY, CORRELATION, SHARE, Bounds
from analyses.statistics.intervals import bootstrap_interval

TABLE, SECONDS = "robustness", "robustness_seconds"
ALL = "all"
"""What stands for all layers that are examined, in the column `layers`; else the layers' role, or 'input'."""
MEASURES = ("spearman", "cosine", "top")
GROUP = ["model", "level", "target"]
KEYS = [*GROUP, "layers", "method"]
UNIT = ["seed", "image"]
RATIO = Bounds(lower=0.0)


@dataclass(frozen=True)
class Axis:
    """One of the numbers that stand side by side.

    Attributes:
        name: its column.
        bounds: what it can be.
        label: in the figure; '' for those of the table alone.
        better: 'higher' or 'lower'.
        reference: what a map that knows nothing has, if that is a number.
    """

    name: str
    bounds: Bounds
    label: str = ""
    better: printing.Direction = "higher"
    reference: float | None = None


AXES = (
    Axis("leakage", RATIO, "Leakage, over chance ↓", "lower", 1.0),
    Axis("faithfulness", ANY, "Insertion less deletion ↑", reference=0.0),
    Axis("robustness", CORRELATION, "Robustness, Spearman ↑"),
    Axis("seconds", RATIO, "Seconds a map ↓", "lower"),
    Axis("context_faithfulness", ANY),
    Axis("cosine", SHARE),
    Axis("top", SHARE),
    Axis("max_sensitivity", RATIO, better="lower"),
)
SHOWN = [axis for axis in AXES if axis.label]


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose names are text, and its strengths as they were written."""
    texts = [name for name in ("model", "target", "layer", "method", "kind", "image", "training_data") if name in frame]
    frame = frame.astype(dict.fromkeys(texts, str))
    return frame.assign(strength=frame["strength"].astype(float).round(6)) if "strength" in frame else frame


def with_groups(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows of layers once for all layers and once for those of their role; of the input once."""
    roles = {(model, layer.name): layer.role for model in results.models for layer in results.layers(model)}
    role = [roles.get(key, INPUT) for key in zip(frame["model"], frame["layer"], strict=True)]
    by_role = frame.assign(layers=role)
    return pd.concat([by_role[by_role["layers"] != INPUT].assign(layers=ALL), by_role], ignore_index=True)


def strongest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the strongest change of each kind: those that every method was examined under."""
    changes = frame[["kind", "strength"]].drop_duplicates()
    changes = changes.assign(_size=changes["strength"].abs()).sort_values(["kind", "_size", "strength"])
    return frame.merge(changes.groupby("kind").tail(1)[["kind", "strength"]], on=["kind", "strength"])


def values_of(results: Results, grouped: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each axis that is there, with a row a map, change and group of layers.

    Args:
        results: the run.
        grouped: the rows of `with_groups`: of their layers and targets the other axes are taken.
    """
    alike = strongest(grouped).rename(columns={"spearman": "robustness"})
    examined = grouped[[*GROUP, "layer", "layers"]].drop_duplicates()
    sources = [(alike, ("robustness", "cosine", "top")), (leakage_of(results, grouped), ("leakage",))]
    sources += [(one, (name,)) for name, one in faithfulness_of(results).items()]
    taken = results.table(SECONDS)
    sources.append((pd.DataFrame() if taken is None else named(taken), ("seconds",)))
    for values, names in sources:
        if not values.empty:
            of_layers = values if "layers" in values else values.merge(examined, on=[*GROUP, "layer"])
            yield from ((name, of_layers) for name in names)


def axes_of(results: Results, grouped: pd.DataFrame, sources: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row a model, level, target, group of layers and method, with each axis and its interval.

    Args:
        results: the run.
        grouped: the rows of `with_groups`.
        sources: what `values_of` yields, by axis.
    """
    examined = grouped[[*GROUP, "layer", "layers"]].drop_duplicates()
    frame = pd.DataFrame(columns=KEYS)
    bounds = {axis.name: axis.bounds for axis in AXES}
    for name, values in sources.items():
        if len(made := _means(values, KEYS, name, bounds[name])):
            frame = frame.merge(made, on=KEYS, how="outer")
    for axis in AXES:
        for end in ("", "_low", "_high"):
            if f"{axis.name}{end}" not in frame:
                frame[f"{axis.name}{end}"] = math.nan
    families = {entry.name: entry.family for entry in entries(results)}
    counts = {name: f"n_{name}" for name in ("leakage", "faithfulness", "robustness")}
    counted = examined.groupby([*GROUP, "layers"], as_index=False).agg(n_layers=("layer", "nunique"))
    frame = frame.merge(counted, on=[*GROUP, "layers"], how="left")
    for column in counts.values():
        frame[column] = frame.get(column, 0)
    seeds = [name for name in frame if str(name).startswith("n_seeds")]
    numbers = frame[[*counts.values(), *seeds]].fillna(0).astype(int)
    n_seeds = numbers[seeds].max(axis=1)
    frame = frame.assign(n_images=numbers["n_leakage"], n_robust=numbers["n_robustness"], n_seeds=n_seeds)
    frame = frame.assign(n_faithful=numbers["n_faithfulness"])
    return frame.assign(family=frame["method"].map(families).fillna("")).reset_index(drop=True)


def leakage_of(results: Results, grouped: pd.DataFrame) -> pd.DataFrame:
    """Return the leakage of each map that is scored: 1 less the energy gain, which is 0 on the object and 1 by chance.

    That is the share of the energy outside the object's class over that of the pixels there. Without the gain it is
    taken from the share of the energy inside: then as a share, not over chance.
    """
    known = {metric.name for metric in results.metrics}
    metric = next((name for name in ("energy_gain", "energy_inside") if name in known), None)
    if metric is None:
        return pd.DataFrame()
    tables = []
    for (model, level), rows in grouped.groupby(["model", "level"]):
        where: Mapping[str, Any] = {
            "model": [model],
            "level": [level],
            "target": sorted(set(rows["target"])),
            "layer": sorted(set(rows["layer"])),
        }
        tables.append(results.scores(where, [*GROUP, "layer", "method", *UNIT, metric]))
    frame = named(pd.concat(tables, ignore_index=True))
    return frame.assign(leakage=1 - frame[metric].astype(float))


def faithfulness_of(results: Results) -> dict[str, pd.DataFrame]:
    """Return, by axis, a row a map: the area under its insertion curve less that under its deletion curve.

    Of the first way to fill holes and the first outcome. And max-sensitivity, the pixels kept.
    """
    table = results.table("faithfulness")
    if table is None or table.empty:
        return {}
    frame = named(table)
    frame = frame.astype(dict.fromkeys(("measure", "imputation", "outcome", "order"), str))
    frame = frame[frame["order"] == "map"]
    keys = [*GROUP, "layer", "method", *UNIT]
    found: dict[str, pd.DataFrame] = {}
    curves = frame[frame["measure"].isin(["deletion", "insertion", "context_deletion", "context_insertion"])]
    if len(curves):
        first = curves.iloc[0]
        same = (curves["imputation"] == first["imputation"]) & (curves["outcome"] == first["outcome"])
        each_once(curves[same], [*keys, "measure"], "faithfulness")
        areas = curves[same].set_index([*keys, "measure"])["value"].unstack("measure")  # rows that are there alone
        for name, prefix in (("faithfulness", ""), ("context_faithfulness", "context_")):
            if {f"{prefix}insertion", f"{prefix}deletion"} <= set(areas):
                less = (areas[f"{prefix}insertion"] - areas[f"{prefix}deletion"]).rename(name)
                found[name] = less.reset_index()
    noisy = frame[frame["measure"] == "max_sensitivity_frozen"]
    if len(noisy):
        found["max_sensitivity"] = noisy.rename(columns={"value": "max_sensitivity"})
    return found


def changes_of(grouped: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each change of the image, group of layers and method."""
    keys = [*KEYS, "kind", "strength"]
    frame = pd.DataFrame(columns=keys)
    for name in MEASURES:
        made = _means(grouped, keys, name, CORRELATION if name == "spearman" else SHARE)
        frame = frame.merge(made, on=keys, how="outer")
    undefined = grouped.assign(n_undefined=grouped["cosine"].isna()).groupby(keys, as_index=False)["n_undefined"].sum()
    frame = frame.merge(undefined, on=keys, how="left")
    return frame.assign(n_images=frame["n_spearman"].astype(int), n_seeds=frame["n_seeds_spearman"].astype(int))


def _means(values: pd.DataFrame, keys: Sequence[str], column: str, bounds: Bounds) -> pd.DataFrame:
    """Return means over seeds and images with their intervals, of each image's mean over layers and changes."""
    means = values.groupby([*keys, *UNIT], observed=True)[column].mean().reset_index()
    if means.empty:
        return pd.DataFrame()
    key = means.groupby(list(keys), sort=True).ngroup().to_numpy()
    axes: dict[str, Sequence[Any]] = {
        "_key": range(int(key.max()) + 1),
        **{name: distinct(means[name]) for name in UNIT},
    }
    (cube,), _ = fill(means.assign(_key=key), axes, [column], TABLE)
    estimate, low, high = bootstrap_interval(cube, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, bounds)
    defined: Floats = ~np.isnan(cube)
    index = means[list(keys)].assign(_key=key).drop_duplicates("_key").sort_values("_key").drop(columns="_key")
    counts = {f"n_{column}": defined.any(axis=1).sum(axis=1), f"n_seeds_{column}": defined.any(axis=2).sum(axis=1)}
    ends = {column: estimate, f"{column}_low": low, f"{column}_high": high}
    return index.reset_index(drop=True).assign(**ends, **counts)
