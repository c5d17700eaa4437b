"""Why maps are blank: how many are, and how much speaks for and against the class before ReLU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import layer_axis, lines, networks, style
from analyses.reading.arrays import nan_mean
from analyses.reading.choices import main_target
from analyses.reading.cubes import Cube, Where, by_method, known_layers
from analyses.reading.manifest import Layer
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, quartiles
from analyses.statistics.bounds import SHARE
from analyses.statistics.intervals import NOTE, bootstrap_interval

BALANCE, COUNTER = "sign_balance", "counter_share"
KEYS = ["model", "level", "target", "method", "depth"]
_READ = ("blank", BALANCE, COUNTER)
READING = (
    "A blank map is one that ReLU leaves nothing of: where its sign balance is 0, the weighted sum is negative "
    "everywhere, and the layer speaks against the class at every position; where it has none, the sum is zero "
    "everywhere, for example because no gradient arrives: where all features of the best pixel are zero behind the "
    "last ReLU, its score is the classifier's bias, whatever the image shows. Sign balance: the positive part's share "
    "of the absolute values before ReLU, 0 all against the class, 1 all for it, at 0.5 (dotted) both cancel."
)
SIGNS = (
    "A panel a network, a line a level, layers from left to right. Sign balance: the positive part's share of the map "
    "before ReLU. At 0 all speaks against the class, and ReLU leaves a blank map; at 1 all speaks for it."
)
RIVAL = (
    "Rival class: the sum of the map for the best other class at the same pixels, over the sum of both maps; above 0.5 "
    "the layer has more to say for the rival."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all methods, and a figure for the main target; nothing for runs without sign balance."""
    frame = summarise(results)
    if frame.empty:
        return
    how = (
        f"Shares are of all maps, with {CONFIDENCE:.0%} intervals from {RESAMPLES} resamples of images and seeds "
        f"{NOTE}; the rest are medians with quartiles over "
        "the images for which they are defined, of each image's mean over seeds."
    )
    rival = f" {RIVAL}" if frame[COUNTER].notna().any() else ""
    yield Table(
        "diagnosis",
        frame,
        f"Blank and negative maps by layer and method. {READING}{rival} negative_share: maps that are negative "
        "everywhere; zero_share: maps that are zero everywhere before ReLU (both empty for methods without a signed "
        f"map); undefined_share: nothing to explain. {how}",
    )
    target = main_target(results)
    main = frame[(frame["method"] == results.main_method) & (frame["target"] == target) & frame[BALANCE].notna()]
    for ending, models in networks.pages([model for model in results.models if (main["model"] == model).any()]):
        rows = main[main["model"].isin(models)]
        with style.context():
            figure = draw(results, rows, models)
        maps, of = results.label("methods", results.main_method), results.label("targets", target)
        details = f"Maps: {maps}; target: {of}. Medians over images with quartiles, by layer. {READING}"
        yield Figure(
            f"diagnosis{ending}", figure, Caption(finding(results, rows), SIGNS, details), "Why maps are blank"
        )


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say at how many layers more speaks against the class than for it, at each network's lowest and highest level."""
    words = []
    for model in results.models:
        of_model = frame[frame["model"] == model]
        counts: list[tuple[str, str]] = []
        for level in sorted({of_model["level"].min(), of_model["level"].max()}) if len(of_model) else ():
            rows = of_model[of_model["level"] == level]
            rows = rows[rows["layer"].isin([layer.name for layer in layer_axis.shown(results, model, rows)])]
            if len(rows):
                at = f"{int((rows[BALANCE] < 0.5).sum())} of {len(rows)}{' layers' * (not counts)}"
                counts.append((at, results.level(model, int(level), measured=False)))
        levels = [f"{count} at {level}" if len(counts) > 1 else count for count, level in counts]
        if levels:
            words.append(f"{printing.listed(levels)} in {networks.name_of(results, model)}")
    return f"More speaks against the class than for it at {'; '.join(words)}." if words else ""


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, target, method that is no control, and layer."""
    methods = [name for name in results.methods if name not in results.controls]
    rows: list[dict[str, Any]] = []
    for model in results.models:
        on_input = results.input_layer(model)
        layers = [*([on_input] if on_input else []), *results.layers(model)]
        names_of_layers = [layer.name for layer in layers]
        for level in sorted({c.level for c in results.checkpoints if c.model == model and c.reached}):
            known_layers(results, model, level, layers)
            for target in results.targets:
                where: Where = {"model": [model], "level": [level], "target": [target]}
                for method, maps in by_method(results, where, sorted(methods), names_of_layers, (), optional=_READ):
                    if BALANCE not in maps.values or "blank" not in maps.values:
                        return pd.DataFrame()
                    names = {"model": model, "level": level, "target": target, "method": method}
                    last = {"training_data": maps.training_data}
                    rows += [names | row | last for row in _rows(maps, layers)]
    return tidy(pd.DataFrame(rows), KEYS) if rows else pd.DataFrame()


def _rows(maps: Cube, layers: Sequence[Layer]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer that a method has maps of, from its columns over (layers, seeds, images)."""
    images = maps.present.any(axis=(0, 1))
    present = maps.present[..., images]
    none = np.full(maps.present.shape, np.nan, np.float32)
    blank, *others = (maps.values.get(name, none)[..., images] for name in _READ)
    balance = others[0]
    defined = np.where(present & np.isnan(blank), 0.0, blank)
    shares = bootstrap_interval(defined, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, SHARE)
    signed = (~np.isnan(balance)).any()  # by any of its maps: one that is zero everywhere has no balance of its own
    kinds = {"negative_share": balance <= 0, "zero_share": np.isnan(balance)}
    for i, layer in enumerate(layers):
        if not present[i].any():
            continue
        n_maps = present[i].sum()
        row: dict[str, Any] = {"layer": layer.name, "depth": layer.depth, "n_maps": int(n_maps)}
        row |= {"n_images": int(present[i].any(axis=0).sum()), "n_seeds": int(present[i].any(axis=1).sum())}
        row |= {f"blank_share{end}": value[i] for end, value in zip(("", "_low", "_high"), shares, strict=True)}
        row["undefined_share"] = (present[i] & np.isnan(blank[i])).sum() / n_maps
        for name, kind in kinds.items():
            row[name] = ((blank[i] == 1) & kind[i]).sum() / n_maps if signed else np.nan
        for column, values in zip((BALANCE, COUNTER), others, strict=True):
            ends = (column, f"{column}_low", f"{column}_high")
            row |= dict(zip(ends, quartiles(nan_mean(values[i], axis=0)), strict=True))
        yield row


def draw(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw the sign balance against depth, a panel a network."""
    looks = networks.looks(results, models)
    panels = []
    for model in models:
        rows = frame[frame["model"] == model]
        layers = layer_axis.shown(results, model, rows)
        rows = rows[rows["layer"].isin([layer.name for layer in layers])]
        marks = lines.levels_along_layers(rows, layers, looks, (BALANCE, f"{BALANCE}_low", f"{BALANCE}_high"))
        panel = lines.Panel("", marks, [lines.Reference(0.5)], layers, y_limits=(-0.03, 1.03), x_label="Layer")
        panels.append(replace(panel, title=networks.title(results, model, len(models))))
    panels[0] = replace(panels[0], label="Sign balance before ReLU")
    key = networks.level_key(results, models, looks)
    key += [lines.band_key("quartiles over images"), lines.reference_key("for and against cancel")]
    return lines.draw([panels], key, 3.3, key_columns=6, shared=("none", "row"), width=networks.width(len(models)))
