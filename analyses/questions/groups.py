"""Groups of maps: whether the network looks elsewhere in some of the images, as if at a mark in their corner."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from PIL import Image

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import map_page, map_tiles, overlay, style
from analyses.plots.map_page import Block, Page, Row, Tile
from analyses.questions.grouped import Floats, Grouped, grouped
from analyses.reading.arrays import overlaps
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, bootstrap_means, percentiles
from analyses.statistics.decisions import side
from segcam.draw import display
from segcam.draw.display import Display
from segcam.groups import DRAWS, FEWEST, HALVES, STABLE, WITHOUT, Groups

EXAMPLES = 5
"""Images of a group that the figure shows: those nearest to its mean."""
MOST_SCORES = 2
"""Scores under a group's maps: those that set it apart most."""
AREA, IOU = "object_area", "iou"
"""Facts beside the scores: the class's share of the image, and the IoU of what is predicted as the class."""
GROUPS = [
    *("model", "level", "seed", "target", "method", "group", "odd", "n_images", "n_without", "found_again"),
    *("silhouette", "separation", "by_chance", "gap", "p_chance", "p_valley", "stability", "n_layers", "training_data"),
]
SCORES = [
    *("model", "level", "seed", "target", "method", "group", "odd", "metric", "mean", "others"),
    *("away", "away_low", "away_high", "away_in_sd", "n_images", "training_data"),
]
IMAGES = ["model", "level", "seed", "target", "method", "image", "group", "odd", "silhouette", "axis_1", "axis_2"]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the groups, what sets them apart, and a figure for each model; nothing for a run without small maps."""
    found = list(grouped(results))
    if not found:
        return
    training_data = results.manifest.dataset.training_data
    rows = [row for one in found for row in _group_rows(one)]
    yield Table("groups", _frame(rows, GROUPS, ["group"], training_data), f"{_ABOUT} {_COLUMNS}")
    scored = [(one, scores_of(results, one)) for one in found]
    rows = [row for one, frame in scored for row in _score_rows(one, frame)]
    if rows:
        yield Table("groups_scores", _frame(rows, SCORES, ["group"], training_data), f"{_ABOUT} {_SCORES}")
    rows = [row for one in found for row in _image_rows(one)]
    yield Table("groups_images", _frame(rows, IMAGES, ["group", "image"], training_data), f"{_ABOUT} {_IMAGES}")
    for model in results.models:
        of_model = [(one, frame) for one, frame in scored if one.point.model == model]
        if not of_model:
            continue
        one, frame = max(of_model, key=lambda pair: pair[0].point.level)
        page = _page(results, one, frame)
        with style.context():
            figure = map_page.draw(page)
        name = results.label("models", model)
        caption = Caption(
            finding(results, one, frame), _READING, f"{_details(results, one)} {map_tiles.shown_as(page)}"
        )
        yield Figure(f"groups-{printing.slug(model)}", figure, caption, f"Groups of maps: {name}")
        with style.context():
            figure = draw_places(one.groups)
        caption = Caption(finding(results, one, frame), _PLACES, _details(results, one))
        yield Figure(f"groups_places-{printing.slug(model)}", figure, caption, f"Maps by their groups: {name}")


def scores_of(results: Results, one: Grouped) -> pd.DataFrame:
    """Return an image a row in the order of `one.images`, and a score a column: means over the layers; and facts."""
    where: dict[str, Sequence[Any]] = {
        "model": [one.point.model],
        "seed": [one.point.seed],
        "level": [one.point.level],
        "target": [one.target],
        "method": [one.method],
        "layer": list(one.layers),
    }
    names = [metric.name for metric in results.metrics]
    frame = results.scores(where, ["image"], names)
    means = frame.astype({"image": str}).groupby("image").mean().reindex(list(one.images))
    facts = {AREA: one.masks.mean((1, 2))}
    counts = results.predictions() if results.manifest.dataset.masked else None
    if counts is not None:
        point = one.point
        same = (counts["model"] == point.model) & (counts["seed"] == point.seed) & (counts["level"] == point.level)
        rows = counts[same]
        sums = overlaps(rows, results.foreground(one.target), len(results.classes))
        both, predicted, true = (of_image.to_numpy(np.float64) for of_image in sums)
        union = predicted + true - both
        iou = np.divide(both, union, out=np.full(len(rows), math.nan), where=union > 0)
        facts[IOU] = pd.Series(iou, rows["image"].astype(str)).reindex(list(one.images)).to_numpy()
    return means.assign(**facts).dropna(axis=1, how="all").astype(np.float64)


def _group_rows(one: Grouped) -> Iterator[dict[str, Any]]:
    groups = one.groups
    for group in range(groups.count):
        yield _keys(one, group) | {
            "n_images": int(groups.sizes[group]),
            "n_without": one.left_out + int((groups.labels == WITHOUT).sum()),
            "found_again": groups.found_again[group],
            "silhouette": groups.of_group[group],
            "separation": groups.separation,
            "by_chance": groups.by_chance,
            "gap": groups.gap if math.isfinite(groups.gap) else math.nan,
            "p_chance": groups.p,
            "p_valley": groups.valley[group],
            "stability": groups.stability,
            "n_layers": len(one.layers),
        }


def _keys(one: Grouped, group: int) -> dict[str, Any]:
    odd = bool(one.groups.odd[group]) if group >= 0 else False
    point = one.point
    keys: dict[str, Any] = {"model": point.model, "level": point.level, "seed": point.seed}
    return keys | {"target": one.target, "method": one.method, "group": group + 1, "odd": odd}


def _score_rows(one: Grouped, frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a row a group and score, where there are groups at all: its mean less that of all other images."""
    groups = one.groups
    if groups.count < 2:
        return
    values = frame.to_numpy().T
    for group in range(groups.count):
        inside, outside = groups.labels == group, (groups.labels != group) & (groups.labels != WITHOUT)
        stacked = np.stack([np.where(inside, values, np.nan), np.where(outside, values, np.nan)])
        mean, resampled = bootstrap_means(stacked[:, :, None], np.random.default_rng(SEED), RESAMPLES)
        away = mean[0] - mean[1]
        low, high = percentiles(resampled[:, 0] - resampled[:, 1], CONFIDENCE)
        for k, name in enumerate(frame.columns):
            spread = math.sqrt((_variance(stacked[0, k]) + _variance(stacked[1, k])) / 2)
            yield _keys(one, group) | {
                "metric": name,
                "mean": mean[0, k],
                "others": mean[1, k],
                "away": away[k],
                "away_low": min(low[k], away[k]),
                "away_high": max(high[k], away[k]),
                "away_in_sd": away[k] / spread if spread > 0 else math.nan,
                "n_images": int(np.isfinite(stacked[0, k]).sum()),
            }


