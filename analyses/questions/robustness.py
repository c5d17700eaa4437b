"""Is it robust? Leakage, faithfulness, robustness and time of each method side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import dots, lines, style
from analyses.plots.map_tiles import number
from analyses.reading.arrays import Floats, distinct, each_once, fill, nan_mean
from analyses.reading.catalogue import BLIND, FAMILIES, entries
from analyses.reading.choices import at_highest
from analyses.reading.manifest import INPUT
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import ANY, CORRELATION, SHARE, Bounds
from analyses.statistics.decisions import side
from analyses.statistics.intervals import NOTE, bootstrap_interval

TABLE, SECONDS = "robustness", "robustness_seconds"
ALL = "all"
"""What stands for all layers that are examined, in the column `layers`; else the layers' role, or 'input'."""
MEASURES = ("spearman", "cosine", "top")
GROUP = ["model", "level", "target"]
KEYS = [*GROUP, "layers", "method"]
UNIT = ["seed", "image"]
RATIO = Bounds(lower=0.0)
MOST_TICKS = 5
MOST_RESAMPLES = 10 * RESAMPLES
"""Of a comparison with many others, at most."""


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
COLUMNS = [
    *KEYS,
    "family",
    *(f"{axis.name}{end}" for axis in AXES for end in ("", "_low", "_high")),
    *("n_layers", "n_images", "n_faithful", "n_robust", "n_seeds", "training_data"),
]
CHANGES = [
    *(*KEYS, "kind", "strength"),
    *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")),
    *("n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the axes, the similarities by change, and a figure a model; nothing for a run that did not look at it."""
    measured = results.table(TABLE)
    if measured is None or measured.empty:
        return
    measured = named(measured)
    each_once(measured, [*GROUP, "layer", "method", "kind", "strength", *UNIT], TABLE)
    data = " / ".join(sorted(set(measured["training_data"].astype(str))))
    grouped = with_groups(results, measured)
    sources = dict(values_of(results, grouped))
    frame = axes_of(results, grouped, sources).assign(training_data=data)
    best = {axis.name: axis.better for axis in AXES}
    yield Table("robustness", _ordered(results, frame)[COLUMNS], f"{_ABOUT} {_COLUMNS}", best, GROUP[:1])
    changes = _ordered(results, changes_of(grouped).assign(training_data=data), ["kind", "strength"])
    yield Table("robustness_changes", changes[CHANGES], f"{_CHANGES} {_INTERVALS}")
    target = str(measured["target"].iloc[0])
    top = at_highest(frame)
    top = top[top["target"] == target]
    for model in results.models:
        of_model = whole(top[top["model"] == model])
        if of_model.empty:
            continue
        with style.context():
            drawn = draw(results, of_model)
        level = int(of_model["level"].iloc[0])
        name = results.label("models", model)
        details = (
            f"{name}, {results.level_phrase(model, level)}; target: {results.label('targets', target)}; layers: "
            f"{', '.join(_layers(results, measured, model))}. {_ABOUT} {_INTERVALS}"
        )
        caption = Caption(finding(results, of_model, sources), _READING, f"{details} {_LEADS}")
        yield Figure(f"robustness-{printing.slug(model)}", drawn, caption, f"Is it robust? {name}")


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each method's row of all layers, or of the input where it has no layers."""
    kept = frame[frame["layers"].isin([ALL, INPUT])].sort_values("layers", kind="stable")
    return kept.drop_duplicates("method").reset_index(drop=True)


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


def _ordered(results: Results, frame: pd.DataFrame, beside: Sequence[str] = ()) -> pd.DataFrame:
    """Return rows in the order of models, levels, layers and methods."""
    places = {entry.name: i for i, entry in enumerate(entries(results))}
    models = {name: i for i, name in enumerate(results.models)}
    helped = frame.assign(
        _model=frame["model"].map(models),
        _layers=frame["layers"].map({ALL: 0, INPUT: 2}).fillna(1),
        _method=frame["method"].map(places).fillna(len(places)),
    )
    keys = ["_model", "level", "target", "_layers", "layers", "_method", "method", *beside]
    return tidy(helped, keys)


def _layers(results: Results, measured: pd.DataFrame, model: str) -> list[str]:
    names = set(measured.loc[measured["model"] == model, "layer"])
    return [layer.label for layer in results.layers(model) if layer.name in names]


@dataclass(frozen=True)
class Lead:
    """Which method has the best mean on an axis, and which are not told from it.

    Attributes:
        method: the best.
        value: its mean.
        untold: methods whose paired difference from it may be none.
        others: how many it is compared with.
    """

    method: str
    value: float
    untold: tuple[str, ...]
    others: int


def lead(values: pd.DataFrame, axis: Axis, methods: Sequence[str]) -> Lead | None:
    """Return the best of methods on an axis, compared with each other one on the same images and seeds.

    As many intervals as there are others hold at once: each has the confidence that leaves all of them the usual one
    (Bonferroni), so that the choice of the best is paid for.

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
    if not others:
        return Lead(names[best], float(estimates[best]), (), 0)
    confidence = 1 - (1 - CONFIDENCE) / len(others)
    apart = sign * (cube[best] - cube[others])
    # Ends further out rest on fewer resamples. With as many more their noise, over half the width, is no larger than
    # what `side` takes for the usual confidence and resamples; at `MOST_RESAMPLES` up to about seventy others.
    resamples = min(RESAMPLES * len(others), MOST_RESAMPLES)
    interval = bootstrap_interval(apart, np.random.default_rng(SEED), resamples, confidence)
    sides = side(interval, resamples=RESAMPLES)
    untold = tuple(names[i] for i, told in zip(others, sides, strict=True) if told <= 0)
    return Lead(names[best], float(estimates[best]), untold, len(others))


def finding(results: Results, frame: pd.DataFrame, sources: Mapping[str, pd.DataFrame]) -> str:
    """Say which method leads on each axis, of those that are examined on all images, as far as it can be told."""
    rows = frame[(frame["family"] != "control") & (frame["layers"] == ALL)]  # maps of the input are no others' equals
    rows = rows[rows["n_robust"] >= 0.5 * rows["n_robust"].max()] if len(rows) else rows
    if rows.empty:
        return ""
    place = {key: rows[key].iloc[0] for key in (*GROUP, "layers")}
    words, leading = [], list[set[str]]()
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
        leading.append({found.method, *found.untold})
        told = ""
        if found.untold:
            few = len(found.untold) <= 2
            names = printing.listed([results.label("methods", name) for name in found.untold])
            told = f", not told from {names if few else f'{len(found.untold)} of {found.others} others'}"
        words.append(f"{label} {verb} ({value}{told}{_blind(results, here, axis, found)})")
    if not words:
        return ""
    end = ""
    if len(leading) > 1:
        all_three = set.intersection(*leading)
        sure = all(len(one) == 1 for one in leading)
        end = "; none leads on all" if not all_three else "; one method leads on all" if sure else ""
    return f"{results.label('models', str(frame['model'].iloc[0]))}: {printing.listed(words)}{end}."


def _blind(results: Results, values: pd.DataFrame, axis: Axis, leader: Lead) -> str:
    """Say which control that sees no network does better than the best method; '' where none does."""
    best = lead(values, axis, [leader.method, *BLIND])
    if best is None or best.method == leader.method:
        return ""
    sure = "" if leader.method in best.untold else "surely "
    return f"; the blind control {results.label('methods', best.method)} is {sure}ahead with {number(best.value)}"


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a panel an axis, a row a method; methods by family, those of few images hollow, controls below."""
    order = [entry for entry in entries(results) if (frame["method"] == entry.name).any()]
    most = frame["n_robust"].max()
    families = [family for family in FAMILIES if any(entry.family == family for entry in order)]
    families += sorted({entry.family for entry in order} - set(families))
    looks_of = style.model_lines(families)
    blocks = [[e for e in order if not e.control], [e for e in order if e.control]]
    blocks = [block for block in blocks if block]
    height = dots.ROW * sum(map(len, blocks)) + dots.BETWEEN * len(blocks) + 0.95
    figure = style.figure(max(1.6, height), constrained=True)
    grid = figure.subplots(
        len(blocks), len(SHOWN), squeeze=False, sharex="col", height_ratios=[len(block) + 1 for block in blocks]
    )
    for row, block in zip(grid, blocks, strict=True):
        looks = {e.name: style.Line(style.GREY, "s", "-") if e.control else looks_of[e.family] for e in block}
        labels = [printing.plain(e.label) for e in block]
        for axes, axis in zip(row, SHOWN, strict=True):
            columns = {axis.name: "estimate", f"{axis.name}_low": "low", f"{axis.name}_high": "high"}
            of_axis = frame[["method", *columns, "n_robust"]].rename(columns=columns)
            of_axis = of_axis[np.isfinite(of_axis["estimate"].astype(float))]
            few = of_axis["n_robust"] < 0.5 * most if axis.name == "robustness" else False
            shown = labels if axes is row[0] else ()
            dots.draw_panel(axes, of_axis.assign(hollow=few), looks, shown, reference=axis.reference)
        row[0].set_title("Controls" if block[0].control else "Methods", loc="left")
    for axes, axis in zip(grid[-1], SHOWN, strict=True):
        axes.set_xlabel(axis.label)
        if axis.name == "seconds" and (frame["seconds"] > 0).any():
            _logarithmic(axes, frame["seconds"].to_numpy(np.float64))
    handles = [
        lines.line_key(looks_of[family], FAMILIES.get(family, family)) for family in families if family != "control"
    ]
    few = frame["n_robust"].between(1, 0.5 * most, inclusive="left")
    hollow = [lines.dots_key("hollow", "robustness of few images")] if few.any() else []
    style.add_key(figure, [*handles, *hollow, lines.reference_key()], 5)
    return figure


def _logarithmic(axes: Axes, values: Floats) -> None:
    """Draw an axis of positive values on a logarithmic scale, with ticks at 1, 2 and 5."""
    known = values[values > 0]
    low, high = known.min() / 2, known.max() * 2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) > MOST_TICKS:
        ticks = [tick for tick in ticks if round(math.log10(tick), 6).is_integer()]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


_INTERVALS = f"{CONFIDENCE:.0%} intervals from {RESAMPLES} resamples of images and seeds {NOTE}."
_ABOUT = (
    "Leakage: energy of maps off the object's class over its share by chance, 1 less the energy gain (0: none, 1: as "
    "by chance). Faithfulness: the area under the insertion curve less that under the deletion curve, as the table "
    "faithfulness has them. Robustness: Spearman's correlation with the map of the unchanged image, the explained "
    "pixels kept, mean over the strongest noise, brightness, contrast and blur (the table robustness_changes has all). "
    "Seconds: a pass and one map of one image on the run's machine; a pass serves all layers and methods that share it."
)
_COLUMNS = (
    f"layers {ALL}: mean over the layers examined, else those of a role, or the input. context_faithfulness: the same "
    "of pixels off the predicted set; cosine and top: of the maps and of their top tenths, what they share; "
    "max_sensitivity: largest relative change under small noise, of the faithfulness measurement. n_images: of "
    f"leakage, n_faithful: of faithfulness, n_robust: of robustness. {_INTERVALS} "
    "Controls that do not look at the network have no robustness."
)
_CHANGES = (
    "How alike maps stay to those of the unchanged image, by change: noise and brightness in standard deviations of "
    "the image, contrast the share of it that goes, blur in shares of the shorter side. Spearman's correlation of the "
    "cells, their cosine, and what their top tenths share of all that is in either. The pixels explained are those "
    "that the target chose in the unchanged image. n_undefined: maps that are blank or undefined."
)
_LEADS = (
    "Title: the best mean on an axis, and the methods from which it is not told: those whose paired difference, on the "
    f"same images and seeds, may be none. These intervals hold at once with {CONFIDENCE:.0%} (Bonferroni)."
)
_READING = (
    "Four axes side by side, a row a method: energy off the object (dotted: by chance), faithfulness (dotted: none), "
    "how alike a map stays under small changes of the image, and time. Arrows point to the better side."
)
