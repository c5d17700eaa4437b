"""At which threshold? Overlap of maps with the object, cut at a threshold chosen on other images, or at Otsu's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, rounded
from analyses.plots import layer_axis, lines, networks, style
from analyses.reading.arrays import Floats, distinct, fill, nan_mean
from analyses.reading.catalogue import FEWEST
from analyses.reading.choices import at_highest, described, ends
from analyses.reading.manifest import Layer
from analyses.reading.results import Results
from analyses.reading.thresholds import CHOOSE, OTSU, TABLE, TEST, thresholds
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, Interval
from analyses.statistics.bounds import SHARE, Bounds
from analyses.statistics.decisions import side
from analyses.statistics.intervals import NOTE, bootstrap_interval

MAIN = style.Line("#0072b2", "o", "-")
LOOKS = {
    "otsu": style.Line("#d55e00", "s", "-"),
    "optimum": style.Line("#7fceb9", "None", "-"),
}
BROAD = 3.2  # points: of a line that another one lies on
CEILING, UNIFORM = "mask_oracle", "uniform"
ABOUT = (
    "A map is upsampled to the image and cut at a share of its highest pixel; what is above is compared with the mask. "
    "threshold: that of the highest mean IoU on images kept for choosing (validation images, or half of the test "
    "images where the data have none), over all trainings; at_end: whether it is the lowest or highest one tried, so "
    "that a better one may lie beyond; choose_iou: that IoU, by which the layer of the title "
    "is chosen, too. cut_iou, cut_dice: of the test images at it. otsu_iou, otsu_dice: at each map's "
    "own Otsu threshold, which needs no choice. difference: cut_iou less otsu_iou, on maps that have both. "
    "optimum_threshold, optimum_iou: best on the test images themselves, which nobody can know: not attainable. "
    f"{CONFIDENCE:.0%} intervals from {RESAMPLES} crossed resamples of images and seeds {NOTE}; each holds for its own "
    "point (pointwise), not for a curve or all layers at once. n_undefined: blank "
    "maps and images without the class, which have no overlap and are left out."
)
READING = (
    "Mean IoU of the test images with the object's mask over the threshold, as a share of the map's highest pixel; "
    "band: pointwise interval. Upright: the threshold chosen on other images. Dotted across: Otsu's. Grey: controls; "
    "the mask on the layer's grid is the ceiling."
)
LAYERS = (
    "Mean IoU of the test images by layer: at the threshold chosen on other images (hollow: the lowest or highest "
    "tried, a better one may lie beyond), at Otsu's, and at the best one of the test images, which is not attainable. "
    "Grey: controls at their own chosen thresholds."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield two tables, curves and a figure by layer; nothing for runs without the measurement."""
    cuts = list(_cuts(results))
    if not cuts:
        return
    frame = pd.DataFrame([row for cut in cuts for row in cut.rows()])
    curves = pd.DataFrame([row for cut in cuts for row in cut.curve_rows()])
    if frame.empty:
        return
    yield Table("map_threshold", rounded(frame), ABOUT, shown=[str(name) for name in frame if name != "training_data"])
    yield Table(
        "map_threshold_curves", rounded(curves), f"The curves behind map_threshold, of the test images. {ABOUT}"
    )
    target = str(frame["target"].iloc[0])
    highest, of_curves = (at_highest(one[one["target"] == target]) for one in (frame, curves))
    for ending, models in networks.pages([model for model in results.models if (highest["model"] == model).any()]):
        shown, drawn = (one[one["model"].isin(models)] for one in (highest, of_curves))
        details = f"{_described(results, shown, models)} Target: {results.label('targets', target)}. {ABOUT}"
        with style.context():
            figure = draw_curves(results, shown, drawn, models)
        caption = Caption(finding(results, shown, models), READING, details)
        yield Figure(f"map_threshold_curves{ending}", figure, caption, "Thresholds")
        with style.context():
            figure = draw_layers(results, shown, models)
        caption = Caption(layers_finding(results, shown, models), LAYERS, f"{_chosen(results, shown)} {details}")
        yield Figure(f"map_threshold{ending}", figure, caption, "Thresholds by layer")