def _variance(values: Floats) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.var(ddof=1)) if len(defined) > 1 else math.nan


def _image_rows(one: Grouped) -> Iterator[dict[str, Any]]:
    groups = one.groups
    for image, group, value, place in zip(one.images, groups.labels, groups.silhouettes, groups.places, strict=True):
        yield _keys(one, int(group)) | {"image": image, "silhouette": value, "axis_1": place[0], "axis_2": place[1]}


def _frame(rows: list[dict[str, Any]], columns: Sequence[str], keys: Sequence[str], data: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=[name for name in columns if name != "training_data"])
    if "training_data" in columns:
        frame = frame.assign(training_data=data)
    order = pd.Series(range(len(frame)), dtype=int)  # models and scores in the manifest's order
    model = frame.groupby(["model", "level", "seed"], sort=False).ngroup()
    kept = [name for name in keys if name in frame]
    return tidy(frame.assign(_model=model, _order=order), ["_model", *kept, "_order"]).drop(
        columns=["_model", "_order"]
    )


def finding(results: Results, one: Grouped, scores: pd.DataFrame) -> str:
    """Say how many odd groups there are, and what sets the first one apart; or that there is none."""
    name, groups = results.label("models", one.point.model), one.groups
    odd = np.flatnonzero(groups.odd)
    total = int(groups.sizes.sum())
    if not len(odd):
        if groups.count < 2:
            return f"{name}: {total} maps are too few, or too much alike, to be grouped."
        return f"{name}: no odd group among the maps of {total} images; {_why_none(groups)}."
    told = _apart(results, one, scores, int(odd[0]))
    what = f": {told[0]}" if told else ""
    sizes = printing.listed([f"{groups.sizes[group]}" for group in odd])
    return f"{name}: the maps of {sizes} of {total} images form a group apart{what}."


