"""How far: energy of maps and effect on the score by distance from the object's outline, in pixels of the image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, networks, style
from analyses.questions.means import ALL, GROUP, INTERVALS, as_text, means, with_layer_means
from analyses.reading.arrays import sources
from analyses.reading.choices import at_highest, ends
from analyses.reading.manifest import Layer
from analyses.reading.results import Results
from analyses.statistics.bounds import ANY, SHARE, Bounds
from analyses.statistics.decisions import side

RING = ["ring", "inner", "outer"]
UNIFORM = "uniform"
SHOWN_CONTROLS = ("mask_oracle", "gaussian", "random")
"""Beside the uniform map, which is chance itself."""
ROLES = ("first layer", "last layer before the decoder", "last layer")
"""The layers drawn, see `choices.ends`."""
HEIGHT = 4.6  # inches
FEW = 0.005
"""Rings of a smaller mean share of the pixels are not drawn: a few pixels' density says little."""


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield tables of rings, of removed rings and of half-distances, and a figure; nothing without the measurement."""
    energy, halves, removal = (results.table(f"distance{end}") for end in ("", "_half", "_removal"))
    if energy is None or halves is None or removal is None or energy.empty:
        return
    rings, changes, half = tabulate(results, energy), tabulate_removal(removal), tabulate_half(results, halves)
    yield Table("distance", rings, f"{_ENERGY} {_HOW}")
    yield Table("distance_removal", changes, f"{_REMOVAL} {_HOW}")
    yield Table("distance_half", half, f"{_HALF} {_HOW}")
    beside = tabulate_controls(results, halves)
    if len(beside):
        yield Table("distance_controls", beside, f"{_CONTROLS} {_HALF} {_HOW}")
    target = str(energy["target"].iloc[0])
    top, top_changes, top_half = (at_highest(one[one["target"] == target]) for one in (rings, changes, half))
    top_beside = at_highest(beside[beside["target"] == target]) if len(beside) else beside
    for ending, models in networks.pages([model for model in results.models if (top["model"] == model).any()]):
        shown, change, halfway = (one[one["model"].isin(models)] for one in (top, top_changes, top_half))
        with style.context():
            figure = draw(results, shown, change, models)
        compared = _compared(results, halfway, top_beside)
        details = f"{_where(results, shown, target)}{compared} {_ENERGY} {_REMOVAL} {_HALF} {_HOW}"
        said = finding(results, halfway, top_beside)
        yield Figure(f"distance{ending}", figure, Caption(said, READING, f"{details} {_CONTROLS}"), "Distance")


READING = (
    "Rings about the object's outline, inside at the left. Above: a map's energy share in each ring over the ring's "
    "share of the pixels, for a few layers, with controls, means over layers, in grey. Below: by how much the score "
    "changes when the ring is removed. Bands are intervals; left out are rings that most images lack, "
    f"or that are less than {100 * FEW:g} % of an image on average."
)
_ENERGY = (
    "Ring: pixels whose distance from the outline of the class is above inner and at most outer, in pixels of the "
    "image, negative inside; an empty end has no limit. energy: share of the map's energy; density: over the ring's "
    "share of the pixels; cumulative: energy share of all up to the ring's outer end. Ignored pixels are in no ring."
)
_REMOVAL = (
    "score_change: change of the score, on the pixels explained in the unchanged image, when the ring is replaced, "
    "over the score's size; area: the ring's share of the pixels."
)
_HALF = (
    "half_distance: how far from the outline half of the energy reaches that lies outside the object, in pixels: the "
    "least distance within which the background's pixels hold half of its energy. beyond_chance: less that of an even "
    "map of the same image and layer, the median distance of its background. A map without energy outside has none."
)
_CONTROLS = (
    "half_difference: half-distance less a control's of the same image and layer, negative where the map lies nearer "
    "to the object; nearer or further is said where the interval leaves zero out, each by its own."
)
_HOW = (
    f"Layer {ALL}: each image's mean over the layers that have a value. Means over images, with {INTERVALS}. Rings "
    "that an image lacks, blank maps and images without an outline have no value."
)


def tabulate(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, level, target, layer, method and ring, for the mean over layers and a few layers.

    Raises:
        ResultsError: an image is there twice.
    """
    table = as_text(table, ["model", "target", "layer", "method", "image"])
    numbers = ["density", "energy", "area", "cumulative"]
    unit = ["model", "level", "seed", "target", "image", "layer", "method"]
    table = table.sort_values([*unit, "ring"], kind="stable")
    there = table["energy"].notna().groupby([table[name] for name in unit]).transform("any")
    sums = table["energy"].fillna(0.0).groupby([table[name] for name in unit]).cumsum()
    density = (table["energy"] / table["area"]).where(table["area"] > 0)
    table = table.assign(density=density, cumulative=sums.where(there).clip(0, 1))
    table.loc[table["energy"].isna(), "area"] = np.nan  # of the same maps and rings
    parts = []
    for (model, *_), part in table.groupby(GROUP, sort=False):
        known = {layer.name for layer in _ends(results, str(model), part)}
        rows = with_layer_means(part, [*GROUP, "method", *RING], numbers)
        rows = rows[rows["layer"].isin([ALL, *known])]
        bounds = {"density": Bounds(0.0), "energy": SHARE, "area": SHARE, "cumulative": SHARE}
        parts.append(
            means(rows, [*GROUP, "layer", "method", *RING], bounds, "distance").assign(training_data=sources(part))
        )
    frame = _ordered(results, pd.concat(parts, ignore_index=True), ["ring"])
    return frame.drop(columns=["ring", "area_low", "area_high"])


