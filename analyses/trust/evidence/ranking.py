"""Which score ranks methods as the known evidence does: rank correlations over methods, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analyses.artifacts import tidy
from analyses.reading.arrays import Floats, distinct, fill, nan_mean
from analyses.reading.catalogue import entries
from analyses.reading.manifest import Layer, Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, bootstrap_means
from analyses.statistics.bounds import CORRELATION
from analyses.statistics.intervals import NOTE, widened
from analyses.statistics.jackknife import means_left_out, pseudo_values
from analyses.trust.evidence.planted import LEFT_OUT, rank_correlation, sign

ANIMAL = "animal"
METRIC, FAITHFULNESS = "metric", "faithfulness"
"""Kinds of scores: of maps against the animal's mask, and of what becomes of the answer."""
COLUMNS = {"energy_gain": f"gain_{ANIMAL}", "energy_inside": f"inside_{ANIMAL}"}
"""Metrics that the table evidence has under another name."""
MEASURES = {
    "deletion": ("Deletion", -1),
    "insertion": ("Insertion", 1),
    "context_deletion": ("Context deletion", -1),
    "context_insertion": ("Context insertion", 1),
    "infidelity": ("Infidelity", -1),
    "sensitivity_n": ("Sensitivity-n", 1),
}
"""Labels of faithfulness scores, and 1 where more is better."""
EVERY = "all"
"""In place of a cue: the mean over cues."""
FEWEST = 5
"""Methods of a rank correlation, at least."""
KNOWN = 0.5
"""Share of its maps that must have a value for a method to be ranked at a layer."""


@dataclass(frozen=True)
class Ranked:
    """How scores rank methods at the layers of one cue's networks, beside the evidence.

    Attributes:
        layers: of which methods were ranked.
        rho: (scores, layers), NaN where the score has too few methods.
        drawn: the same of each resample, (resamples, scores, layers).
        table: what tells how sure they are, (scores, layers, seeds, groups of scenes); NaN for networks not used.
        methods: how many methods each layer ranks.
        seeds: networks.
        images: scenes.
    """

    layers: tuple[Layer, ...]
    rho: Floats
    drawn: Floats
    table: Floats
    methods: tuple[int, ...]
    seeds: int
    images: int


def metrics_of(results: Results, frame: pd.DataFrame) -> dict[str, Metric]:
    """Return the metrics that maps were scored by against the animal, by the columns that hold them."""
    metrics = {COLUMNS.get(m.name, m.name): m for m in results.metrics if m.name not in LEFT_OUT}
    return {column: metric for column, metric in metrics.items() if column in frame}


def tabulate(results: Results, model: str, frame: pd.DataFrame, faithful: pd.DataFrame | None) -> pd.DataFrame:
    """Return a row a score, cue and layer, and a row a score and cue of the mean over layers, where `layer` is ''.

    Args:
        results: the run.
        model: the networks' architecture.
        frame: rows of the table evidence, of one model and target; those that count alone.
        faithful: rows of the table evidence_faithfulness of the same; None where there are none.
    """
    metrics = metrics_of(results, frame)
    cues = [name for name in results.manifest.variants if (frame["cue"] == name).any()]
    named = frame.rename(columns={column: metric.name for column, metric in metrics.items()})
    rows = _kind(
        *(results, model, METRIC, {cue: named[named["cue"] == cue] for cue in cues}),
        {metric.name: sign(metric) for metric in metrics.values()},
    )
    if faithful is not None:
        beside = {cue: _beside(frame[frame["cue"] == cue], faithful[faithful["cue"] == cue]) for cue in cues}
        signs = {name: sign for name, (_, sign) in MEASURES.items() if (faithful["measure"] == name).any()}
        rows += _kind(results, model, FAITHFULNESS, beside, signs)
    return tidy(pd.DataFrame(rows), [])


