"""How often each method's maps score above any bar: performance profiles, methods against controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.comparisons.profile_scores import BANDS, NetworkScores, Profiles, curves, numbers, read
from analyses.plots import lines, style
from analyses.reading.choices import DECODER, ends
from analyses.reading.manifest import Layer, Metric
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
    metric = ranked_metric(results)
    if metric is None:
        return
    networks = [network for model in results.models if (network := read(results, model, metric, FEWEST)) is not None]
    if not networks:
        return
    frames = [tabulate(results, network) for network in networks]
    about = _about(metric)
    table = pd.concat(frames, ignore_index=True)
    yield Table(
        "performance_profiles",
        table,
        f"{metric.label}: what each method's performance profile comes to. above: the share of maps on the better side "
        "of what chance scores; area: the area under the profile from chance to the best value, over the distance of "
        f"the two, which is the mean score above chance, scores below it counting as none. {about}",
        best={"area": "higher", "above": "higher"},
        within=["model", "layers", "kind"],
        shown=SHOWN,
    )
    for network, frame in zip(networks, frames, strict=True):
        profiles = {name: curves(network, places) for name, places in _places(network).items()}
        with style.context():
            figure = draw(results, network, profiles, frame)
        name = f"performance_profiles-{printing.slug(network.model)}"
        yield Figure(name, figure, Caption("", "", f"{_caption(results, network)} {about}"))


def ranked_metric(results: Results) -> Metric | None:
    """Return the metric of the profiles: energy gain, or else the first with a better side and a number for chance."""
    fit = [
        metric
        for metric in results.metrics
        if metric.direction in ("higher", "lower") and isinstance(metric.chance, (int, float))
    ]
    return next((metric for metric in fit if metric.name == WANTED), fit[0] if fit else None)


def tabulate(results: Results, network: NetworkScores) -> pd.DataFrame:
    """Return a row for each part of the network and method, methods before controls, in the manifest's order."""
    rows: list[dict[str, Any]] = []
    for name, layers in _places(network).items():
        for method, values in numbers(network, layers).items():
            row: dict[str, Any] = {"model": network.model, "level": network.level, "target": network.target}
            row |= {"metric": network.metric.name, "layers": name, "method": method}
            row |= {"kind": "control" if method in results.controls else "method"}
            row |= {"chance": network.chance, "best": network.best, "training_data": network.training_data}
            rows.append(row | values)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order: list[list[str]] = [list(_places(network)), ["method", "control"], list(network.methods)]
    places = {
        f"_{key}": frame[key].map({name: i for i, name in enumerate(names)})
        for key, names in zip(("layers", "kind", "method"), order, strict=True)
    }
    return tidy(pd.concat([frame, pd.DataFrame(places)], axis=1), list(places)).drop(columns=list(places))


def _places(network: NetworkScores) -> dict[str, list[int]]:
    """Return the parts of a network with a profile of their own: all layers, and the last before the decoder."""
    places = {ALL: list(range(len(network.layers)))}
    deepest = _deepest(network.layers)
    if len(network.layers) > 1:
        places[deepest.label] = [network.layers.index(deepest)]
    return places


def _deepest(layers: Sequence[Layer]) -> Layer:
    """Return the last layer before the decoder, or of a network without others the last one."""
    last = ends(layers)
    return next((layer for layer in reversed(last) if layer.role != DECODER), last[-1])


def _about(metric: Metric) -> str:
    better = "above" if metric.direction == "higher" else "below"
    return (
        f"A map counts as {better} a value where it is so by more than rounding; a map without a value, such as a "
        f"blank one, is {better} none (share_undefined). Each layer that a method has maps of has the same weight. "
        f"Bands and intervals: {CONFIDENCE:.0%}, pointwise, from {BANDS} and {RESAMPLES} resamples of images and "
        "seeds (crossed bootstrap, widened where few seeds differ; with one seed it speaks of the images alone)."
    )


def _caption(results: Results, network: NetworkScores) -> str:
    images, seeds = network.present.any(axis=(0, 1, 2)).sum(), network.present.any(axis=(0, 1, 3)).sum()
    better = "above" if network.sign > 0 else "below"
    labels = [name for name in _places(network) if name != ALL]
    where = f"over all layers (left) and for {labels[0]}, the last before the decoder (right)" if labels else ALL
    left = [results.label("methods", name) for name in network.left_out]
    without = (
        f" Left out, as they have maps of few images: {len(left)} methods with passes of their own." if left else ""
    )
    return (
        f"Performance profiles of {results.label('models', network.model)} at "
        f"{results.level_phrase(network.model, network.level)}, target: {results.label('targets', network.target)}: "
        f"the share of maps whose {network.metric.label.lower()} is "
        f"{better} τ, {where}, at the main probe point; {images} image{'s' if images != 1 else ''}, {seeds} "
        f"seed{'s' if seeds != 1 else ''}. A line that lies above another at every τ belongs to the better method; the "
        "key names methods by the area under their line. The axis begins at the first percentile of all scores. After "
        f"Dolan and Moré (2002) and Agarwal et al. (2021).{without}"
    )


PANEL, AROUND, LINE = 2.5, 0.45, 0.125  # inches; a line of the key
KEY_COLUMNS = 4


def draw(
    results: Results, network: NetworkScores, profiles_of: Mapping[str, Profiles], frame: pd.DataFrame
) -> matplotlib.figure.Figure:
    """Draw a panel for each part of the network; `frame` is the model's part of the table `performance_profiles`."""
    looks = looks_of(results, network)
    controls_first = sorted(looks, key=lambda name: name not in results.controls)  # they lie behind
    panels: list[lines.Panel] = []
    for name, profiles in profiles_of.items():
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
                "" if panels else f"Share of maps {'above' if network.sign > 0 else 'below'} τ",
                marks,
                [lines.Reference(network.chance, upright=True)],
                x_label=printing.plain(f"τ: {style.metric_label(network.metric, arrow=False)}"),
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


def looks_of(results: Results, network: NetworkScores) -> dict[str, style.Line]:
    """Return the look of each method's line, the same for all models: in colour, or of controls in grey."""
    controls = [name for name in results.methods if name in results.controls]
    coloured = style.method_lines([n for n in results.methods if n not in controls and n not in results.own_passes])
    grey = {name: style.grey_line(i) for i, name in enumerate(controls)}
    return {name: look for name, look in (coloured | grey).items() if name in network.methods}


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
