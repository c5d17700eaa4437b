"""When it is wrong: do the maps of false alarms and misses look elsewhere than those of hits in the same image?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from numpy.typing import NDArray

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.plots import error_pages, layer_axis, lines, networks, style
from analyses.reading.arrays import Floats, distinct, fill
from analyses.reading.catalogue import FEWEST
from analyses.reading.choices import at_highest, described, ends, shown_checkpoint
from analyses.reading.manifest import Layer
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, Interval
from analyses.statistics.bounds import ANY, CORRELATION, Bounds
from analyses.statistics.decisions import side
from analyses.statistics.intervals import NOTE, bootstrap_interval

HITS, ALARMS, MISSES, REJECTIONS = "hits", "false alarms", "misses", "rejections"
ABSENT = "false alarms, class absent"
KINDS = {"hit": HITS, "false_positive": ALARMS, "false_negative": MISSES, "rejection": REJECTIONS}
"""What the pixel sets are called."""
ORACLE = "mask_oracle"
"""The control that knows the explained pixels' place alone."""
OWN, LIKE, LIKE_REJECTIONS = "own_gain", "like_hits", "like_rejections"
MEASURES = {OWN: "Energy gain, own pixels", LIKE: "Correlation with hits"}
OBJECT = "energy_gain"
DIFFERENCE = ["difference", "difference_low", "difference_high"]
KEYS = ("seed", "image", "target", "layer", "method")
BESIDE = (
    *("dataset", "class", "model", "level", "training_data"),
    *("area", "target_pixels", "target_score", "sign_balance", "present"),
)
"""Columns that are no measures."""
LOOKS = {
    ALARMS: style.Line("#d55e00", "o", "-"),
    MISSES: style.Line("#cc79a7", "s", "-"),
    REJECTIONS: style.Line("#000000", "^", "-"),
}
GREYS = {ALARMS: style.Line(style.GREY, "None", "--"), MISSES: style.Line(style.GREY, "None", ":")}
MUCH = 1.5
"""Times the axis of the maps' lines: where those of pixels alone take more, they leave it."""
SHOWN = 3
"""Images of the picture."""
ABOUT = (
    "Of each image the pixels that are predicted as the class and are of it (hits), are predicted and are not of it "
    "(false alarms), and are of it and not predicted (misses) are explained apart, and so are those of other classes "
    "that are rightly not predicted and lie within 2 % of the diagonal from what is predicted or of the class "
    "(rejections); sets with few pixels are left out. estimate: mean over images. difference: from the hits of the "
    "same image, where both are there; of like_hits from its rejections, which are its level by chance. Metrics are "
    "against the class's mask; own_gain: energy gain on the explained pixels; like_hits, like_rejections: correlation "
    "with the map of the image's hits, of its rejections. "
    f"{CONFIDENCE:.0%} intervals from {RESAMPLES} crossed resamples of images and seeds {NOTE}. "
    f"{ORACLE}: here a map of the explained pixels, which knows their place and nothing of the network. Class absent: "
    "images without the class, which have no hits to be compared with."
)
READING = (
    "Maps of false alarms and of misses less that of the same image's hits, by layer: energy gain on the object, and "
    "on the explained pixels. Below, their correlation with it. Black: maps of rightly rejected pixels beside the "
    "object, what is alike by chance. Grey: maps of the explained pixels themselves, how far their place alone goes."
)
PICTURE = (
    "A row an image: truth, prediction, what is right and wrong of it, and the map of each set of pixels, with the "
    "set's outline. The brighter, the more of the map; hatched: none."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table, differences by layer, and pictures; nothing for runs without the measurement."""
    frame = tabulate(results)
    if frame.empty:
        return
    yield Table("when_wrong", rounded(frame), ABOUT, shown=[str(name) for name in frame if name != "training_data"])
    highest = at_highest(frame)
    compared = [model for model in results.models if _both(highest[highest["model"] == model])]
    for ending, models in networks.pages(compared):
        shown = highest[highest["model"].isin(models)]
        with style.context():
            figure = draw(results, shown, models)
        apart = _against_rejections(results, shown, models)
        details = f"{_described(results, shown, models)}{apart} {ABOUT}"
        caption = Caption(finding(results, shown, models), READING, details)
        yield Figure(f"when_wrong{ending}", figure, caption, "When it is wrong")
    for model in results.models:
        yield from picture(results, model)


def _both(frame: pd.DataFrame) -> bool:
    """Return whether errors can be compared with hits."""
    return bool(frame["difference"].notna().any())


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row a model, level, layer, method, set of pixels and measure."""
    table = results.table("errors")
    rows: list[dict[str, Any]] = []
    if table is None or not len(table):
        return pd.DataFrame(rows)
    measures = [str(name) for name in table if name not in (*KEYS, *BESIDE)]
    for model in results.models:
        layers = {layer.name: layer for layer in results.layers(model)}
        of_model = table[table["model"] == model]
        for level in sorted(set(of_model["level"])):
            part = of_model[of_model["level"] == level]
            names = {"model": model, "level": int(level)}
            rows += [names | row for row in _rows(results, part, measures, layers)]
    return pd.DataFrame(rows)


def _rows(
    results: Results, part: pd.DataFrame, measures: Sequence[str], layers: dict[str, Layer]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one model's level."""
    part = part.assign(target=part["target"].astype(str).str.partition(":")[0].map(KINDS))
    absent = ~part["present"].astype(bool)
    part = part.assign(target=part["target"].mask(absent & (part["target"] == ALARMS), ABSENT))
    part = part[~(absent & (part["target"] == REJECTIONS))]  # there is nothing to compare them with
    groups = [name for name in (HITS, ALARMS, MISSES, REJECTIONS, ABSENT) if (part["target"] == name).any()]
    there = distinct(part["layer"])
    methods = [name for name in results.manifest.methods if (part["method"] == name).any()]
    methods += [name for name in distinct(part["method"]) if name not in methods]
    axes: dict[str, Sequence[Any]] = {
        "target": groups,
        "method": methods,
        "layer": [name for name in layers if name in there],
        "seed": distinct(part["seed"]),
        "image": distinct(part["image"]),
    }
    bounds = {metric.name: Bounds(metric.lower, metric.upper) for metric in results.metrics}
    bounds |= {OWN: Bounds(upper=1.0), LIKE: CORRELATION, LIKE_REJECTIONS: CORRELATION}
    data = " / ".join(sorted(set(part["training_data"].astype(str))))
    for measure in measures:
        values, _ = fill(part, axes, [measure], "errors")
        own = values[0]
        possible = bounds.get(measure, ANY)
        means = _interval(own, possible)
        basis = REJECTIONS if measure == LIKE else HITS
        apart = own - (own[groups.index(basis)] if basis in groups else np.nan)
        differences = _interval(apart, possible.weighted([1.0, -1.0]))
        for g, group in enumerate(groups):
            for m, method in enumerate(methods):
                for i, layer in enumerate(axes["layer"]):
                    at = (g, m, i)
                    if np.isnan(means.estimate[at]):
                        continue
                    row = {"layer": layer, "depth": layers[layer].depth, "method": method, "errors": group}
                    row |= {"measure": measure, **_named("", means, at)}
                    compared = group not in (basis, ABSENT)
                    if compared:
                        row |= _named("difference_", differences, at)
                    defined = ~np.isnan(own[at])
                    counts = {"n_images": int(defined.any(axis=0).sum()), "n_seeds": int(defined.any(axis=1).sum())}
                    pairs = int((~np.isnan(apart[at])).any(axis=0).sum()) if compared else 0
                    yield row | counts | {"n_pairs": pairs, "training_data": data}


def _interval(values: Floats, possible: Bounds) -> Interval:
    return bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, possible)


def _named(prefix: str, interval: Interval, at: tuple[int, ...]) -> dict[str, float]:
    ends_of = {f"{prefix}low": float(interval.low[at]), f"{prefix}high": float(interval.high[at])}
    return {prefix.removesuffix("_") or "estimate": float(interval.estimate[at])} | ends_of


def main_method(frame: pd.DataFrame, results: Results) -> str:
    """Return the method that is looked at: the run's main one, or the first that is no control."""
    there = list(dict.fromkeys(frame["method"]))
    others = [name for name in there if name not in (*results.controls, "random", "sobel", ORACLE)]
    return results.main_method if results.main_method in others else (others or there)[0]


def finding(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> str:
    """Say how like the maps of errors are to those of hits at the encoder's end, beside those of rejections."""
    like = _like(results, frame)
    found = {group: _means(results, like[like["errors"] == group], models) for group in LOOKS}
    where = networks.label_of(results, models[0], _end(results, models[0])) if len(models) == 1 else "the encoder's end"
    if not (found[ALARMS] or found[MISSES]):
        return f"At {where}, fewer than {FEWEST} images have maps of errors and of hits that can be compared."
    said = printing.listed([f"{group} ({_range(values)})" for group, values in found.items() if values])
    return f"At {where}, maps of {said} correlate with those of hits."


def _like(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return how like the maps of the method that is looked at are to those of hits, of enough images."""
    enough = (frame["measure"] == LIKE) & (frame["n_images"] >= FEWEST)
    return frame[enough & (frame["method"] == main_method(frame, results))]


def _against_rejections(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> str:
    """Say of each set of errors whether its maps are more or less like those of hits than those of rejections are."""
    like, words = _like(results, frame), []
    for group in (ALARMS, MISSES):
        rows = like[(like["errors"] == group) & (like["n_pairs"] >= FEWEST)]
        pairs = _at_ends(results, rows, models).dropna(subset=DIFFERENCE)
        if len(pairs):
            words.append(f"{group} {_told_apart(side(pairs[DIFFERENCE].to_numpy(np.float64).T))}")
    return f" In the same images there, maps are like those of hits: of {', of '.join(words)}." if words else ""


def _told_apart(sides: NDArray[np.int8]) -> str:
    """Say in how many networks paired differences from the rejections lie above zero, or below it, for sure.

    >>> [_told_apart(np.array(sides, np.int8)) for sides in ([1], [0], [0, -1])]
    ['more than rejections', 'not told from rejections', 'less than rejections in 1 of 2 networks']
    """
    words = []
    for what, sign in (("more", 1), ("less", -1)):
        if told := int((sides == sign).sum()):
            where = "" if told == len(sides) else f" in {told} of {len(sides)} networks"
            words.append(f"{what} than rejections{where}")
    return printing.listed(words) if words else "not told from rejections"


def _end(results: Results, model: str) -> str:
    """Return the layer at the encoder's end."""
    layers = ends(results.main_layers(model))
    return layers[min(1, len(layers) - 1)].name


def _at_ends(results: Results, rows: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Return each network's rows of the layer at its encoder's end."""
    return pd.concat([rows[(rows["model"] == model) & (rows["layer"] == _end(results, model))] for model in models])


def _means(results: Results, rows: pd.DataFrame, models: Sequence[str]) -> list[float]:
    return [float(value) for value in _at_ends(results, rows, models)["estimate"].dropna()]


def _range(values: Sequence[float]) -> str:
    """Return a number, or the least and the largest of several."""
    low, high = (printing.fixed(end, 2) for end in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _described(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> str:
    levels = [described(results, model, int(frame.loc[frame["model"] == model, "level"].iloc[0])) for model in models]
    return f"{results.label('methods', main_method(frame, results))}. {printing.listed(levels)}."


def draw(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a column a network and a row a measure: lines by layer of false alarms, misses and rejections."""
    method = main_method(frame, results)
    labels = {OBJECT: "Energy gain, object", **MEASURES}
    measures = [name for name in labels if (frame["measure"] == name).any()]
    panels = []
    for measure in measures:
        apart = measure != LIKE
        columns = ("difference", "difference_low", "difference_high") if apart else ("estimate", "low", "high")
        limits = _limits(frame[frame["measure"] == measure], columns, method)
        row = []
        for model in models:
            layers = layer_axis.by_role(results.main_layers(model))
            part = frame[(frame["model"] == model) & (frame["measure"] == measure)]
            part = part[part["layer"].isin([layer.name for layer in layers]) & part[columns[0]].notna()]
            marks, beyond = [], []
            for group, look in LOOKS.items():
                of_group = part[part["errors"] == group]
                pixels, own = (of_group[of_group["method"] == name] for name in (ORACLE, method))
                if len(pixels) and group in GREYS:
                    marks.append(lines.along_layers(GREYS[group], pixels, layers, columns[:1]))
                    out = pixels[columns[0]][~pixels[columns[0]].between(*limits)]
                    beyond += [f"beyond the axis: {group}, pixels alone, {_range(list(out))}"] if len(out) else []
                if len(own):
                    marks.append(lines.along_layers(look, own, layers, columns))
            label = labels[measure] + (f"\n{printing.MINUS} that of hits" if apart else "")
            title = networks.title(results, model, len(models)) if measure == measures[0] else ""
            references = [lines.Reference(0.0)]
            panel = lines.Panel(label if model == models[0] else "", marks, references, layers, title=title)
            row.append(replace(panel, y_limits=limits if apart else (None, None), beyond="\n".join(beyond)))
        panels.append(row)
    there = set(frame["errors"])
    key: list[Artist] = [lines.line_key(look, group) for group, look in LOOKS.items() if group in there]
    key += [lines.line_key(look, f"{group}: pixels alone") for group, look in GREYS.items()]
    key += [lines.band_key(), lines.reference_key("as hits; no correlation")]
    height = 1.35 * len(measures) + 1.3
    return lines.draw(panels, key, height, shared=("none", "row"), width=networks.width(len(models)))


def _limits(frame: pd.DataFrame, columns: Sequence[str], method: str) -> tuple[float, float]:
    """Return the ends of an axis that holds the maps' lines; those of pixels alone where they take little more."""
    numbers = frame[frame["errors"].isin(list(LOOKS))]
    own = numbers.loc[numbers["method"] == method, list(columns)].to_numpy(np.float64)
    alone = numbers.loc[numbers["method"] == ORACLE, columns[0]].to_numpy(np.float64)

    def around(values: Floats) -> tuple[float, float]:
        known = np.append(values[np.isfinite(values)], 0.0)
        margin = 0.06 * float(np.ptp(known) or 1.0)
        return float(known.min()) - margin, float(known.max()) + margin

    inner, outer = around(own.ravel()), around(np.append(own.ravel(), alone))
    return outer if outer[1] - outer[0] < MUCH * (inner[1] - inner[0]) else inner


def picture(results: Results, model: str) -> Iterator[Figure]:
    """Yield the picture of the images that are kept of a model's checkpoint; nothing without any."""
    point = shown_checkpoint(results, model)
    kept = results.error_maps(model, point.seed, point.level) if point else []
    page = error_pages.page(results, point, kept, SHOWN) if point else None
    if page is None or point is None:
        return
    with style.context():
        figure = error_pages.draw(page)
    shown = ", ".join(page.images)
    photographs = "" if page.photographs else " Photographs of these data may not be shown."
    details = (
        f"{described(results, model, point.level)}, seed {point.seed}; maps of {page.layer}. "
        f"{shown}: those of the scored images with the most pixels in the smaller set of errors, and one without the "
        f"class where there is one: no average images.{photographs}"
    )
    caption = Caption(page.finding, PICTURE, details)
    yield Figure(f"when_wrong_maps-{printing.slug(model)}", figure, caption, "Hits, false alarms, misses")
