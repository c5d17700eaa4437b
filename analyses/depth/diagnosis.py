"""Why maps are blank: how many are, and how much speaks for and against the class before ReLU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import layer_axis, lines, style
from analyses.reading.arrays import Floats, cubes, nan_mean, sources
from analyses.reading.manifest import Layer
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, quartiles
from analyses.statistics.intervals import NOTE, bootstrap_interval

BALANCE, COUNTER = "sign_balance", "counter_share"
KEYS = ["model", "level", "target", "method", "depth"]
_READ = ("seed", "image", "layer", "method")
_READ_TOO = ("training_data", "blank", BALANCE, COUNTER)
SHOWN = {
    "blank_share": "Blank maps (share)",
    BALANCE: "Sign balance before ReLU",
    COUNTER: "Share of the rival class",
}
BANDS = f"{CONFIDENCE:.0%} interval of the share, quartiles of the rest"
READING = (
    "A blank map is one that ReLU leaves nothing of: where its sign balance is 0, the weighted sum is negative "
    "everywhere, and the layer speaks against the class at every position; where it has none, the sum is zero "
    "everywhere, for example because no gradient arrives: where all features of the best pixel are zero behind the "
    "last ReLU, its score is the classifier's bias, whatever the image shows. Sign balance: the positive part's share "
    "of the absolute values before ReLU, 0 all against the class, 1 all for it, at 0.5 (dotted) both cancel."
)
RIVAL = (
    "Rival class: the sum of the map for the best other class at the same pixels, over the sum of both maps; above 0.5 "
    "the layer has more to say for the rival."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all methods, and a figure for each model and target; nothing for runs without sign balance."""
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
    main = frame[frame["method"] == results.main_method]
    for model in results.models:
        for target in results.targets:
            rows = main[(main["model"] == model) & (main["target"] == target)]
            if rows.empty:
                continue
            with style.context():
                figure = draw(results, rows)
            yield Figure(
                f"diagnosis-{printing.slug(model)}-{printing.slug(target)}",
                figure,
                Caption(
                    "",
                    "",
                    f"Blank {results.label('methods', results.main_method)} maps of "
                    f"{results.label('models', model)}, and "
                    f"what speaks for and against the class before ReLU, against the layer's depth; target: "
                    f"{results.label('targets', target)}. One line a level. How to read it: the table diagnosis.",
                ),
            )


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, target, method that is no control, and layer."""
    methods = [name for name in results.methods if name not in results.controls]
    rows: list[dict[str, Any]] = []
    for model in results.models:
        on_input = results.input_layer(model)
        layers = [*([on_input] if on_input else []), *results.layers(model)]
        for level in sorted({c.level for c in results.checkpoints if c.model == model and c.reached}):
            for target in results.targets:
                where: dict[str, Any] = {"model": [model], "level": [level], "target": [target], "method": methods}
                scores = results.scores(where, _READ, _READ_TOO)
                if BALANCE not in scores or "blank" not in scores:
                    return pd.DataFrame()
                if COUNTER not in scores:
                    scores[COUNTER] = np.nan
                names = {"model": model, "level": level, "target": target}
                last = {"training_data": sources(scores)}
                for method, cube, present in cubes(scores, layers, ["blank", BALANCE, COUNTER]):
                    rows += [names | {"method": method} | row | last for row in _rows(cube, present, layers)]
    return tidy(pd.DataFrame(rows), KEYS) if rows else pd.DataFrame()


def _rows(cube: Floats, present: NDArray[np.bool_], layers: Sequence[Layer]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer that a method has maps of, from its (numbers, layers, seeds, images)."""
    images = present.any(axis=(0, 1))
    present = present[..., images]
    blank, *others = cube[..., images]
    balance = others[0]
    defined = np.where(present & np.isnan(blank), 0.0, blank)
    interval = bootstrap_interval(defined, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE)
    shares = [np.clip(ends, 0.0, 1.0) for ends in interval]  # widened, an interval reaches beyond what a share can be
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


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the share of blank maps, sign balance and, where it was measured, the rival's share against depth."""
    model = str(frame["model"].iloc[0])
    layers = layer_axis.shown(results, model, frame)
    frame = frame[frame["layer"].isin([layer.name for layer in layers])]
    looks = style.level_lines(results.levels(model))
    panels = []
    for name in (name for name in SHOWN if frame[name].notna().any()):
        marks = lines.levels_along_layers(frame, layers, looks, (name, f"{name}_low", f"{name}_high"))
        share = name == "blank_share"
        references = [] if share else [lines.Reference(0.5)]
        marks += _zero(frame, layers, looks) if share else []
        panels.append([lines.Panel(SHOWN[name], marks, references, layers, y_limits=(-0.03, 1.03))])
    key = [*lines.level_key(results, model, frame), lines.band_key(BANDS)]
    if (frame["zero_share"] > 0).any():
        key.append(lines.line_key(style.grey_line(0), "thin: those that are zero before ReLU", lines.THIN))
    if panels[1:]:
        key.append(lines.reference_key("for and against cancel"))
    return lines.draw(panels, key, 1.65 * len(panels) + 1.2)


def _zero(frame: pd.DataFrame, layers: Sequence[Layer], looks: Mapping[int, style.Line]) -> list[lines.Line]:
    """Return thin lines of how many of the blank maps are zero before ReLU as well, at levels where any are."""
    zero = frame[frame.groupby("level")["zero_share"].transform("max") > 0]
    shares = lines.levels_along_layers(zero, layers, looks, ["zero_share"])
    return [replace(line, look=style.Line(line.look.color, "None", "-"), width=lines.THIN) for line in shares]
