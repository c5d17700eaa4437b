"""The scores of many methods on the same layers and images: means, and paired differences from the controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyses import depth
from analyses.crossed import widened
from analyses.places import among, numbered, sources
from analyses.records import INPUT, Layer, Metric
from analyses.results import Results, ResultsError
from analyses.stats import Floats, bootstrap_means

RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0
SHOWN = ("energy_gain", "edge_alignment", "background_ratio")
BLIND = ("sobel", "gaussian", "random")
"""Controls that know neither the network nor the mask: what a map of the network has to be better than."""
AGAINST = (*BLIND, "activation", "mask_oracle")
"""Controls that methods are compared with, pair by pair; the last one is the ceiling."""
FAMILIES = {
    "cam": "CAM family",
    "perturbation": "Perturbation",
    "captum": "Captum",
    "attention": "Attention",
    "control": "Controls",
}
FEWEST = 6
"""Images of which an interval is called apart from zero: with five, no two-sided test at 5 % could say so."""
_OF_KIND = {"control": "control", "attention": "attention", "gradient": "cam", "run": "perturbation"}


@dataclass(frozen=True)
class Entry:
    """A method as tables and figures group it: `scope` tells maps of layers ('layer') from maps of the input."""

    name: str
    label: str
    family: str
    scope: str

    @property
    def control(self) -> bool:
        """Whether it is there to compare the others with."""
        return self.family == "control"


def entries(results: Results) -> tuple[Entry, ...]:
    """Return the methods by family, in each those of layers first, else in the manifest's order.

    None for runs of versions that did not record the families: they have few methods to compare.
    """
    section = results.section("methods")
    if not any("family" in entry for entry in section.values()):
        return ()
    found = [
        Entry(
            name=name,
            label=results.label("methods", name),
            family=str(entry.get("family") or _OF_KIND.get(str(entry.get("kind")), "")),
            scope=str(entry.get("scope") or "layer"),
        )
        for name, entry in section.items()
    ]
    order = list(FAMILIES)
    order = order[:-1] + [entry.family for entry in found if entry.family not in order] + order[-1:]
    return tuple(sorted(found, key=lambda entry: (order.index(entry.family), entry.scope != "layer")))


@dataclass(frozen=True)
class Maps:
    """The scores of one model, level and target, of every method on the same axes.

    Attributes:
        layers: by depth; the input, where anything attributes to it, is the first. Beside those of the main probe
            point there is the last one of a network, where all that follows is linear.
        metrics: what was measured.
        values: by method, (metrics, layers, seeds, images); NaN where undefined or not there.
        blank: by method, (layers, seeds, images): 1 for a blank map, NaN for an undefined one; empty for runs that
            did not record it.
        present: by method, (layers, seeds, images): whether there is a map at all.
        training_data: what the networks were trained on.
    """

    layers: tuple[Layer, ...]
    metrics: tuple[Metric, ...]
    values: dict[str, Floats]
    blank: dict[str, Floats]
    present: dict[str, NDArray[np.bool_]]
    training_data: str


def read(results: Results, model: str, level: int, target: str) -> Maps:
    """Read the scores at the main probe point, before the network's linear end, and on the input.

    Raises:
        ResultsError: a map is there twice, or a file is damaged.
    """
    metrics = tuple(metric for metric in results.metrics if metric.name in SHOWN)
    on_input = results.input_layer(model)
    layers = (*([on_input] if on_input else []), *depth.with_head(results, model))
    measured = [metric.name for metric in metrics]
    blank = ["blank"] if any(metric.name == "blank" for metric in results.metrics) else []
    where: dict[str, list[Any]] = {
        "model": [model],
        "level": [level],
        "target": [target],
        "layer": [layer.name for layer in layers],
    }
    columns = ["seed", "image", "layer", "method", "training_data", *measured, *blank]
    scores = results.scores(where, columns)
    maps = Maps(layers, metrics, {}, {}, {}, sources(scores))
    for method, cube, present in cubes(scores, layers, [*measured, *blank]):
        maps.values[method], maps.present[method] = cube[: len(measured)], present
        if blank:
            maps.blank[method] = cube[-1]
    return maps


def cubes(
    scores: pd.DataFrame, layers: Sequence[Layer], columns: Sequence[str]
) -> Iterator[tuple[str, Floats, NDArray[np.bool_]]]:
    """Yield each method of one model, level and target with its numbers and where it has maps.

    Args:
        scores: rows of `seed`, `image`, `layer`, `method` and the columns.
        layers: all that the rows are of.
        columns: the numbers wanted.

    Yields:
        The method, its numbers, (columns, layers, seeds, images), NaN where there is no map, and where there is one,
        (layers, seeds, images): the same seeds and images for all methods, sorted.

    Raises:
        ResultsError: a layer is unknown, or a map is there twice.
    """
    layer = among(scores["layer"], [layer.name for layer in layers], "layers")
    seed, seeds = pd.factorize(scores["seed"], sort=True)
    image, images = numbered(scores["image"])
    numbers = scores[list(columns)].to_numpy(dtype=np.float64).T
    shape = (len(layers), len(seeds), len(images))
    for method, rows in scores.groupby("method", observed=True, sort=True).indices.items():
        at = (layer[rows], seed[rows], image[rows])
        present = np.zeros(shape, dtype=bool)
        present[at] = True
        if present.sum() != len(rows):
            raise ResultsError("scores: a map is there twice; two runs share the folder: delete scores/ and run again")
        cube = np.full((len(numbers), *shape), np.nan)
        cube[(slice(None), *at)] = numbers[:, rows]
        yield str(method), cube, present


@dataclass(frozen=True)
class Compared:
    """A method's means and its mean differences from controls, with the bounds of their intervals.

    All maps of the layers are compared on the images that the method has maps of, which may be few. The first axis
    of each array is [the method itself, its difference from each control].

    Attributes:
        layers: for each metric and layer, (3, 1 + controls, metrics, layers): estimate, low, high.
        mean: of these over the layers, each layer with the same weight, (3, 1 + controls, metrics); of the layers
            of a network, and of the input, by scope.
        counts: images with a defined map, or pair, (1 + controls, metrics, layers).
    """

    layers: Floats
    mean: dict[str, Floats]
    counts: NDArray[np.int64]

    def apart(self, sign: int) -> NDArray[np.bool_]:
        """Return where the interval lies above (`sign` 1) or below (-1) zero, of enough images to say so."""
        _, low, high = self.layers
        apart: NDArray[np.bool_] = ((low > 0) if sign > 0 else (high < 0)) & (self.counts >= FEWEST)
        return apart


def compare(maps: Maps, method: str, controls: Sequence[str]) -> Compared:
    """Compare a method with controls, paired by layer, seed and image: where either is undefined there is no pair."""
    images = maps.present[method].any(axis=(0, 1))
    own = maps.values[method][..., images]
    cube = np.stack([own, *(own - maps.values[name][..., images] for name in controls)])
    estimate, drawn = bootstrap_means(cube, np.random.default_rng(SEED), RESAMPLES)
    scopes = {"input": [i for i, layer in enumerate(maps.layers) if layer.role == INPUT]}
    scopes["layer"] = [i for i in range(len(maps.layers)) if i not in scopes["input"]]
    mean = {}
    for scope, some in scopes.items():
        middle, own_mean = _mean(estimate[..., some]), _mean(np.moveaxis(cube[:, :, some], 2, -1))
        mean[scope] = np.stack([middle, *widened(own_mean, middle, _mean(drawn[..., some]), CONFIDENCE)])
    counts = (~np.isnan(cube)).any(axis=-2).sum(axis=-1)
    layers = np.stack([estimate, *widened(cube, estimate, drawn, CONFIDENCE)])
    for found in (layers, *mean.values()):
        for m, metric in enumerate(maps.metrics):
            found[:, 0, m] = metric.within(found[:, 0, m])  # differences have bounds of their own
    return Compared(layers, mean, counts)


def _mean(values: Floats) -> Floats:
    """Return the mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def layer_rows(maps: Maps, entry: Entry, found: Compared) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer that the method has maps of: every metric's mean, and the shares without a value."""
    present = maps.present[entry.name]
    for i, layer in enumerate(maps.layers):
        if present[i].any():
            row = _names(entry, layer) | _counts(present[i]) | _shares(maps, entry.name, i)
            yield row | _numbers(maps.metrics, found, 0, i) | {"training_data": maps.training_data}