def tabulate_removal(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, level, target and ring: the change of the score.

    Raises:
        ResultsError: an image is there twice.
    """
    table = as_text(table, ["model", "target", "image", "imputation"])
    total = table.groupby(["model", "level", "seed", "target", "image"])["ring_pixels"].transform("sum")
    table = table.assign(area=(table["ring_pixels"] / total).where(table["ring_pixels"] > 0))
    parts = []
    for _, part in table.groupby(GROUP, sort=False):
        columns = {"score_change": ANY, "area": SHARE}
        found = means(part, [*GROUP, "imputation", *RING], columns, "distance_removal")
        parts.append(found.assign(training_data=sources(part)))
    frame = tidy(pd.concat(parts, ignore_index=True), [*GROUP, "ring"])
    return frame.drop(columns=["ring", "area_low", "area_high"])


def tabulate_half(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, level, target, layer (and their mean) and method.

    Raises:
        ResultsError: an image is there twice.
    """
    table = as_text(table, ["model", "target", "layer", "method", "image"])
    keys = ["model", "level", "seed", "target", "image", "layer"]
    even = table.loc[table["method"] == UNIFORM, [*keys, "half_distance"]].rename(columns={"half_distance": "even"})
    table = table.merge(even, on=keys, how="left", validate="many_to_one")
    table = table.assign(beyond_chance=table["half_distance"] - table["even"])
    parts = []
    for _, part in table.groupby(GROUP, sort=False):
        rows = with_layer_means(part, [*GROUP, "method"], ["half_distance", "beyond_chance"])
        bounds = {"half_distance": Bounds(0.0), "beyond_chance": ANY}
        found = means(rows, [*GROUP, "layer", "method"], bounds, "distance_half")
        lacking = part[part["half_distance"].isna()].groupby("method").size()
        of_all = found["method"].map(lacking).fillna(0).astype(int)
        found["n_undefined"] = np.where(found["layer"] == ALL, of_all, found["n_undefined"])
        parts.append(found.assign(training_data=sources(part)))
    return _ordered(results, pd.concat(parts, ignore_index=True), [])


def tabulate_controls(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, level, target, method and control: half-distances compared, mean over the layers.

    Raises:
        ResultsError: an image is there twice.
    """
    table = as_text(table, ["model", "target", "layer", "method", "image"])
    there = set(table["method"])
    names = [name for name in results.methods if name in there]
    names += sorted(there - set(names))
    controls = [name for name in names if name in (*results.controls, UNIFORM, *SHOWN_CONTROLS)]
    keys = ["model", "level", "seed", "target", "image", "layer"]
    parts = []
    for _, part in table.groupby(GROUP, sort=False):
        own = part[~part["method"].isin(controls)]
        pairs = []
        for control in controls:
            other = part.loc[part["method"] == control, [*keys, "half_distance"]]
            both = own.merge(other, on=keys, suffixes=("", "_control"), validate="many_to_one")
            difference = both["half_distance"] - both["half_distance_control"]
            pairs.append(both.assign(control=control, half_difference=difference))
        if not pairs or own.empty:
            continue
        rows = with_layer_means(pd.concat(pairs), [*GROUP, "method", "control"], ["half_difference"])
        rows = rows[rows["layer"] == ALL]
        found = means(rows, [*GROUP, "layer", "method", "control"], {"half_difference": ANY}, "distance_half")
        place = found["control"].map({name: i for i, name in enumerate(controls)})
        found = found.assign(training_data=sources(part), _control=place)
        parts.append(found)
    if not parts:
        return pd.DataFrame()
    return _ordered(results, pd.concat(parts, ignore_index=True), ["_control"]).drop(columns="_control")


def _ordered(results: Results, frame: pd.DataFrame, last: Sequence[str]) -> pd.DataFrame:
    methods = {name: i for i, name in enumerate(results.methods)}
    depths = {(model, layer.name): layer.depth for model in results.models for layer in results.layers(model)}
    places = [depths.get(key, -2) for key in zip(frame["model"], frame["layer"], strict=True)]  # their mean first
    keys = {"_place": pd.Series(places, frame.index), "_method": frame["method"].map(methods)}
    return tidy(frame.assign(**keys), [*GROUP, *keys, "method", *last]).drop(columns=list(keys))


def _main(results: Results, frame: pd.DataFrame) -> str:
    """Return the run's main method; without any rows of it the first that there is."""
    return results.main_method if (frame["method"] == results.main_method).any() else str(frame["method"].iloc[0])


def _where(results: Results, frame: pd.DataFrame, target: str) -> str:
    words = []
    for model in [name for name in results.models if (frame["model"] == name).any()]:
        rows = frame[frame["model"] == model]
        level = results.level_phrase(model, int(rows["level"].iloc[0]))
        words.append(f"{results.label('models', model)}, {level}, {int(rows['n_images'].max())} images")
    method = results.label("methods", _main(results, frame))
    return f"{method}; {'; '.join(words)}; target: {results.label('targets', target)}."


def finding(results: Results, halves: pd.DataFrame, beside: pd.DataFrame) -> str:
    """Say within how many pixels half of the outside energy lies in each network, and by chance.

    Args:
        results: the run.
        halves: rows of `tabulate_half`, of each network one level and target.
        beside: rows of `tabulate_controls`, of the same; or none.
    """
    method = _main(results, halves)
    words = []
    for model in [name for name in results.models if (halves["model"] == name).any()]:
        rows = halves[(halves["model"] == model) & (halves["layer"] == ALL)].set_index("method")["half_distance"]
        value = float(rows.get(method, math.nan))
        if not math.isnan(value):
            even = float(rows.get(UNIFORM, math.nan))
            untold = ", not told apart" if UNIFORM in _beside(beside, model, method)[0] else ""
            chance = "" if math.isnan(even) else f" ({printing.fixed(even, 1)} by chance{untold})"
            words.append(f"{printing.fixed(value, 1)} px of its outline{chance}{networks.where(results, model)}")
    label = results.label("methods", method)
    return f"Half of {label}'s energy outside the object lies within {printing.listed(words)}." if words else ""


def _beside(beside: pd.DataFrame, model: str, method: str) -> dict[int, list[str]]:
    """Return the controls that the energy lies nearer than (-1), is not told from (0), and lies further than (1)."""
    kinds: dict[int, list[str]] = {-1: [], 0: [], 1: []}
    if len(beside):
        rows = beside[(beside["model"] == model) & (beside["method"] == method)].dropna(subset=["half_difference_low"])
        for row in rows.to_dict("records"):
            told_apart = int(side(row[f"half_difference{end}"] for end in ("", "_low", "_high")))
            kinds[told_apart].append(str(row["control"]))
    return kinds


def _compared(results: Results, halves: pd.DataFrame, beside: pd.DataFrame) -> str:
    """Say which controls the energy lies nearer than in each network, which it is not told from, and which are nearer.

    Takes what `finding` does.
    """
    words = []
    for model in [name for name in results.models if (halves["model"] == name).any()]:
        kinds = _beside(beside, model, _main(results, halves))
        said = [
            f"{kind} {printing.listed([results.label('methods', name) for name in names])}"
            for kind, names in zip(("nearer than", "not told from", "further than"), kinds.values(), strict=True)
            if names
        ]
        words += [f" Half of the energy lies {'; '.join(said)} in {networks.name_of(results, model)}."] if said else []
    return "".join(words)


def draw(
    results: Results, rings: pd.DataFrame, changes: pd.DataFrame, models: Sequence[str]
) -> matplotlib.figure.Figure:
    """Draw a column a network: density by distance above what removing each ring does."""
    method = _main(results, rings)
    controls = {name: style.grey_line(i) for i, name in enumerate(SHOWN_CONTROLS) if (rings["method"] == name).any()}
    looks = style.model_lines(ROLES)
    removed = style.Line("#000000", "o", "-")
    upper, lower = [], []
    used: dict[str, style.Line] = {}
    for i, model in enumerate(models):
        of_model, of_changes = (one[one["model"] == model] for one in (rings, changes))
        places, ticks, outline = axis(of_changes)
        marks: list[lines.Line | lines.Dots] = []
        for name, look in controls.items():
            part = of_model[(of_model["method"] == name) & (of_model["layer"] == ALL)]
            marks.append(_line(look, part, places, "density", band=False))
        for role, layer in _layers(results, model, of_model).items():
            used[role] = looks[role]
            part = of_model[(of_model["method"] == method) & (of_model["layer"] == layer)]
            marks.append(_line(looks[role], part, places, "density", band=True))
        references = [lines.Reference(outline, "#777777", upright=True, behind=True)] if outline is not None else []
        title = networks.title(results, model, len(models), images=int(of_model["n_images"].max()))
        limits = (0.0, float(len(places)))
        upper.append(
            lines.Panel(
                "Energy density" if i == 0 else "",
                marks,
                [lines.Reference(1.0), *references],
                ticks=ticks,
                x_limits=limits,
                down_to=0.0,
                title=title,
            )
        )
        change = _line(removed, of_changes, places, "score_change", band=True)
        lower.append(
            lines.Panel(
                "Change of the score without it" if i == 0 else "",
                [change],
                [lines.Reference(0.0), *references],
                ticks=ticks,
                x_limits=limits,
                x_label="Distance from the outline (px)",
            )
        )
    label = results.label("methods", method)
    key: list[Artist] = [lines.line_key(look, f"{label}, {role}") for role, look in used.items()]
    key += [lines.line_key(look, results.label("methods", name)) for name, look in controls.items()]
    key += [lines.reference_key("chance; no change"), lines.line_key(removed, "score"), lines.band_key()]
    return lines.draw([upper, lower], key, HEIGHT, shared=("none", "row"), width=networks.width(len(models)))


def axis(changes: pd.DataFrame) -> tuple[Mapping[float, float], Mapping[float, str], float | None]:
    """Return where rings lie on the axis, by their inner ends, its ticks at the ends of rings, and the outline's place.

    Rings are as wide as each other there; the first one's inner end is named NaN, and found as minus infinity.

    >>> axis(pd.DataFrame({"inner": [np.nan, -2.0, 0.0], "outer": [-2.0, 0.0, np.nan]}))
    ({-inf: 0.5, -2.0: 1.5, 0.0: 2.5}, {1.0: '\N{MINUS SIGN}2', 2.0: '0'}, 2.0)
    """
    inner = sorted({-math.inf if math.isnan(x) else float(x) for x in changes["inner"]})
    places = {x: i + 0.5 for i, x in enumerate(inner)}
    ticks = {float(i): f"{x:g}".replace("-", printing.MINUS) for i, x in enumerate(inner) if i}
    return places, ticks, next((float(i) for i, x in enumerate(inner) if x == 0), None)


def _line(
    look: style.Line, frame: pd.DataFrame, places: Mapping[float, float], column: str, *, band: bool
) -> lines.Line:
    """Return a line over the rings of a few pixels or more that half of the images or more have, broken at others."""
    rows = frame[(frame["area"] >= FEW) & (frame["n_images"] >= 0.5 * frame["n_images"].max())]
    by_place = rows.assign(place=rows["inner"].fillna(-math.inf).map(places)).set_index("place")
    along = by_place.reindex(sorted(places.values()))
    value, low, high = (along[f"{column}{end}"].to_numpy(np.float64) for end in ("", "_low", "_high"))
    x = along.index.to_numpy(np.float64)
    return lines.Line(look, x, value, low, high, opacity=0.12) if band else lines.Line(look, x, value)


def _layers(results: Results, model: str, frame: pd.DataFrame) -> dict[str, str]:
    """Return the layers that are drawn, by what they are: of those measured, the ends of encoder and decoder."""
    measured = _ends(results, model, frame)
    roles = ROLES if len(measured) == len(ROLES) else (ROLES[0], ROLES[-1])
    return dict(zip(roles, (layer.name for layer in measured), strict=False))


def _ends(results: Results, model: str, frame: pd.DataFrame) -> list[Layer]:
    """Return the ends of encoder and decoder among the layers that were measured."""
    there = set(frame["layer"])
    return ends([layer for layer in results.layers(model) if layer.name in there])
