"""How often each method's maps score above any bar: performance profiles, methods against controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analyses.artifacts import Table, tidy
from analyses.comparisons.profile_scores import NetworkScores, numbers, read
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


def analyse(results: Results) -> Iterator[Table]:
    """Yield the table of areas and shares above chance; nothing without a fit metric."""
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
        f"Intervals: {CONFIDENCE:.0%}, pointwise, from {RESAMPLES} resamples of images and "
        "seeds (crossed bootstrap, widened where few seeds differ; with one seed it speaks of the images alone)."
    )
