"""Whether it matters which pixels are explained: how far the maps of two targets agree, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import matplotlib.figure
import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import layer_axis, lines, style
from analyses.reading import choices
from analyses.reading.arrays import each_once, sources
from analyses.reading.results import Results, ResultsError
from analyses.statistics.bootstrap import quartiles

SAME = 1e-4
"""Maps whose largest difference is smaller are counted as identical."""
FLOOR = 1e-8  # where a difference of 0 is drawn on a logarithmic axis
UNDEFINED = "undefined for every pair: one map or both are blank"
PAIR = ["target", "other"]
KEYS = ["model", "level", *PAIR, "method", "layer"]
COLUMNS = [
    *("model", "level", "target", "other", "layer", "depth", "method", "linear_end"),
    *("correlation", "correlation_low", "correlation_high", "difference", "difference_low", "difference_high"),
    *("largest_difference", "identical", "n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all pairs, and a figure for each model and two sets of pixels; nothing for runs without."""
    frame = summarise(results)
    if frame.empty:
        return
    about = (
        "Agreement of the maps of two targets on one image: correlation over the cells, and the largest difference of "
        "any cell, each map divided by its maximum. Medians with quartiles (_low, _high; no interval of the median) "
        "over images, of each image's mean over seeds. Where a map of the pair is blank or undefined, neither is "
        "defined."
    )
    yield Table(
        "target_agreement",
        frame,
        f"{about} identical: share of images whose largest difference is below {SAME:g}; linear_end: a 1x1 "
        f"convolution and linear upsampling alone follow this layer.",
    )
    main = frame[frame["method"] == results.main_method]
    for model in results.models:
        of_model = main[main["model"] == model]
        for target, other in pairs(results, of_model):
            of_pair = of_model[(of_model["target"] == target) & (of_model["other"] == other)]
            if not _only_pixels_differ(results, target, other):
                continue
            with style.context():
                figure = draw(results, of_pair)
            names = "; ".join(results.label("targets", name) for name in (target, other))
            yield Figure(
                f"target_agreement-{printing.slug(model)}-{printing.slug(target)}-{printing.slug(other)}",
                figure,
                Caption(
                    "",
                    "",
                    f"{results.label('methods', results.main_method)} maps of {results.label('models', model)} for two "
                    f"targets ({names}) against the layer's depth. {about} One line a level, bands are quartiles. "
                    f"{_end(results, of_pair)}".strip(),
                ),
            )


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, level, pair of targets, method and layer."""
    table = results.agreement()
    rows: list[dict[str, Any]] = []
    if table is not None and len(table):
        each_once(table, [*KEYS, "seed", "image"], "agreement")
        for model, of_model in table.groupby("model", observed=True, sort=True):
            rows += _rows(of_model, *_layers(results, str(model)))
    order = ["model", "level", "method", "depth", "layer"]
    frame = pd.DataFrame(rows, columns=COLUMNS).sort_values(order, kind="stable", ignore_index=True)
    small = {name: frame[name].astype("float64").map(_digits) for name in COLUMNS if "difference" in name}
    frame = tidy(frame, order).assign(**small)  # rounding to six decimals would make any small difference none
    places = {pair: i for i, pair in enumerate(pairs(results, frame))}
    place = [places[pair] for pair in zip(frame["target"], frame["other"], strict=True)]
    return frame.assign(place=place).sort_values(["model", "place"], kind="stable", ignore_index=True)[COLUMNS]


def _digits(value: float) -> float:
    """Return a number with three significant digits."""
    return float(f"{value:.3g}")


def _layers(results: Results, model: str) -> tuple[dict[str, int], str]:
    """Return the layers' depths, and the name of the one that only linear maps follow."""
    end = choices.head(results, model)
    return {layer.name: layer.depth for layer in results.layers(model)}, end.name if end else ""


