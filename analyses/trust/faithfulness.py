"""Faithfulness: what becomes of the predicted set when the pixels that maps name go, beside blind orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import areas as figures
from analyses.plots import networks, style
from analyses.reading.arrays import Floats, distinct, fill
from analyses.reading.catalogue import BLIND, FEWEST
from analyses.reading.choices import DECODER, at_highest, first_target
from analyses.reading.drawn_tables import published_or
from analyses.reading.results import Results
from analyses.statistics import bounds
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.bounds import CORRELATION, SHARE, Bounds
from analyses.statistics.decisions import side
from analyses.statistics.intervals import bootstrap_interval

MAP, AREA_MATCHED, RANDOM, BLUR_MATCHED = "map", "area_matched", "random", "blur_matched"
ROAD = "noisy_linear"
SAME = ["model", "level", "target", "measure", "imputation", "outcome"]
KEYS = [*SAME, "layer", "method"]
UNIT = ["seed", "image"]
AREAS = ("deletion", "insertion", "context_deletion", "context_insertion")
"""Measures that are areas under curves, which other orders have too."""
RATIO = Bounds(lower=0.0)
"""What a probability or an IoU is over its value in the unchanged image may be more than 1; a Dice there is 1."""
POSSIBLE = {"infidelity": SHARE, "sensitivity_n": CORRELATION}
COLUMNS = [
    *("model", "level", "target", "layer", "depth", "method", "measure", "imputation", "outcome", "order"),
    *("mean", "low", "high", "n_images", "n_seeds"),
    *("against", "difference", "difference_low", "difference_high", "n_pairs", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table and a figure of the areas; nothing for a run that did not examine faithfulness."""
    frame = published_or(results, "faithfulness", _of_run)
    if frame.empty:
        return
    reading = _READING.format(confidence=CONFIDENCE, resamples=RESAMPLES)
    yield Table("faithfulness", frame, f"{_TABLE} {reading}")
    target = first_target(results, frame)
    top = at_highest(frame)
    top = top[top["target"] == target]
    for ending, models in networks.pages([model for model in results.models if (top["model"] == model).any()]):
        rows = top[top["model"].isin(models)]
        if panels := figures.area_panels(rows):
            with style.context():
                drawn = figures.draw_areas(results, panels, shown_layers(results, rows))
            words = []
            for model in models:
                of_model = rows[rows["model"] == model]
                level = results.level_phrase(model, int(of_model["level"].iloc[0]))
                words.append(f"{results.label('models', model)}, {level}, {int(of_model['n_images'].max())} images")
            where = "; ".join(words)
            details = f"{where}; target: {results.label('targets', target)}. {_DETAILS}"
            caption = Caption(finding(results, panels), READING, details)
            yield Figure(f"faithfulness_areas{ending}", drawn, caption, "Faithfulness")


MOST_TOLD = 2
"""Networks of which a title says more than numbers."""
READING = (
    "Areas under the curves as pixels go (deletion) or come back (insertion), less those of a reference that knows no "
    "map, paired by image. Arrows point to where a map is more faithful than its reference. ROAD fills holes from "
    "their neighbours. Grey: controls."
)
_DETAILS = (
    "The reference is, for deletion and insertion by blurring, the random order that takes as many pixels of the "
    "predicted set at each step as the map; for the context's curves, which spare that set, the random order; for "
    "ROAD, which fills scattered holes almost without a trace, the order of the blur-matched control on the same "
    "layer. The title counts the areas of all layers; of several networks the deepest before the decoder is drawn. "
    "Infidelity, sensitivity-n and max-sensitivity are in the table faithfulness, which says how all are measured."
)


