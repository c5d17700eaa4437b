"""Whose pixels: what of a class's map lies on each class, and what removing that class's pixels does to the score.

Each class that an image shows is explained, whatever class the run is about, the background too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import class_matrices, layer_axis, lines, networks, style
from analyses.plots.class_matrices import Matrix
from analyses.questions.means import ALL, GROUP, INTERVALS, as_text, means, with_layer_means
from analyses.reading.arrays import sources
from analyses.reading.choices import at_highest
from analyses.reading.results import Results
from analyses.statistics.bounds import ANY, CORRELATION, SHARE
from analyses.statistics.decisions import side

PAIR = ["explained", "on_class"]
MOST_CLASSES = 12
"""Classes in the figure; of more, those that most images show."""
MOST_LINES = 3
"""Classes explained in the figure of layers."""
SHOWN_CONTROLS = ("mask_oracle", "random")
"""A uniform map is chance itself."""
COLUMNS = [
    *("model", "level", "target", "explained", "on_class", "layer", "method"),
    *("energy", "energy_low", "energy_high", "chance", "over_chance", "over_chance_low", "over_chance_high"),
    *("n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield three tables, a figure of matrices and one of layers; nothing for runs without the measurement."""
    energy, removal = results.table("leakage"), results.table("leakage_removal")
    if energy is None or removal is None or energy.empty or removal.empty:
        return
    layers = tabulate(results, energy)
    change = tabulate_removal(results, removal)
    mean = layers[layers["layer"] == ALL].drop(columns="layer").reset_index(drop=True)
    yield Table("leakage", mean, f"{_ENERGY} Means over the layers. {_HOW}")
    yield Table("leakage_removal", change, f"{_REMOVAL} {_HOW}")
    yield Table("leakage_layers", layers[layers["layer"] != ALL].reset_index(drop=True), f"{_ENERGY} {_HOW}")
    target = str(energy["target"].iloc[0])
    top, top_change, top_layers = (
        at_highest(one[one["target"] == target]) for one in (_of_method(results, mean), change, layers)
    )
    for ending, models in networks.pages([model for model in results.models if (top["model"] == model).any()]):
        rows, changes = top[top["model"].isin(models)], top_change[top_change["model"].isin(models)]
        with style.context():
            figure = draw(results, rows, changes, models)
        details = f"{_where(results, rows, target)} {_ENERGY} {_REMOVAL} {_HOW}"
        yield Figure(f"leakage{ending}", figure, Caption(finding(results, rows, changes), READING, details), "Leakage")
        of_layers = top_layers[top_layers["model"].isin(models)]
        with style.context():
            figure = draw_layers(results, of_layers, models)
        caption = Caption(layers_finding(results, of_layers), LAYERS_READING, details)
        yield Figure(f"leakage_layers{ending}", figure, caption, "Leakage by layer")


READING = (
    "Rows: the class explained. Above: the class whose pixels the map's energy lies on, in percent, by chance in "
    "brackets; colour: the difference. Below: the class whose pixels are removed, and by how much the score of the "
    "explained class changes. Off the diagonal both are leakage: of maps, and of the network itself."
)
LAYERS_READING = (
    "Share of the energy on other classes than the one explained, less chance, layer by layer: below 0 the map "
    "prefers its own class. Grey: controls, for the class of the run; the mask oracle is the mask on the layer's grid: "
    "its coarse cells reach over the outline, and a map of fewer of them can lie below it."
)
_ENERGY = (
    "energy: share of the map's energy, of maps of the class explained, on the pixels that are truly of on_class; "
    "chance: that class's share of the pixels; over_chance: energy less chance. Ignored pixels count nowhere."
)
_REMOVAL = (
    "score_change: change of the score of the class explained, on the pixels that were explained in the unchanged "
    "image, when the pixels of on_class are replaced, over the score's size: at -1 nothing is left of a score above 0, "
    "above 0 the pixels spoke against the class. A logit alone is known up to a constant: its shares say little."
)
_HOW = (
    "Of images that show both classes; a class is explained where truth or prediction shows it. Blank maps, empty "
    f"pixel sets and images of one class alone have no value and are counted. {INTERVALS}."
)