def _why_none(groups: Groups) -> str:
    """Say which of the conditions of `Groups.odd` fails first, of several groups none of which is odd."""
    if groups.p > 1 / (1 + DRAWS):
        return "the best cut is no further apart than by chance"
    if not groups.holds:
        return "the best cut is not found again in halves of them"
    if not groups.small.any():  # the others speak of small groups
        return "the groups are of like size"
    if not (groups.small & (groups.found_again >= STABLE)).any():
        return "no small group is found again in halves"
    return "no valley parts a small group from the others"


def _apart(results: Results, one: Grouped, scores: pd.DataFrame, group: int) -> list[str]:
    """Return in words what sets a group apart for sure, most first."""
    rows = [row for row in _score_rows(one, scores) if row["group"] == group + 1]
    sure = [row for row in rows if side([row["away"], row["away_low"], row["away_high"]])]
    sure.sort(key=lambda row: -abs(row["away_in_sd"]) if math.isfinite(row["away_in_sd"]) else 0)
    return [
        f"{_label(results, row['metric'])} {map_tiles.number(row['mean'])}, others {map_tiles.number(row['others'])}"
        for row in sure
    ]


def _label(results: Results, name: str) -> str:
    facts = {AREA: "object's area", IOU: "IoU of the answer"}
    label = next((metric.label.lower() for metric in results.metrics if metric.name == name), name)
    return facts.get(name, label)


def draw_places(groups: Groups) -> matplotlib.figure.Figure:
    """Draw a dot an image along the first two principal axes of the maps, coloured by its group; odd ones are named."""
    figure = style.figure(2.7, style.COLUMN, constrained=True)
    axes = figure.subplots()
    looks = style.model_lines([f"Group {group + 1}" for group in range(groups.count)])
    handles = []
    for group, (name, look) in enumerate(looks.items()):
        across, upwards = groups.places[groups.labels == group].T
        odd = bool(groups.odd[group])
        label = f"{name}{', odd' if odd else ''}: {groups.sizes[group]} images"
        dots = axes.scatter(across, upwards, 11, marker=look.marker, edgecolors=look.color, linewidths=0.7, label=label)
        dots.set_facecolor(look.color if odd else "none")
        handles.append(dots)
        if odd:
            place = (float(np.median(across)), float(np.median(upwards)))
            axes.annotate(name, place, ha="center", va="center", weight="bold", path_effects=style.halo())
    axes.set_xlabel("First principal axis of the maps")
    axes.set_ylabel("Second principal axis")
    axes.spines[["top", "right"]].set_visible(False)
    style.add_key(figure, handles, 2)
    return figure


def _page(results: Results, one: Grouped, scores: pd.DataFrame) -> Page:
    groups = one.groups
    rows = []
    for group in range(groups.count):
        inside = groups.labels == group
        odd = ", odd" if groups.odd[group] else ""
        mean, others = one.mean(inside), one.mean(~inside & (groups.labels != WITHOUT))
        tiles = [_map(results, mean)]
        if groups.count > 1:
            tiles.append(_map(results, np.maximum(mean - others, 0)))
        examples = [i for i in groups.order if groups.labels[i] == group][:EXAMPLES]
        label = f"Group {group + 1}{odd}\n{groups.sizes[group]} images"
        words = "; ".join(_apart(results, one, scores, group)[:MOST_SCORES])
        rows.append((Row(label, [*tiles, *(_example(results, one, scores, i) for i in examples)]), words))
    heads = ["mean", *(["more than\nother groups"] if groups.count > 1 else []), *(["near its mean"] * EXAMPLES)]
    metric = map_tiles.metric_shown(results, "energy_gain")
    shown = any(photograph is not None for photograph in one.photographs)
    key: list[tuple[map_page.Sign, str]] = [
        ("outline", f"outline of the {results.region}, {results.class_name(one.target)}"),
        ("", f"below examples: {metric.label.lower()}, mean over the layers" if metric else ""),
        ("", "" if shown else "photographs may not be shown"),
    ]
    key += [("", f"group {group + 1}: {words}") for group, (_, words) in enumerate(rows) if words]
    name, method = results.label("models", one.point.model), results.label("methods", one.method)
    level = results.level_phrase(one.point.model, one.point.level)
    return Page(
        title=f"{name}, {level}: {method}, {results.label('targets', one.target)}",
        blocks=[Block(heads, [row for row, _ in rows])],
        columns=len(heads),
        key=[(sign, text) for sign, text in key if text],
    )