@dataclass(frozen=True)
class Cut:
    """The overlaps of one model's level and target.

    Attributes:
        keys: model, level and target.
        layers: by depth.
        methods: in the manifest's order.
        shares: the thresholds.
        choose: IoU of the images to choose on, (thresholds, methods, layers, seeds, images).
        test: of those to judge on.
        otsu: of the latter at Otsu's, (methods, layers, seeds, images).
        training_data: what the networks were trained on.
    """

    keys: Mapping[str, Any]
    layers: Sequence[Layer]
    methods: Sequence[str]
    shares: Sequence[float]
    choose: Floats
    test: Floats
    otsu: Floats
    training_data: str

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row a method and layer."""
        for (m, method), (i, layer) in product(enumerate(self.methods), enumerate(self.layers)):
            chosen, test, otsu = self.choose[:, m, i], self.test[:, m, i], self.otsu[m, i]
            means, on_test = (nan_mean(one.reshape(len(self.shares), -1)) for one in (chosen, test))
            if np.isnan(means).all() or np.isnan(on_test).all():
                continue
            at, best = (int(np.nanargmax(one)) for one in (means, on_test))
            row = {**self.keys, "layer": layer.name, "depth": layer.depth, "method": method}
            row |= {"threshold": self.shares[at], "at_end": at in (0, len(self.shares) - 1)}
            row |= {"choose_iou": float(means[at])}
            row |= {**_named("cut_iou", test[at]), **_named("cut_dice", dice(test[at]))}
            row |= {**_named("otsu_iou", otsu), **_named("otsu_dice", dice(otsu))}
            row |= _named("difference", test[at] - otsu, Bounds(-1.0, 1.0))
            row |= {"optimum_threshold": self.shares[best], "optimum_iou": float(on_test[best])}
            defined = ~np.isnan(test[at])
            there = int(defined.size)
            row |= {"n_images": int(defined.any(axis=0).sum()), "n_seeds": int(defined.any(axis=1).sum())}
            row |= {"n_chosen_on": int((~np.isnan(chosen[at])).any(axis=0).sum())}
            yield row | {"n_undefined": there - int(defined.sum()), "training_data": self.training_data}

    def curve_rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row a method, layer and threshold."""
        intervals = _interval(self.test, SHARE)
        for (m, method), (i, layer), (t, share) in product(
            enumerate(self.methods), enumerate(self.layers), enumerate(self.shares)
        ):
            at = (t, m, i)
            if not np.isnan(intervals.estimate[at]):
                row = {**self.keys, "layer": layer.name, "depth": layer.depth, "method": method, "threshold": share}
                row |= {"cut_iou": float(intervals.estimate[at])}
                row |= {"cut_iou_low": float(intervals.low[at]), "cut_iou_high": float(intervals.high[at])}
                row |= {"cut_dice": float(nan_mean(dice(self.test[at]).ravel()))}
                yield row | {"training_data": self.training_data}


def dice(iou: Floats) -> Floats:
    """Return the Dice of each map from its IoU: `2 iou / (1 + iou)`."""
    return 2 * iou / (1 + iou)


def _interval(values: Floats, possible: Bounds) -> Interval:
    return bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE, possible)


def _named(name: str, values: Floats, possible: Bounds = SHARE) -> dict[str, float]:
    found = _interval(values, possible)
    return {name: float(found.estimate), f"{name}_low": float(found.low), f"{name}_high": float(found.high)}


def _cuts(results: Results) -> Iterator[Cut]:
    """Yield the overlaps of each model, level and target that has images to choose on and others to judge on."""
    table = results.table(TABLE)
    if table is None or not len(table):
        return
    shares = thresholds(table.columns)
    table = table.assign(**{name: table[name].astype(str) for name in ("split", "target", "layer", "method")})
    for model in results.models:
        of_model = table[table["model"] == model]
        for level, target in product(sorted(set(of_model["level"])), results.targets):
            part = of_model[(of_model["level"] == level) & (of_model["target"] == target)]
            parts = {split: part[part["split"] == split] for split in (CHOOSE, TEST)}
            if any(one.empty for one in parts.values()):
                continue
            there = set(part["layer"])
            layers = [layer for layer in results.layers(model) if layer.name in there]
            methods = [name for name in results.manifest.methods if (part["method"] == name).any()]
            methods += [name for name in sorted(set(part["method"])) if name not in methods]
            cubes = {}
            for split, rows in parts.items():
                axes: dict[str, Sequence[Any]] = {"method": methods, "layer": [layer.name for layer in layers]}
                axes |= {"seed": distinct(part["seed"]), "image": distinct(rows["image"])}
                cubes[split], _ = fill(rows, axes, [*shares, OTSU], TABLE)
            keys = {"model": model, "level": int(level), "target": target}
            data = " / ".join(sorted(set(part["training_data"].astype(str))))
            numbers = list(shares.values())
            chosen, test = cubes[CHOOSE][:-1], cubes[TEST]
            yield Cut(keys, layers, methods, numbers, chosen, test[:-1], test[-1], data)


def main_method(frame: pd.DataFrame, results: Results) -> str:
    """Return the method that is looked at: the run's main one, or the first that is no control."""
    there = list(dict.fromkeys(frame["method"]))
    known = {name for name, method in results.manifest.methods.items() if method.kind == "control"}
    others = [name for name in there if name not in (*known, "uniform", "random", "sobel", CEILING)]
    return results.main_method if results.main_method in others else (others or there)[0]


