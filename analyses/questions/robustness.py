"""Is it robust? Leakage, faithfulness, robustness and time of each method side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import dots, lines, networks, style
from analyses.questions.axes import (
    ALL,
    AXES,
    GROUP,
    KEYS,
    MEASURES,
    SHOWN,
    TABLE,
    UNIT,
    axes_of,
    changes_of,
    named,
    values_of,
    with_groups,
)
from analyses.questions.leads import finding
from analyses.reading.arrays import Floats, each_once
from analyses.reading.catalogue import FAMILIES, entries
from analyses.reading.choices import at_highest
from analyses.reading.manifest import INPUT
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.intervals import NOTE

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
_COUNTS = {"leakage": "n_images", "faithfulness": "n_faithful", "robustness": "n_robust"}
MOST_TICKS = 5


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
            own = axis.name in ("robustness", "seconds") and block[0].control  # what does not look has none
            gap = "" if own else "not measured"
            dots.draw_panel(axes, of_axis.assign(hollow=few), looks, shown, reference=axis.reference, missing=gap)
        row[0].set_title("Controls" if block[0].control else "Methods", loc="left")
    for axes, axis in zip(grid[-1], SHOWN, strict=True):
        images = int(frame[count].max()) if (count := _COUNTS.get(axis.name)) else 0
        axes.set_xlabel(axis.label + networks.few(images).replace(", ", "\n"))
        if axis.name == "seconds" and (frame["seconds"] > 0).any():
            _logarithmic(axes, frame["seconds"].to_numpy(np.float64))
    handles = [
        lines.line_key(looks_of[family], FAMILIES.get(family, family)) for family in families if family != "control"
    ]
    few = frame.loc[frame["n_robust"].between(1, 0.5 * most, inclusive="left"), "n_robust"]
    hollow = [lines.dots_key("hollow", f"robustness of {printing.images(few)}")] if len(few) else []
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