def contrast_rows(maps: Maps, entry: Entry, found: Compared, controls: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each layer and control: every metric's mean paired difference."""
    for i, layer in enumerate(maps.layers):
        for k, control in enumerate(controls, 1):
            there = maps.present[entry.name][i] & maps.present[control][i]
            if there.any():
                row = _names(entry, layer) | {"control": control} | _counts(there)
                yield row | _numbers(maps.metrics, found, k, i) | {"training_data": maps.training_data}


def summary_rows(maps: Maps, entry: Entry, found: Compared, controls: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric, of the layers and of the input: means over layers, and on how many it differs."""
    present = maps.present[entry.name]
    for scope, means in found.mean.items():
        some = np.array([(layer.role == INPUT) == (scope == "input") for layer in maps.layers])
        if not present[some].any():
            continue
        for m, metric in enumerate(maps.metrics):
            row: dict[str, Any] = {"method": entry.name, "family": entry.family, "scope": scope, "metric": metric.name}
            row |= dict(zip(("estimate", "low", "high"), means[:, 0, m], strict=True))
            row |= {"n_layers": int((present.any(axis=(1, 2)) & some).sum())} | _counts(present[some].any(axis=0))
            row |= _shares(maps, entry.name, some)
            for k, control in enumerate(controls, 1):
                ends = (f"minus_{control}{end}" for end in ("", "_low", "_high"))
                row |= dict(zip(ends, means[:, k, m], strict=True))
                row[f"layers_tested_{control}"] = int((found.counts[k, m, some] >= FEWEST).sum())
                for sign, word in ((1, "above"), (-1, "below")):
                    row[f"layers_{word}_{control}"] = int(found.apart(sign)[k, m, some].sum())
            yield row | {"training_data": maps.training_data}


def _names(entry: Entry, layer: Layer) -> dict[str, Any]:
    return {"layer": layer.name, "depth": layer.depth, "method": entry.name, "family": entry.family}


def _counts(present: NDArray[np.bool_]) -> dict[str, int]:
    """Count the images and seeds of a (seeds, images) array."""
    return {"n_images": int(present.any(axis=0).sum()), "n_seeds": int(present.any(axis=1).sum())}


def _shares(maps: Maps, method: str, layers: int | NDArray[np.bool_]) -> dict[str, float]:
    """Return the shares of maps that are zero everywhere and of those that are undefined; NaN where not recorded."""
    present = maps.present[method][layers]
    if method not in maps.blank:
        return {"blank_share": np.nan, "undefined_share": np.nan}
    blank = maps.blank[method][layers]
    return {
        "blank_share": float((blank == 1).sum() / present.sum()),
        "undefined_share": float((present & np.isnan(blank)).sum() / present.sum()),
    }


def _numbers(metrics: Sequence[Metric], found: Compared, which: int, layer: int) -> dict[str, Any]:
    """Return the columns of every metric: mean, bounds, and how many values it is of."""
    row: dict[str, Any] = {}
    for m, metric in enumerate(metrics):
        estimate, low, high = found.layers[:, which, m, layer]
        row |= {metric.name: estimate, f"{metric.name}_low": low, f"{metric.name}_high": high}
        row[f"{metric.name}_n"] = int(found.counts[which, m, layer])
    return row
