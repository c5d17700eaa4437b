"""Whether it matters which pixels are explained: how far the maps of two targets agree, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from analyses.artifacts import Table, tidy
from analyses.reading import choices
from analyses.reading.arrays import each_once, sources
from analyses.reading.results import Results, ResultsError
from analyses.statistics.bootstrap import quartiles

SAME = 1e-4
"""Maps whose largest difference is smaller are counted as identical."""
PAIR = ["target", "other"]
KEYS = ["model", "level", *PAIR, "method", "layer"]
COLUMNS = [
    *("model", "level", "target", "other", "layer", "depth", "method", "linear_end"),
    *("correlation", "correlation_low", "correlation_high", "difference", "difference_low", "difference_high"),
    *("largest_difference", "identical", "n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Table]:
    """Yield the table of all pairs; nothing for runs without."""
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
