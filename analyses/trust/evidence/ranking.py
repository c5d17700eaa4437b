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
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, bootstrap_means, percentiles
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
        methods: how many methods each layer ranks.
        seeds: networks.
        images: scenes.
    """

    layers: tuple[Layer, ...]
    rho: Floats
    drawn: Floats
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
    rows: list[dict[str, Any]] = []
    metrics = metrics_of(results, frame)
    signs: dict[str, int] = {metric.name: sign(metric) for metric in metrics.values()}
    kinds = [(METRIC, signs)]
    measures = [] if faithful is None else [name for name in MEASURES if (faithful["measure"] == name).any()]
    if measures:
        kinds.append((FAITHFULNESS, {name: MEASURES[name][1] for name in measures}))
    for kind, scores in kinds:
        ranked = {}
        for cue in [name for name in results.manifest.variants if (frame["cue"] == name).any()]:
            of_cue = frame[frame["cue"] == cue]
            if kind == METRIC:
                wide = of_cue.rename(columns={column: metric.name for column, metric in metrics.items()})
            else:
                assert faithful is not None  # else it is no kind
                wide = _beside(of_cue, faithful[faithful["cue"] == cue])
            found = _ranked(results, model, wide, f"gain_{cue}", scores)
            if found is not None:
                ranked[cue] = found
        rows += _rows(kind, list(scores), ranked)
    return tidy(pd.DataFrame(rows), [])


def _beside(frame: pd.DataFrame, faithful: pd.DataFrame) -> pd.DataFrame:
    """Put the faithfulness scores of maps beside their energy; maps without one are left out."""
    keys = ["seed", "scene", "layer", "method"]
    text = {"layer": str, "method": str}
    wide = faithful.astype(text).pivot_table(index=keys, columns="measure", values="value", observed=True)
    return frame.drop(columns=[name for name in wide if name in frame]).astype(text).merge(wide.reset_index(), on=keys)


def _ranked(results: Results, model: str, frame: pd.DataFrame, truth: str, scores: Mapping[str, int]) -> Ranked | None:
    """Rank methods by scores and by the truth; None where no layer has methods enough."""
    of_layers = [layer for layer in results.layers(model) if layer.name in set(frame["layer"].astype(str))]
    shown = {e.name for e in entries(results) if not e.control and e.scope == "layer"} - set(results.own_passes)
    axes: dict[str, Sequence[Any]] = {
        "method": [name for name in distinct(frame["method"]) if name in shown],
        "layer": [layer.name for layer in of_layers],
        "seed": distinct(frame["seed"]),
        "scene": distinct(frame["scene"]),
    }
    values, present = fill(frame, axes, [truth, *scores], "evidence")
    if not present.any():
        return None
    signs = np.array([1, *scores.values()]).reshape(-1, *(1 for _ in axes))
    known = ~np.isnan(values[0])
    values = np.where(known, signs * values, np.nan)
    enough = known.sum(axis=(2, 3)) >= KNOWN * present.any(axis=0).sum(axis=(1, 2))
    chosen = [i for i in range(len(of_layers)) if enough[:, i].sum() >= FEWEST]
    if not chosen:
        return None
    means, resampled = bootstrap_means(values, np.random.default_rng(SEED), RESAMPLES)
    rho = np.stack([rank_correlation(means[1:, enough[:, i], i], means[:1, enough[:, i], i]) for i in chosen], -1)
    drawn = np.stack(
        [rank_correlation(resampled[:, 1:, enough[:, i], i], resampled[:, :1, enough[:, i], i]) for i in chosen], -1
    )
    counts = tuple(int(enough[:, i].sum()) for i in chosen)
    seeds, images = (int(present.any(axis=axis).sum()) for axis in ((0, 1, 3), (0, 1, 2)))
    return Ranked(tuple(of_layers[i] for i in chosen), rho, drawn, counts, seeds, images)


def _rows(kind: str, scores: Sequence[str], ranked: Mapping[str, Ranked]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for s, score in enumerate(scores):
        head = {"score": score, "kind": kind}
        for cue, one in ranked.items():
            counts = {"n_seeds": one.seeds, "n_images": one.images}
            for i, layer in enumerate(one.layers):
                where = {"cue": cue, "layer": layer.name, "depth": layer.depth}
                rows.append(
                    head | where | _interval(one.rho[s, i], one.drawn[:, s, i]) | {"n_methods": one.methods[i]} | counts
                )
            mean = _interval(nan_mean(one.rho[s]), nan_mean(one.drawn[:, s]))
            rows.append(head | {"cue": cue, "layer": ""} | mean | _of(one) | counts)
        if len(ranked) > 1:
            together = list(ranked.values())
            mean = _interval(
                nan_mean([nan_mean(one.rho[s]) for one in together]),
                nan_mean(np.stack([nan_mean(one.drawn[:, s]) for one in together]), axis=0),
            )
            least = {"n_seeds": min(one.seeds for one in together), "n_images": min(one.images for one in together)}
            rows.append(head | {"cue": EVERY, "layer": ""} | mean | _of(*together) | least)
    return rows


def _of(*ranked: Ranked) -> dict[str, int]:
    return {
        "n_methods": min(min(one.methods) for one in ranked),
        "n_layers": min(len(one.layers) for one in ranked),
    }


def _interval(estimate: Any, drawn: Floats) -> dict[str, float]:
    low, high = (float(bound) for bound in percentiles(drawn, CONFIDENCE))
    return {"rho": float(estimate), "rho_low": low, "rho_high": high}


ABOUT = (
    "Does a score that does not know the evidence rank methods as the evidence does? At each layer, Spearman's "
    "correlation over gradient methods between their means by the score (turned where less is better) and by their "
    "energy gain on the known evidence, both of the same maps, of networks that use their cue and images that these "
    "told right. kind metric: of the map against the animal's mask, or without any mask; kind faithfulness: of the "
    "answer's probability as pixels go, or random tiles, on the first scenes and some layers. A method is ranked at a "
    f"layer where {KNOWN:.0%} of its maps have a value. {CONFIDENCE:.0%} intervals from {RESAMPLES} resamples of "
    "networks and images (crossed bootstrap; too narrow where few networks differ)."
)