def tabulate(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, level, target, pair of classes, layer (and their mean) and method.

    Raises:
        ResultsError: an image is there twice.
    """
    table = as_text(table, ["model", "target", *PAIR, "layer", "method", "image"])
    numbers = ["energy", "chance", "over_chance"]
    table = table.assign(chance=table["area"], over_chance=table["energy"] - table["area"])
    table.loc[table["energy"].isna(), "chance"] = np.nan  # of the same maps
    parts = []
    for _, part in table.groupby(GROUP, sort=False):
        rows = with_layer_means(part, [*GROUP, *PAIR, "method"], numbers)
        bounds = {"energy": SHARE, "chance": SHARE, "over_chance": CORRELATION}
        found = means(rows, [*GROUP, *PAIR, "layer", "method"], bounds, "leakage")
        maps = part[part["energy"].isna()].groupby([*PAIR, "method"]).size()
        lacking = [maps.get(key, 0) for key in zip(found["explained"], found["on_class"], found["method"], strict=True)]
        found["n_undefined"] = np.where(found["layer"] == ALL, lacking, found["n_undefined"])
        parts.append(found.assign(training_data=sources(part)))
    frame = pd.concat(parts, ignore_index=True)
    return _ordered(results, frame)[COLUMNS]


def tabulate_removal(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, level, target and pair of classes: the change of the score.

    Raises:
        ResultsError: an image is there twice.
    """
    table = as_text(table, ["model", "target", *PAIR, "image", "imputation"])
    parts = []
    for _, part in table.groupby(GROUP, sort=False):
        keys = [*GROUP, *PAIR, "imputation"]
        found = means(part, keys, {"score_change": ANY}, "leakage_removal")
        area = part.groupby(PAIR)["area"].mean()
        shares = [area[key] for key in zip(found["explained"], found["on_class"], strict=True)]
        parts.append(found.assign(area=shares, training_data=sources(part)))
    frame = _ordered(results, pd.concat(parts, ignore_index=True))
    ends = ["score_change", "score_change_low", "score_change_high"]
    return frame[[*GROUP, *PAIR, "imputation", *ends, "area", "n_images", "n_seeds", "n_undefined", "training_data"]]


def _ordered(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the order of networks, classes, layers and methods."""
    ranks = {name: i for i, name in enumerate(_classes(results, frame))}
    methods = {name: i for i, name in enumerate(results.methods)}
    depths = {(model, layer.name): layer.depth for model in results.models for layer in results.layers(model)}
    keys = {f"_{name}": frame[name].map(ranks) for name in PAIR}
    if "layer" in frame:
        places = [depths.get(key, -2) for key in zip(frame["model"], frame["layer"], strict=True)]  # their mean first
        keys |= {"_place": pd.Series(places, frame.index), "_method": frame["method"].map(methods)}
    by = [*GROUP, *keys, *(["method"] if "method" in frame else [])]
    return tidy(frame.assign(**keys), by).drop(columns=list(keys))


def _classes(results: Results, frame: pd.DataFrame) -> list[str]:
    """Return the classes of a table in the data's order; a set stands where its first class does."""
    places = {name: i for i, name in enumerate(results.classes)}
    names = {str(name) for column in PAIR for name in frame[column].unique()}
    return sorted(names, key=lambda name: (places.get(name, places.get(name.partition("+")[0], len(places))), name))


def _models(results: Results, frame: pd.DataFrame) -> list[str]:
    there = set(frame["model"])
    return [model for model in results.models if model in there]


def _of_method(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the run's main method; without any, of the first that there is."""
    there = frame["method"] == results.main_method
    return frame[there if there.any() else frame["method"] == frame["method"].iloc[0]]


def _own(results: Results, frame: pd.DataFrame) -> str:
    """Return the class that the run is about; without any rows of it, the last one that is explained."""
    name, explained = results.class_name(next(iter(results.targets), "")), set(frame["explained"])
    names = [one for one in _classes(results, frame) if one in explained]
    return name if name in names else names[-1]


def _where(results: Results, frame: pd.DataFrame, target: str) -> str:
    words = []
    for model in _models(results, frame):
        rows = frame[frame["model"] == model]
        level = results.level_phrase(model, int(rows["level"].iloc[0]))
        words.append(f"{results.label('models', model)}, {level}, {int(rows['n_images'].max())} images")
    method = results.label("methods", str(frame["method"].iloc[0]))
    return f"{method}, mean over layers; {'; '.join(words)}; target: {results.label('targets', target)} of each class."


def finding(results: Results, frame: pd.DataFrame, changes: pd.DataFrame) -> str:
    """Say for each network how much of the run's class's energy lies on which other class, and what removing it does.

    Args:
        results: the run.
        frame: rows of one method, target and level a network, means over layers.
        changes: what removing does, of the same networks.
    """
    own = _own(results, frame)
    words = []
    for model in _models(results, frame):
        of_model = frame[(frame["model"] == model) & frame["energy"].notna()]
        others = of_model[(of_model["explained"] == own) & (of_model["on_class"] != own)]
        if others.empty:
            continue
        most = others.sort_values("over_chance", kind="stable").to_dict("records")[-1]
        share, chance = (f"{100 * most[name]:.0f} %" for name in ("energy", "chance"))
        pair = (changes["explained"] == own) & (changes["on_class"] == most["on_class"])
        without = _without(changes[(changes["model"] == model) & pair])
        where = networks.where(results, model)
        words.append(f"{share} lies on {most['on_class']}{where} ({chance} by chance{without})")
    if not words:
        return ""
    method = results.label("methods", str(frame["method"].iloc[0]))
    return f"Of {method}'s energy for {own}, {printing.listed(words)}."


def _without(removed: pd.DataFrame) -> str:
    """Say what the score does without a class's pixels, from the row of the pair, if there is one and it is known."""
    known = removed[removed["score_change"].notna()]
    if known.empty:
        return ""
    change, low, high = (float(known[f"score_change{end}"].iloc[0]) for end in ("", "_low", "_high"))
    return f"; without it the score {f'goes {signed(change)}' if side((change, low, high)) else 'may be the same'}"


def signed(value: float) -> str:
    """Return a relative change in percent with its sign.

    >>> signed(-0.123), signed(0.0), signed(1.5)
    ('\N{MINUS SIGN}12 %', '0 %', '+150 %')
    """
    number = printing.fixed(100 * value, 0)
    return f"{'+' if number[0] not in (printing.MINUS, '0') else ''}{number} %"


def draw(
    results: Results, frame: pd.DataFrame, changes: pd.DataFrame, models: Sequence[str]
) -> matplotlib.figure.Figure:
    """Draw a column a network: the matrix of energy above that of removal."""
    counts = frame.groupby("explained")["n_images"].max()
    many = sorted(counts.index, key=lambda name: -int(counts[name]))[:MOST_CLASSES]
    shown = [name for name in _classes(results, frame) if name in many]
    columns = []
    for model in models:
        of_model, of_changes = (one[one["model"] == model] for one in (frame, changes))
        energy = {(row["explained"], row["on_class"]): row for row in of_model.to_dict("records")}
        change = {(row["explained"], row["on_class"]): row for row in of_changes.to_dict("records")}
        above = Matrix(
            {key: 100 * row["over_chance"] for key, row in energy.items()},
            {key: _shares(row) for key, row in energy.items()},
        )
        below = Matrix(
            {key: 100 * row["score_change"] for key, row in change.items()},
            {key: signed(row["score_change"]) for key, row in change.items() if not math.isnan(row["score_change"])},
        )
        title = networks.title(results, model, len(models), images=int(of_model["n_images"].max()))
        columns.append((title, above, below))
    return class_matrices.draw(
        columns,
        shown,
        ("Class of the pixels that hold the energy", "Class of the pixels that are removed"),
        ("Energy's share less chance (percentage points)", "Change of the score (%)"),
        width=networks.width(len(models)),
    )


def _shares(row: dict[Any, Any]) -> str:
    if math.isnan(row["energy"]):
        return ""
    return f"{100 * row['energy']:.0f} %\n(chance\n{100 * row['chance']:.0f} %)"


def _other_classes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the share on all other classes, less chance: what the class's own pixels lack, with its ends turned."""
    own = frame[frame["explained"] == frame["on_class"]]
    turned = {"estimate": "over_chance", "low": "over_chance_high", "high": "over_chance_low"}
    return own.assign(**{name: -own[column] for name, column in turned.items()})


def layers_finding(results: Results, frame: pd.DataFrame) -> str:
    """Say at which layer each network's maps leak most, and least."""
    rows = _other_classes(_of_method(results, frame[frame["layer"] != ALL]))
    own_name = _own(results, rows)
    words = []
    for model in _models(results, rows):
        of_model = rows[rows["model"] == model]
        own = networks.measured(of_model[of_model["explained"] == own_name])
        if len(own):
            by_size = own.sort_values("estimate", kind="stable")
            said = [_end(results, model, ordered) for ordered in (by_size[::-1], by_size)]
            words.append(f"most at {said[0]}, least at {said[1]}{networks.where(results, model)}")
    return f"Maps for {own_name} leak {'; '.join(words)}." if words else ""


def _end(results: Results, model: str, ordered: pd.DataFrame) -> str:
    """Return the first layer of rows with its value, and whether its interval may be chance."""
    one = ordered.iloc[0]
    untold = "" if side(one[end] for end in ("estimate", "low", "high")) else ", may be chance"
    return f"{networks.first(results, model, ordered)} ({printing.short(one['estimate'])}{untold})"


def draw_layers(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a panel a network: energy on other classes by layer, a line a class, and the controls in grey."""
    rows = _other_classes(frame[frame["layer"] != ALL])
    main = _of_method(results, rows)
    counts = main.groupby("explained")["n_images"].max()
    own = _own(results, main)
    others = sorted((name for name in counts.index if name != own), key=lambda name: -int(counts[name]))
    chosen = [name for name in _classes(results, main) if name in [own, *others[: MOST_LINES - 1]]]
    looks = style.model_lines(chosen)
    controls = {name: style.grey_line(i) for i, name in enumerate(SHOWN_CONTROLS) if (rows["method"] == name).any()}
    panels = []
    for i, model in enumerate(models):
        measured = set(rows.loc[rows["model"] == model, "layer"])
        layers = layer_axis.by_role([layer for layer in results.layers(model) if layer.name in measured])
        marks: list[lines.Line | lines.Dots] = []
        for name, look in controls.items():
            part = rows[(rows["model"] == model) & (rows["method"] == name) & (rows["explained"] == own)]
            marks.append(lines.along_layers(look, part, layers, ["estimate"]))
        for name, look in looks.items():
            part = main[(main["model"] == model) & (main["explained"] == name)]
            if len(part):
                marks.append(lines.along_layers(look, part, layers, ["estimate", "low", "high"]))
        label = "Energy on other classes, less chance" if i == 0 else ""
        images = int(main.loc[main["model"] == model, "n_images"].max())
        title = networks.title(results, model, len(models), images=images)
        panels.append(lines.Panel(label, marks, [lines.Reference(0.0)], layers, title=title))
    method = results.label("methods", str(main["method"].iloc[0]))
    key: list[Artist] = [lines.line_key(look, f"{method}, {printing.plain(name)}") for name, look in looks.items()]
    key += [lines.line_key(look, results.label("methods", name)) for name, look in controls.items()]
    key += [lines.reference_key(), lines.band_key()]
    return lines.draw([panels], key, 2.9, shared=("none", "row"), width=networks.width(len(models)))
