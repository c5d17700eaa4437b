"""Whether it matters which pixels are explained: how far the maps of two targets agree, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.artifacts import Table, tidy
from analyses.reading import choices
from analyses.reading.arrays import nan_mean
from analyses.reading.cubes import Cube, Where, cube
from analyses.reading.results import Results, ResultsError
from analyses.reading.scan import Scan
from analyses.statistics.bootstrap import quartiles

SAME = 1e-4
"""Maps whose largest difference is smaller are counted as identical."""
TABLE = "agreement"
PAIR = ["target", "other"]
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
    rows: list[dict[str, Any]] = []
    for model in sorted(results.models) if results.parts(TABLE) else ():
        depths, end = _layers(results, model)
        for level in results.levels(model):
            rows += _rows(results, model, level, depths, end)
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


def _rows(results: Results, model: str, level: int, depths: dict[str, int], end: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each pair, method and layer of one model and level."""
    where: Where = {"model": [model], "level": [level]}
    table = Scan(results.parts(TABLE), where, TABLE)
    if strange := sorted(set(table.values("layer")) - set(depths)):
        raise ResultsError(f"agreement: layer {strange[0]} is not in manifest.json; run the benchmark again")
    for target, other in table.groups(PAIR, {}):
        of_pair = {**where, "target": [target], "other": [other]}
        axes = {"method": None, "layer": list(depths), "seed": None, "image": None}
        maps = cube(results, of_pair, axes, ["correlation", "difference"], table=TABLE)
        for method, of_method in maps.each("method"):
            for layer, of_layer in of_method.each("layer"):
                names = {"model": model, "level": level, "target": target, "other": other}
                row = names | {"method": method, "layer": layer, "depth": depths[layer], "linear_end": layer == end}
                yield row | _numbers(of_layer) | {"training_data": maps.training_data}


def _numbers(of_layer: Cube) -> dict[str, Any]:
    """Return what the pairs of a layer's maps come to, from (seeds, images)."""
    images, seeds = of_layer.present.any(axis=0), of_layer.present.any(axis=1)
    row: dict[str, Any] = {}
    for column in ("correlation", "difference"):
        ends = (column, f"{column}_low", f"{column}_high")
        # Means of numbers of 32 bits have no more digits themselves.
        row |= dict(zip(ends, quartiles(nan_mean(of_layer.values[column], axis=0).astype(np.float32)), strict=True))
    worst = np.fmax.reduce(of_layer.values["difference"], axis=0)
    worst = worst[~np.isnan(worst)]
    return row | {
        "largest_difference": float(worst.max()) if len(worst) else np.nan,
        "identical": (worst < SAME).mean() if len(worst) else np.nan,
        "n_images": int(images.sum()),
        "n_seeds": int(seeds.sum()),
        "n_undefined": int(np.isnan(of_layer.values["difference"][of_layer.present]).sum()),
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