def _map(results: Results, values: Floats) -> Tile:
    size = (4 * values.shape[0], 4 * values.shape[1])
    shown = Display.of(values, raw=results.raw)
    return Tile(overlay.heat(values, None, size, shown), [], display=shown, reason=shown.reason)


def _example(results: Results, one: Grouped, scores: pd.DataFrame, at: int) -> Tile:
    values = one.mean(np.arange(len(one.images)) == at)
    photograph, coded = None, one.photographs[at]
    size = (one.masks.shape[1], one.masks.shape[2])
    if coded is not None:
        photograph = np.asarray(Image.open(io.BytesIO(coded)).convert("RGB").resize(size[::-1]))
    shown = Display.of(values, raw=results.raw)
    metric = map_tiles.metric_shown(results, "energy_gain")
    text = map_tiles.score_text(metric, scores[metric.name].iloc[at]) if metric and metric.name in scores else ""
    picture = (
        display.hatched(display.dimmed(photograph, size))
        if shown.reason
        else overlay.heat(values, photograph, size, shown)
    )
    return Tile(picture, overlay.outline(one.masks[at]), None, text, shown, shown.reason)


def _details(results: Results, one: Grouped) -> str:
    groups, left = one.groups, one.left_out + int((one.groups.labels == WITHOUT).sum())
    labels = [layer.label for layer in results.layers(one.point.model) if layer.name in one.layers]
    words = (
        f"{_ABOUT} {results.label('models', one.point.model)}, "
        f"{results.level_phrase(one.point.model, one.point.level)}; layers: {labels[0]} to {labels[-1]} "
        f"({len(labels)}); {left} images without the class or a map are left out."
    )
    if groups.count > 1:
        words += (
            f" Separation {groups.separation:.3f}, by chance {groups.by_chance:.3f}, gap {groups.gap:.1f} (largest of "
            f"{DRAWS} clouds: {groups.chance.max():.1f}); stability {groups.stability:.2f}."
        )
    return words


_ABOUT = (
    "Test images that show the class, grouped by where their maps have energy on the layers before the decoder "
    "(k-means of the roots of unit-sum maps along ten principal axes; what goes with the mask's place is taken out). "
    f"The number of groups is the one found again best in halves, of those further apart than all of {DRAWS} normal "
    f"and {DRAWS} even clouds of the same axes. A group is odd that is half as large as the largest at most, where "
    f"groups are that far apart, {HALVES} random halves agree on them and on this group by {STABLE:g} or more, and "
    f"between it and every other one lies a valley, deeper than in all of {DRAWS} even spreads (Hartigan's dip)."
)
_COLUMNS = (
    "found_again: what a group shares with the most similar group of a half (Jaccard); silhouette: of the group's "
    "maps; separation: of all maps; by_chance: of clouds without groups; gap: separation less by_chance, in standard "
    "deviations, for the clouds where it is less; p_valley: largest share, over the other groups, of even spreads "
    f"whose dip is as large; stability: adjusted Rand index of halves. Fewer than {FEWEST} images are one group."
)
_SCORES = (
    f"away: mean of the group less that of all other images, with {CONFIDENCE:.0%} intervals from {RESAMPLES} "
    "resamples of images, the groups taken as they are; away_in_sd: in standard deviations. Scores are means over "
    f"the layers; {AREA}: the class's share of the image, {IOU}: of what is predicted as the class."
)
_IMAGES = "group 0: no map; axis_1, axis_2: where a map lies along the principal axes, in units of the layers' spread."
_PLACES = (
    "A dot an image, along the first two principal axes of its maps, coloured by group; full and named: odd groups. "
    "Groups that overlap here may be apart along the other eight axes."
)
_READING = (
    "A row a group of images whose maps are alike: the mean map, where it has more than the other groups' mean, and "
    "the images nearest to the mean. An odd group is one that the network looks at in another way than at most images."
)