def _kind(
    results: Results, model: str, kind: str, frames: Mapping[str, pd.DataFrame], signs: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the rows of scores of one kind.

    Args:
        results: the run.
        model: the networks' architecture.
        kind: of the scores.
        frames: a row a map, by cue.
        signs: of the scores: 1 where more is better.
    """
    every = pd.concat([frame[["seed", "scene"]] for frame in frames.values()])
    axes = {name: distinct(every[name]) for name in ("seed", "scene")}
    ranked = {}
    for cue, frame in frames.items():
        turned = frame.assign(**{name: sign * frame[name] for name, sign in signs.items()}, truth=frame[f"gain_{cue}"])
        found = _ranked(results, model, turned, axes, ["truth", *signs])
        if found is not None:
            ranked[cue] = found
    return _rows(kind, list(signs), ranked)


def _beside(frame: pd.DataFrame, faithful: pd.DataFrame) -> pd.DataFrame:
    """Put the faithfulness scores of maps beside their energy; maps without one are left out."""
    keys = ["seed", "scene", "layer", "method"]
    text = {"layer": str, "method": str}
    wide = faithful.astype(text).pivot_table(index=keys, columns="measure", values="value", observed=True)
    return frame.drop(columns=[name for name in wide if name in frame]).astype(text).merge(wide.reset_index(), on=keys)


def _ranked(
    results: Results, model: str, frame: pd.DataFrame, axes: Mapping[str, Sequence[Any]], names: Sequence[str]
) -> Ranked | None:
    """Rank methods by scores and by the truth; None where no layer has methods enough.

    Args:
        results: the run.
        model: the networks' architecture.
        frame: a row a map, of one cue.
        axes: all seeds and scenes.
        names: the columns: the truth, then the scores, all turned so that more is better.
    """
    own = set(frame["layer"].astype(str))
    of_layers = [layer for layer in results.layers(model) if layer.name in own]
    shown = {e.name for e in entries(results) if not e.control and e.scope == "layer"} - set(results.own_passes)
    methods = [name for name in distinct(frame["method"]) if name in shown]
    places = {"method": methods, "layer": [layer.name for layer in of_layers], **axes}
    values, present = fill(frame, places, names, "evidence")
    used = np.asarray(present.any(axis=(0, 1, 3)))
    values, present = values[:, :, :, used], present[:, :, used]
    known = ~np.isnan(values[0])
    values = np.where(known, values, np.nan)
    enough = known.sum(axis=(2, 3)) >= KNOWN * present.any(axis=0).sum(axis=(1, 2))
    chosen = [i for i in range(len(of_layers)) if enough[:, i].sum() >= FEWEST]
    if not present.any() or not chosen:
        return None

    def correlated(means: Floats) -> Floats:
        """Return the correlations, (..., scores, layers), of means, (..., truth and scores, methods, layers)."""
        ranked = [means[..., enough[:, i], i] for i in chosen]
        return np.stack([rank_correlation(of_layer[..., 1:, :], of_layer[..., :1, :]) for of_layer in ranked], -1)

    estimates, resampled = bootstrap_means(values, np.random.default_rng(SEED), RESAMPLES)
    without = correlated(np.moveaxis(means_left_out(values), (-2, -1), (0, 1)))
    varying = pseudo_values(np.moveaxis(without, (0, 1), (-2, -1)))
    table = np.full((*varying.shape[:2], len(used), varying.shape[-1]), np.nan)
    table[:, :, used] = varying
    return Ranked(
        *(tuple(of_layers[i] for i in chosen), correlated(estimates), correlated(resampled), table),
        tuple(int(enough[:, i].sum()) for i in chosen),
        *(int(used.sum()), int(present.any(axis=(0, 1, 2)).sum())),
    )


def _rows(kind: str, scores: Sequence[str], ranked: Mapping[str, Ranked]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for s, score in enumerate(scores):
        head = {"score": score, "kind": kind}
        means = []
        for cue, one in ranked.items():
            counts = {"n_seeds": one.seeds, "n_images": one.images}
            for i, layer in enumerate(one.layers):
                where = {"cue": cue, "layer": layer.name, "depth": layer.depth, "n_methods": one.methods[i]}
                rows.append(head | where | _interval(one.rho[s, i], one.drawn[:, s, i], one.table[s, i]) | counts)
            means.append((nan_mean(one.rho[s]), nan_mean(one.drawn[:, s]), nan_mean(one.table[s], axis=0)))
            rows.append(head | {"cue": cue, "layer": ""} | _interval(*means[-1]) | _of(one))
        if len(ranked) > 1:
            parts = (nan_mean(np.stack(part), axis=0) for part in zip(*means, strict=True))
            rows.append(head | {"cue": EVERY, "layer": ""} | _interval(*parts) | _of(*ranked.values()))
    return rows


def _of(*ranked: Ranked) -> dict[str, int]:
    """Return how many methods, layers, networks and scenes there are, of several cues the fewest."""
    return {
        "n_methods": min(min(one.methods) for one in ranked),
        "n_layers": min(len(one.layers) for one in ranked),
        "n_seeds": min(one.seeds for one in ranked),
        "n_images": min(one.images for one in ranked),
    }


def _interval(estimate: Any, drawn: Floats, table: Floats) -> dict[str, float]:
    low, high = widened(table, estimate, drawn, CONFIDENCE, CORRELATION)
    return {"rho": float(estimate), "rho_low": float(low), "rho_high": float(high)}


ABOUT = (
    "Does a score that does not know the evidence rank methods as the evidence does? At each layer, Spearman's "
    "correlation over gradient methods between their means by the score (turned where less is better) and by their "
    "energy gain on the known evidence, both of the same maps, of networks that use their cue and images that these "
    "told right. kind metric: of the map against the animal's mask, or without any mask; kind faithfulness: of the "
    "answer's probability as pixels go, or random tiles, on the first scenes and some layers. A method is ranked at a "
    f"layer where {KNOWN:.0%} of its maps have a value. {CONFIDENCE:.0%} intervals from {RESAMPLES} resamples of "
    f"networks and images {NOTE}."
)
