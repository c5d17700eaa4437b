"""How often each method's maps score above any bar: performance profiles, methods against controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Figure, Table, tidy
from analyses.comparisons.profile_scores import BANDS, Curves, Runs, curves, numbers, read
from analyses.plots import lines, style
from analyses.reading.choices import DECODER, ends
from analyses.reading.manifest import Layer, Metric, level_name
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES

WANTED = "energy_gain"
ALL = "all layers"
FEWEST = 0.5
"""Of the images of the method with most, a method needs this share to be drawn."""
KEYS = ["model", "level", "target", "metric", "layers"]
COLUMNS = [
    *(*KEYS, "method", "kind", "area", "area_low", "area_high", "above", "above_low", "above_high"),
    *("chance", "best", "n_layers", "n_images", "n_seeds", "n_maps", "share_undefined", "training_data"),
]
SHOWN = [*("model", "layers", "kind", "method", "area", "area_low", "area_high", "above", "above_low", "above_high")]
SHOWN += ["n_layers", "n_images", "n_seeds", "share_undefined"]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of areas and shares above chance, and a figure for each model; nothing without a fit metric."""
    metric = chosen(results)
    if metric is None:
        return
    found = [runs for model in results.models if (runs := read(results, model, metric, FEWEST)) is not None]
    if not found:
        return
    frames = [tabulate(results, runs) for runs in found]
    about = _about(metric)
    whole = pd.concat(frames, ignore_index=True)
    yield Table(
        "performance_profiles",
        whole,
        f"{metric.label}: what each method's performance profile comes to. above: the share of maps on the better side "
        "of what chance scores; area: the area under the profile from chance to the best value, over the distance of "
        f"the two, which is the mean score above chance, scores below it counting as none. {about}",
        best={"area": "higher", "above": "higher"},
        within=["model", "layers", "kind"],
        shown=SHOWN,
    )
    for runs, frame in zip(found, frames, strict=True):
        parts = {name: curves(runs, places) for name, places in _parts(runs).items()}
        with style.context():
            figure = draw(results, runs, parts, frame)
        name = f"performance_profiles-{printing.slug(runs.model)}"
        yield Figure(name, figure, f"{_caption(results, runs)} {about}")


def chosen(results: Results) -> Metric | None:
    """Return the metric of the profiles: energy gain, or else the first with a better side and a number for chance."""
    fit = [
        metric
        for metric in results.metrics
        if metric.direction in ("higher", "lower") and isinstance(metric.chance, (int, float))
    ]
    return next((metric for metric in fit if metric.name == WANTED), fit[0] if fit else None)


def tabulate(results: Results, runs: Runs) -> pd.DataFrame:
    """Return a row for each part of the network and method, methods before controls, in the manifest's order."""
    rows: list[dict[str, Any]] = []
    for name, part in _parts(runs).items():
        for method, values in numbers(runs, part).items():
            row: dict[str, Any] = {"model": runs.model, "level": runs.level, "target": runs.target}
            row |= {"metric": runs.metric.name, "layers": name, "method": method}
            row |= {"kind": "control" if method in results.controls else "method"}
            row |= {"chance": runs.chance, "best": runs.best, "training_data": runs.training_data}
            rows.append(row | values)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order: list[list[str]] = [list(_parts(runs)), ["method", "control"], list(runs.methods)]
    places = {
        f"_{key}": frame[key].map({name: i for i, name in enumerate(names)})
        for key, names in zip(("layers", "kind", "method"), order, strict=True)
    }
    return tidy(pd.concat([frame, pd.DataFrame(places)], axis=1), list(places)).drop(columns=list(places))


def _parts(runs: Runs) -> dict[str, list[int]]:
    """Return the parts of a network with a profile of their own: all layers, and the last before the decoder."""
    parts = {ALL: list(range(len(runs.layers)))}
    deepest = _deepest(runs.layers)
    if len(runs.layers) > 1:
        parts[deepest.label] = [runs.layers.index(deepest)]
    return parts


def _deepest(layers: Sequence[Layer]) -> Layer:
    """Return the last layer before the decoder, or of a network without others the last one."""
    found = ends(layers)
    return next((layer for layer in reversed(found) if layer.role != DECODER), found[-1])


def _about(metric: Metric) -> str:
    better = "above" if metric.direction == "higher" else "below"
    return (
        f"A map counts as {better} a value where it is so by more than rounding; a map without a value, such as a "
        f"blank one, is {better} none (share_undefined). Each layer that a method has maps of has the same weight. "
        f"Bands and intervals: {CONFIDENCE:.0%}, pointwise, from {BANDS} and {RESAMPLES} resamples of images and "
        "seeds (crossed bootstrap, widened where few seeds differ; with one seed it speaks of the images alone)."
    )