def finding(results: Results, panels: Sequence[figures.Panel]) -> str:
    """Say in how many areas the main method is more faithful than its reference, and in how many less.

    Beside it stand the layer with most of these areas, and the blind control that is more faithful in the most; of
    many networks the numbers alone.
    """
    rows = pd.concat([panel.rows.assign(sign=panel.sign) for panel in panels]).reset_index(drop=True)
    sides = rows["sign"] * side(rows[name] for name in ("estimate", "low", "high"))
    enough = rows["n_images"] >= FEWEST
    rows = rows.assign(more=(sides > 0) & enough, less=(sides < 0) & enough)
    words, best = [], []
    many = rows["model"].nunique() > MOST_TOLD
    for model in results.models:
        of_model = rows[rows["model"] == model]
        own = of_model[of_model["method"] == results.main_method]
        if own.empty:
            continue
        name, images = networks.name_of(results, model), int(own["n_images"].max())
        if images < FEWEST:
            words.append(f"none of {len(own)} areas in {name} for sure, nor less ({images} images)")
            continue
        said = f"{own['more'].sum()} of {len(own)} areas in {name}"
        blind = of_model[of_model["method"].isin(BLIND)].groupby("method")["more"].sum()
        if many:
            words.append(said)
            best.append(str(blind.max()) if len(blind) else "0")
            continue
        of_layers = own.groupby("layer", sort=False)["more"].sum().sort_values(ascending=False, kind="stable")
        if len(of_layers) > 1 and of_layers.iloc[0] > of_layers.iloc[1]:
            at = networks.label_of(results, model, str(of_layers.index[0]))
            said += f" ({of_layers.iloc[0]} of them at {at})" if own["more"].sum() > 1 else f" (at {at})"
        said += f", less in {own['less'].sum()}"
        if len(blind):
            control = f"the control {figures.label(results, str(blind.idxmax()))}"
            said += f"; {control} is so in {blind.max()}" if blind.max() else "; no blind control is so in any"
        words.append(said)
    found = f"{results.label('methods', results.main_method)} is more faithful than its reference in"
    if rows["method"].isin(BLIND).any() and len(best) == len(words) > 0:  # or it is not plain whose number is whose
        return f"{found} {printing.listed(words)}; the best blind control in {printing.listed(best)}."
    return f"{found} {'; in '.join(words)}." if words else ""


_READING = (
    "S(t) is measured on the set M that is predicted in the unchanged image, and given over its value there: the mean "
    "class probability over M, the Dice of the new prediction with M, or its IoU with the truth. Images in which "
    "nothing is predicted, and blank maps, have no value. Pixels that go become the blurred image's (blur) or what "
    "their neighbours give (noisy_linear: ROAD). The control 'random', noise on the layer's own grid, is as smooth as "
    "a map of the layer: what a map scores beyond it, it does not owe to its smoothness. Intervals are of "
    "{confidence:.0%}, from {resamples} resamples of images and seeds (crossed bootstrap, widened where few seeds "
    "differ), and pointwise; with one "
    "seed they speak of the images alone."
)
_TABLE = (
    "Faithfulness by layer and method: areas under the deletion curve (low is good) and the insertion curve (high is "
    "good), 'context_': of pixels outside M alone; infidelity (low is good; 1: the map foretells nothing), "
    "sensitivity-n (correlation, high is good), and max-sensitivity under small noise (low is stable), the target's "
    "pixels kept or picked again. order 'area_matched': random pixels, as many of M at each step as the map takes; "
    "'random': any. difference: mean of value less that of what against names, paired by image and seed: one of these "
    "orders, or with noisy_linear the map of the blur-matched control."
)


def _of_run(results: Results) -> pd.DataFrame:
    """Return the table of a run; empty where it did not examine faithfulness."""
    areas = results.table("faithfulness")
    return pd.DataFrame() if areas is None or areas.empty else tabulate(results, areas)


def tabulate(results: Results, areas: pd.DataFrame) -> pd.DataFrame:
    """Return a row a value's mean with its interval; of maps' areas also the paired difference from another order.

    Raises:
        ResultsError: an image is there twice.
    """
    areas = areas.astype({name: str for name in ("image", *KEYS) if name not in ("level",)})
    order = areas["order"].astype(str)
    tables = []
    for name in (MAP, AREA_MATCHED, RANDOM):
        of_order = areas[order == name]
        if len(of_order):
            tables.append(_means(of_order).assign(order=name))
    frame = pd.concat(tables, ignore_index=True)
    pairs = [
        _differences(areas[(order == MAP) & areas["measure"].isin(AREAS)], *reference)
        for reference in _references(areas, order)
    ]
    differences = [of_order for of_order in pairs if len(of_order)]
    if differences:  # of several references the first
        both = pd.concat(differences, ignore_index=True).drop_duplicates(KEYS)
        frame = frame.merge(both.assign(order=MAP), on=[*KEYS, "order"], how="left")
    depths = {(model, x.name): x.depth for model in results.models for x in results.layers(model)}
    sources = areas.groupby("model")["training_data"].agg(lambda names: " / ".join(sorted(set(map(str, names)))))
    frame["depth"] = [depths.get(key, -1) for key in zip(frame["model"], frame["layer"], strict=True)]
    frame["training_data"] = frame["model"].map(sources)
    frame["against"] = frame["against"].fillna("") if "against" in frame else ""
    frame = frame.reindex(columns=COLUMNS).astype({"n_pairs": "Int64"})
    places = {name: i for i, name in enumerate(results.methods)}
    ordered = frame.assign(_method=frame["method"].map(places))
    keys = ["model", "level", "target", "measure", "imputation", "outcome", "depth", "_method", "method", "order"]
    return tidy(ordered, keys).drop(columns="_method")