def _rows(of_model: pd.DataFrame, depths: dict[str, int], end: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each level, pair, method and layer of one model."""
    by_image = of_model.groupby([*KEYS, "image"], observed=True)
    images = by_image.agg(
        correlation=("correlation", "mean"), difference=("difference", "mean"), worst=("difference", "max")
    )
    numbers = {str(name): images[name].to_numpy(dtype=np.float64) for name in images}
    indices = images.groupby(KEYS, observed=True).indices
    seeds, differences, trained_on = of_model["seed"].to_numpy(), of_model["difference"].to_numpy(), sources(of_model)
    for key, maps in of_model.groupby(KEYS, observed=True).indices.items():
        names: dict[str, Any] = {
            name: str(value) for name, value in zip(KEYS, cast("tuple[Any, ...]", key), strict=True)
        }
        names["level"] = int(names["level"])
        if names["layer"] not in depths:
            raise ResultsError(f"agreement: layer {names['layer']} is not in manifest.json; run the benchmark again")
        row = names | {"depth": depths[names["layer"]], "linear_end": names["layer"] == end}
        for column in ("correlation", "difference"):
            ends = (column, f"{column}_low", f"{column}_high")
            row |= dict(zip(ends, quartiles(numbers[column][indices[key]]), strict=True))
        worst = numbers["worst"][indices[key]]
        worst = worst[~np.isnan(worst)]
        yield row | {
            "largest_difference": worst.max() if len(worst) else np.nan,
            "identical": (worst < SAME).mean() if len(worst) else np.nan,
            "n_images": len(indices[key]),
            "n_seeds": len(np.unique(seeds[maps])),
            "n_undefined": int(np.isnan(differences[maps]).sum()),
            "training_data": trained_on,
        }


def pairs(results: Results, frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of targets, the best pixel against the predicted set first, else in the manifest's order."""
    order = {name: i for i, name in enumerate(results.targets)}
    compared = {(str(one), str(two)) for one, two in zip(frame["target"], frame["other"], strict=True)}

    def place(pair: tuple[str, str]) -> tuple[bool, int, int, tuple[str, str]]:
        sets = {results.manifest.targets[name].pixels for name in pair}
        first = sets == {"best_pixel", "predicted"} and _only_pixels_differ(results, *pair)
        return (not first, order.get(pair[0], len(order)), order.get(pair[1], len(order)), pair)

    return sorted(compared, key=place)


def _only_pixels_differ(results: Results, target: str, other: str) -> bool:
    first, second = (results.manifest.targets[name] for name in (target, other))
    aside = {"label", "pixels"}
    return first.pixels != second.pixels and first.model_dump(exclude=aside) == second.model_dump(exclude=aside)


def _linear(results: Results, target: str) -> bool:
    """Return whether a target's score is linear in the logits: then every set of pixels has the same Grad-CAM."""
    score = results.manifest.targets[target].score
    return results.main_method == "grad_cam" and (score == "logit" or (score == "margin" and len(results.classes) == 2))


def _end(results: Results, frame: pd.DataFrame) -> str:
    """Say what the figure shows of the layer that only linear maps follow."""
    rows = frame[frame["linear_end"]]
    if rows.empty or not _linear(results, str(frame["target"].iloc[0])):
        return ""
    text = (
        f"The shaded layer, {rows['layer'].iloc[0]}, is followed by a 1x1 convolution and linear upsampling alone: "
        "there Grad-CAM weighs the channels by the class's own weights, whichever pixels are explained, so that its "
        "map re-scores the segmentation, and any difference is rounding"
    )
    if rows["largest_difference"].isna().all():
        return f"{text}; here no map of it has a value."
    maps = int((rows["n_images"] * rows["n_seeds"] - rows["n_undefined"]).sum())
    return f"{text}; the largest found is {rows['largest_difference'].max():.1g}, of {maps} pairs of maps."


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw correlation and largest difference of one model and pair against depth; where maps must agree, shaded."""
    model = str(frame["model"].iloc[0])
    layers = layer_axis.shown(results, model, frame)
    linear = _linear(results, str(frame["target"].iloc[0]))
    shaded = list(frame.loc[frame["linear_end"], "layer"]) if linear else []
    looks = style.level_lines(results.levels(model))
    frame = frame[frame["layer"].isin([layer.name for layer in layers])].copy()
    columns = ["difference", "difference_low", "difference_high"]
    frame[columns] = frame[columns].clip(lower=FLOOR)

    def panel(column: str, label: str, reference: lines.Reference) -> lines.Panel:
        columns = (column, f"{column}_low", f"{column}_high")
        marks = lines.levels_along_layers(frame, layers, looks, columns)
        return lines.Panel(label, marks, [reference], layers, shaded=shaded, undefined=UNDEFINED)

    correlation = panel("correlation", "Correlation of the two maps", lines.Reference(0))
    difference = panel("difference", "Largest difference of any cell", lines.Reference(SAME, style.GREY))
    limits = (FLOOR, 1.0) if frame["difference"].isna().all() else (None, None)
    difference = replace(difference, logarithmic=True, y_limits=limits)
    key = [*lines.level_key(results, model, frame), lines.band_key("quartiles over images")]
    key.append(lines.reference_key(f"identical below {SAME:g}", style.GREY))
    return lines.draw([[correlation], [difference]], key, 4.2)