def finding(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> str:
    """Say what maps reach at the layer and threshold that are best on images kept for choosing, and what Otsu's does.

    The best of many layers on the test images would be too good: there some of it is luck.
    """
    words = []
    for model in models:
        best = _best(results, frame, model)
        if not best:
            continue
        of = f" in {networks.name_of(results, model)}" if len(models) > 1 else ""
        where = networks.label_of(results, model, str(best["layer"]))
        reached, low, high = (printing.fixed(best[f"cut_iou{end}"], 2) for end in ("", "_low", "_high"))
        words.append(
            f"{reached} [{low}, {high}] at {where}{of} (at {best['threshold']:g} of the maximum; Otsu's "
            f"{printing.fixed(best['otsu_iou'], 2)})"
        )
    if not words:
        return f"Fewer than {FEWEST} test images have an overlap."
    label = results.label("methods", main_method(frame, results))
    return f"At the layer and threshold chosen on other images, {label} maps reach an IoU of {printing.listed(words)}."


def layers_finding(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> str:
    """Say from which overlap to which the layers go, and at how many Otsu's is surely less."""
    rows, words = _judged(results, frame), []
    for model in models:
        ordered = rows[rows["model"] == model].sort_values("cut_iou", kind="stable").to_dict("records")
        if not ordered:
            continue
        low, high = (
            f"{printing.fixed(one['cut_iou'], 2)} ({networks.label_of(results, model, str(one['layer']))})"
            for one in (ordered[0], ordered[-1])
        )
        better = int((_sides(rows[rows["model"] == model]) > 0).sum())
        where = networks.where(results, model)
        words.append(f"from {low} to {high}{where}, above Otsu's at {better} of {len(ordered)} layers")
    if not words:
        return f"Fewer than {FEWEST} test images have an overlap."
    label = results.label("methods", main_method(frame, results))
    return f"IoU of {label} maps goes {'; '.join(words)}."


def _chosen(results: Results, frame: pd.DataFrame) -> str:
    """Say which thresholds were chosen, at how many layers Otsu's and the whole image are better, and what was lost."""
    rows = _judged(results, frame)
    if rows.empty:
        return ""
    worse, lost = int((_sides(rows) < 0).sum()), float((rows["optimum_iou"] - rows["cut_iou"]).max())
    low, high = rows["threshold"].min(), rows["threshold"].max()
    uniform = frame[frame["method"] == UNIFORM].set_index(["model", "layer"])["cut_iou"]
    even = uniform.reindex(pd.MultiIndex.from_frame(rows[["model", "layer"]])).to_numpy(np.float64)
    above = int((rows["cut_iou"] > even).sum())
    beside = f" The mean is higher than the whole image's at {above} layers." if len(uniform) else ""
    return (
        f"Thresholds of {low:g} to {high:g} of the maximum were chosen; they lose to Otsu's at {worse} layers (each "
        f"layer is judged by its own interval), and come within {printing.fixed(lost, 3)} of the best tried.{beside}"
    )


def _sides(rows: pd.DataFrame) -> NDArray[np.int8]:
    """Return on which side of none the difference of the chosen threshold from Otsu's lies: 1, -1, 0 for neither."""
    return side(rows[f"difference{end}"] for end in ("", "_low", "_high"))


def _best(results: Results, frame: pd.DataFrame, model: str) -> dict[str, Any]:
    """Return the row of a network's layer that is best on the images kept for choosing; {} where images are few."""
    rows = _judged(results, frame)  # of all networks: they share a method
    best = rows[rows["model"] == model].nlargest(1, "choose_iou")
    return {str(name): value for row in best.to_dict("records") for name, value in row.items()}


def _judged(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the method that is looked at, of enough images."""
    return frame[(frame["method"] == main_method(frame, results)) & (frame["n_images"] >= FEWEST)]


def _described(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> str:
    levels = [described(results, model, int(frame.loc[frame["model"] == model, "level"].iloc[0])) for model in models]
    return f"{results.label('methods', main_method(frame, results))}. {printing.listed(levels)}."


def _controls(results: Results, frame: pd.DataFrame, method: str) -> dict[str, style.Line]:
    names = [name for name in dict.fromkeys(frame["method"]) if name != method]
    controls = [name for name in names if name in results.controls or name in ("uniform", "random", "sobel", CEILING)]
    return {name: style.grey_line(i) for i, name in enumerate(controls)}


def _drawn_layers(results: Results, frame: pd.DataFrame, model: str) -> list[Layer]:
    """Return the layers that curves are drawn of: where encoder and decoder end, and that which the title names."""
    layers = results.main_layers(model)
    shown = {layer.name for layer in ends(layers)} | {_best(results, frame, model).get("layer")}
    return [layer for layer in layers if layer.name in shown]


def draw_curves(
    results: Results, frame: pd.DataFrame, curves: pd.DataFrame, models: Sequence[str]
) -> matplotlib.figure.Figure:
    """Draw a row a network and a column a layer: IoU over the threshold."""
    method = main_method(frame, results)
    greys = _controls(results, frame, method)
    layers_of = {model: _drawn_layers(results, frame, model) for model in models}
    most = max(map(len, layers_of.values()))
    panels = []
    for model, layers in layers_of.items():
        row = []
        for i in range(most):
            if i >= len(layers):
                row.append(lines.Panel("", (), undefined="no further layer"))
                continue
            layer = layers[i]
            of_layer = curves[(curves["model"] == model) & (curves["layer"] == layer.name)]
            marks: list[lines.Line | lines.Dots] = []
            for name, look in [*greys.items(), (method, MAIN)]:
                part = of_layer[of_layer["method"] == name]
                ends_of = (part["cut_iou_low"], part["cut_iou_high"]) if name == method else (None, None)
                small = style.Line(look.color, "None", look.linestyle)
                marks.append(lines.Line(small, part["threshold"], part["cut_iou"], *ends_of))
            own = frame[(frame["model"] == model) & (frame["layer"] == layer.name) & (frame["method"] == method)]
            references = [lines.Reference(float(x), MAIN.color, upright=True) for x in own["threshold"]]
            references += [lines.Reference(float(y), LOOKS["otsu"].color) for y in own["otsu_iou"]]
            name = networks.name_of(results, model) if len(models) > 1 and not i else ""
            title = f"{name}\n{layer.label}" if name else layer.label
            label = "IoU with the mask" if not i else ""
            x_label = "Threshold / maximum" if model == models[-1] else ""
            row.append(lines.Panel(label, marks, references, x_label=x_label, title=title, down_to=0.0))
        panels.append(row)
    small = style.Line(MAIN.color, "None", "-")
    key = [lines.line_key(small, results.label("methods", method)), lines.band_key()]
    key.append(lines.reference_key("chosen on other images", MAIN.color))
    key.append(lines.reference_key("at Otsu's threshold", LOOKS["otsu"].color))
    key += [lines.line_key(look, results.label("methods", name)) for name, look in greys.items()]
    height = 1.5 * len(models) + 0.9
    return lines.draw(panels, key, height, shared=("all", "row"), width=style.WIDTH)


def draw_layers(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw a column a network: IoU by layer at the chosen threshold, at Otsu's, and at best."""
    method = main_method(frame, results)
    greys = _controls(results, frame, method)
    row = []
    for model in models:
        layers = layer_axis.by_role(results.main_layers(model))
        part = frame[(frame["model"] == model) & frame["layer"].isin([layer.name for layer in layers])]
        own = part[part["method"] == method]
        marks: list[lines.Line | lines.Dots] = [
            lines.along_layers(look, part[part["method"] == name], layers, ("cut_iou",))
            for name, look in greys.items()
            if (part["method"] == name).any()
        ]
        if len(own):
            optimum, otsu, chosen = (
                lines.along_layers(look, own[own[columns[0]].notna()], layers, columns)
                for look, columns in (
                    (LOOKS["optimum"], ("optimum_iou",)),
                    (LOOKS["otsu"], ("otsu_iou", "otsu_iou_low", "otsu_iou_high")),
                    (MAIN, ("cut_iou", "cut_iou_low", "cut_iou_high")),
                )
            )
            marks += [otsu, replace(optimum, width=BROAD), chosen]
            if len(at_end := own[own["at_end"]]):
                last = lines.along_layers(MAIN, at_end, layers, ("cut_iou",))
                marks.append(lines.Dots(MAIN, last.x, last.y, kind="hollow"))
        label = "IoU with the mask" if model == models[0] else ""
        title = networks.title(results, model, len(models), images=int(own["n_images"].max() if len(own) else 0))
        row.append(lines.Panel(label, marks, layers=layers, title=title, down_to=0.0))
    key = [
        lines.line_key(MAIN, f"{results.label('methods', method)}, chosen on other images"),
        lines.line_key(LOOKS["otsu"], "at Otsu's threshold"),
        lines.dots_key("hollow", "the lowest or highest one tried"),
        lines.line_key(LOOKS["optimum"], "best on the test images: not attainable", BROAD),
        lines.band_key(),
        *[lines.line_key(look, results.label("methods", name)) for name, look in greys.items()],
    ]
    return lines.draw([row], key, 3.1, key_columns=3, shared=("none", "row"), width=networks.width(len(models)))