def _references(areas: pd.DataFrame, order: pd.Series) -> Iterator[tuple[pd.DataFrame, list[str], str]]:
    """Yield what maps are compared with, best first: rows, the keys that pair them with the maps', and a name.

    Scattered holes are filled by linear imputation almost without a trace, so that there a random order tells nothing:
    a control of the same smoothness does.
    """
    yield areas[order == AREA_MATCHED], [*KEYS, *UNIT], AREA_MATCHED
    smooth = (order == MAP) & (areas["method"] == figures.BLUR_MATCHED) & (areas["imputation"] == ROAD)
    yield areas[smooth], [*SAME, "layer", *UNIT], BLUR_MATCHED
    yield areas[order == RANDOM], [*SAME, *UNIT], RANDOM


def shown_layers(results: Results, frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the networks and layers that have a block: of one network some, evenly spread; of several one each.

    That is the deepest one before the decoder.
    """
    models = [model for model in results.models if (frame["model"] == model).any()]
    shown = []
    for model in models:
        of_model = frame[(frame["model"] == model) & (frame["layer"] != "")].sort_values("depth", kind="stable")
        names = [str(name) for name in of_model["layer"].drop_duplicates()]
        roles = {layer.name: layer.role for layer in results.layers(model)}
        before = [name for name in names if roles.get(name) != DECODER] or names
        shown += [(model, name) for name in (spread(names) if len(models) == 1 else before[-1:])]
    return shown


def spread(names: Sequence[str], most: int = figures.MOST_LAYERS) -> list[str]:
    """Return all names, or of many some evenly spread, the first and last among them.

    >>> spread(list("abcdefg"), 3), spread(list("ab"), 3)
    (['a', 'd', 'g'], ['a', 'b'])
    """
    at = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return [names[i] for i in at]


def _means(frame: pd.DataFrame, keys: Sequence[str] = KEYS) -> pd.DataFrame:
    index, cube, defined = _cube(frame, keys, "value")
    possible = bounds.stacked(_possible(index))
    estimate, low, high = bootstrap_interval(cube, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, possible)
    counts = {"n_images": defined.any(axis=1).sum(axis=1), "n_seeds": defined.any(axis=2).sum(axis=1)}
    return index.assign(mean=estimate, low=low, high=high, **counts)


def _differences(values: pd.DataFrame, other: pd.DataFrame, keys: Sequence[str], name: str) -> pd.DataFrame:
    """Return the mean difference of values from those of another order, paired by what `keys` names."""
    reference = other[[*keys, "value"]].rename(columns={"value": "reference"})
    both = values.merge(reference, on=list(keys), how="inner", validate="many_to_one")
    if both.empty:
        return pd.DataFrame()
    index, cube, defined = _cube(both.assign(change=both["value"] - both["reference"]), KEYS, "change")
    possible = bounds.stacked([one.weighted([1, -1]) for one in _possible(index)])
    estimate, low, high = bootstrap_interval(cube, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, possible)
    columns: dict[str, Any] = {"difference": estimate, "difference_low": low, "difference_high": high}
    return index.assign(against=name, **columns, n_pairs=defined.any(axis=1).sum(axis=1))


def _possible(index: pd.DataFrame) -> list[Bounds]:
    """Return the bounds of each row's measure."""
    of_areas = {"dice": SHARE}
    return [
        POSSIBLE.get(measure, of_areas.get(outcome, RATIO))
        for measure, outcome in zip(index["measure"], index["outcome"], strict=True)
    ]


def _cube(frame: pd.DataFrame, keys: Sequence[str], column: str) -> tuple[pd.DataFrame, Floats, Floats]:
    """Return the keys that there are, their numbers as (keys, seeds, images), and which of them are defined."""
    key = frame.groupby(list(keys), sort=True, observed=True).ngroup().to_numpy()
    axes: dict[str, Sequence[Any]] = {
        "_key": range(int(key.max()) + 1),
        "seed": distinct(frame["seed"]),
        "image": distinct(frame["image"]),
    }
    (cube,), _ = fill(frame.assign(_key=key), axes, [column], "faithfulness")
    index = frame[list(keys)].assign(_key=key).drop_duplicates("_key").sort_values("_key")
    return index.drop(columns="_key").reset_index(drop=True), cube, ~np.isnan(cube)