def _caption(results: Results, runs: Runs) -> str:
    reached = [point.miou for point in results.reached(runs.model, runs.level)]
    images, seeds = runs.present.any(axis=(0, 1, 2)).sum(), runs.present.any(axis=(0, 1, 3)).sum()
    better = "above" if runs.sign > 0 else "below"
    parts = [name for name in _parts(runs) if name != ALL]
    where = f"over all layers (left) and for {parts[0]}, the last before the decoder (right)" if parts else ALL
    left = [results.label("methods", name) for name in runs.left_out]
    without = (
        f" Left out, as they have maps of few images: {len(left)} methods with passes of their own." if left else ""
    )
    return (
        f"Performance profiles of {results.label('models', runs.model)} at {level_name(runs.level, reached)} mean IoU, "
        f"target: {results.label('targets', runs.target)}: the share of maps whose {runs.metric.label.lower()} is "
        f"{better} τ, {where}, at the main probe point; {images} image{'s' if images != 1 else ''}, {seeds} "
        f"seed{'s' if seeds != 1 else ''}. A line that lies above another at every τ belongs to the better method; the "
        "key names methods by the area under their line. The axis begins at the first percentile of all scores. After "
        f"Dolan and Moré (2002) and Agarwal et al. (2021).{without}"
    )


PANEL, AROUND, LINE = 2.5, 0.45, 0.125  # inches; a line of the key
KEY_COLUMNS = 4


def draw(results: Results, runs: Runs, parts: Mapping[str, Curves], frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a panel for each part of the network; `frame` is the model's part of the table `performance_profiles`."""
    looks = looks_of(results, runs)
    controls_first = sorted(looks, key=lambda name: name not in results.controls)  # they lie behind
    panels: list[lines.Panel] = []
    for name, profiles in parts.items():
        marks = [
            lines.Line(
                looks[method],
                profiles.bars,
                *profiles.shares[method],
                width=0.8 if method in results.controls else None,
                opacity=0.15,
            )
            for method in controls_first
            if method in profiles.shares
        ]
        layers = int(frame.loc[frame["layers"] == name, "n_layers"].max())
        panels.append(
            lines.Panel(
                "" if panels else f"Share of maps {'above' if runs.sign > 0 else 'below'} τ",
                marks,
                [lines.Reference(runs.chance, upright=True)],
                x_label=printing.plain(f"τ: {style.metric_label(runs.metric, arrow=False)}"),
                x_limits=(profiles.bars[0], profiles.bars[-1]),
                y_limits=(-0.02, 1.02),
                title=printing.plain(f"{name.capitalize()} ({layers})" if layers > 1 else name),
                centred=True,
            )
        )
    key = _key(results, looks, frame)
    rows = -(-len(key) // KEY_COLUMNS)
    height = PANEL + AROUND + LINE * rows
    return style.settle(
        lines.draw(
            [panels], key, height, key_columns=KEY_COLUMNS, key_below=True, key_length=2.6, shared=("none", "all")
        )
    )


def looks_of(results: Results, runs: Runs) -> dict[str, style.Line]:
    """Return the look of each method's line, the same for all models: in colour, or of controls in grey."""
    controls = [name for name in results.methods if name in results.controls]
    coloured = style.method_lines([n for n in results.methods if n not in controls and n not in results.costly])
    grey = {name: style.grey_line(i) for i, name in enumerate(controls)}
    return {name: look for name, look in (coloured | grey).items() if name in runs.methods}


def _key(results: Results, looks: Mapping[str, style.Line], frame: pd.DataFrame) -> list[Artist]:
    """Return the key: methods by the area under their profile over all layers, controls behind them."""
    first = frame[frame["layers"] == frame["layers"].iloc[0]]
    most = int(first["n_layers"].max())
    handles: list[Artist] = []
    for row in first.sort_values(["kind", "area"], ascending=[False, False], kind="stable").to_dict("records"):
        look, name = looks[row["method"]], results.label("methods", row["method"])
        few = f" ({row['n_layers']} layers)" if row["n_layers"] < most else ""
        text = printing.plain(f"{name}{few}{', control' if row['kind'] == 'control' else ''}")
        handles.append(lines.line_key(look, text))
    return [*handles, lines.reference_key()]
