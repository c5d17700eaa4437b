"""What the quantities of tables can be, and the intervals that leave it; written apart from what the analyses take."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyses.paper.claims.registration import registered
from analyses.statistics.paired import trend_weights

ROUNDED = 2e-6
ESTIMATES = ("estimate", "mean", "miou", "contrast", "ratio", "difference")
"""What a column `low` belongs to, the first that there is."""

Range = tuple[float, float]
ANYTHING, SHARE, CORRELATION = (-math.inf, math.inf), (0.0, 1.0), (-1.0, 1.0)
GAIN = (-math.inf, 1.0)
"""Energy gain: where the mask is nearly all of the image, one cell beside it costs as much as you like."""


def less(one: Range, other: Range) -> Range:
    """What the difference of two quantities can be."""
    return one[0] - other[1], one[1] - other[0]


@cache
def metrics(folder: Path) -> dict[str, Range]:
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = {**manifest.get("metrics", {}), **(manifest.get("attention") or {}).get("metrics", {})}

    def end(value: Any, otherwise: float) -> float:
        return otherwise if value is None else float(value)

    return {name: (end(m.get("lower"), -math.inf), end(m.get("upper"), math.inf)) for name, m in entries.items()}


def of_metric(folder: Path, column: str, row: dict[str, Any]) -> Range:
    own = metrics(folder)[row["metric"]]
    return less(own, own) if column.startswith("minus_") else own


def of_column(folder: Path, column: str, _: dict[str, Any]) -> Range:
    return metrics(folder)[column]


def of_contrast(folder: Path, column: str, _: dict[str, Any]) -> Range:
    own = metrics(folder)[column]
    return less(own, own)


def of_faithfulness(_: Path, column: str, row: dict[str, Any]) -> Range:
    """Areas under S(t) / S(0): a Dice starts at 1, a probability and an IoU may rise."""
    if row["measure"] == "sensitivity_n":
        own = CORRELATION
    elif row["measure"] == "infidelity" or row["outcome"] == "dice":
        own = SHARE
    else:
        own = (0.0, math.inf)
    return less(own, own) if column == "difference" else own


def of_group(folder: Path, column: str, row: dict[str, Any]) -> Range:
    """A group's mean less that of the others; facts beside the metrics are shares."""
    own = metrics(folder).get(row["metric"], SHARE)
    return less(own, own)


def of_evidence(_: Path, column: str, __: dict[str, Any]) -> Range:
    if column.startswith("minus_"):
        return less(GAIN, GAIN)
    return SHARE if column == "inside" else GAIN


def of_errors(folder: Path, column: str, row: dict[str, Any]) -> Range:
    """Of maps of right and wrong pixels: a metric, the gain on the pixels themselves, or a correlation of maps."""
    beside = {"own_gain": GAIN, "like_hits": CORRELATION, "like_rejections": CORRELATION}
    own = beside.get(row["measure"]) or metrics(folder).get(row["measure"], ANYTHING)
    return less(own, own) if column == "difference" else own


def of_part(folder: Path, column: str, row: dict[str, Any]) -> Range:
    """A claim's part: a value, a difference, or a fitted line's change, of a metric or its difference from another."""
    if column.startswith("statistic"):
        return ANYTHING
    claim = next(claim for claim in registered().claims if claim.id == row["claim"])
    part = next(part for part in claim.parts if part.says == row["part"])
    own = metrics(folder).get(row["metric"], ANYTHING)
    if part.factors:
        own, weights = SHARE, [1.0, -1.0, -1.0, 1.0]
    elif part.compare == "trend":
        weights = list(trend_weights(len(part.ordered)))
    else:
        weights = [1.0, -1.0] if part.compare == "difference" else [1.0]
    if " / " in row["measure"]:
        own = ANYTHING
    elif "\N{MINUS SIGN}" in row["measure"]:
        own = less(own, own)
    ends = np.array([[weight * end for end in own] for weight in weights if weight])
    low, high = ends.min(axis=1).sum(), ends.max(axis=1).sum()
    scale = 1 / row["smallest"] if column == "standardised" else 1.0
    return (-max(abs(low), abs(high)) * scale, max(abs(low), abs(high)) * scale)  # either side may be the claimed one


def constant(**ends: Range) -> Callable[[Path, str, dict[str, Any]], Range]:
    return lambda _, column, __: ends[column]


POSSIBLE: dict[str, Callable[[Path, str, dict[str, Any]], Range]] = {
    **dict.fromkeys(("attention", "curves", "family", "methods_summary"), of_metric),
    "methods": of_column,
    "methods_contrasts": of_contrast,
    "points": lambda folder, _, row: less(*[metrics(folder)[row["metric"]]] * 2),
    "claims": of_part,
    "claim_controls": lambda *_: ANYTHING,  # means of parts in units of their smallest effects
    "claim_specifications": lambda *_: ANYTHING,
    **dict.fromkeys(("leakage", "leakage_layers"), constant(energy=SHARE, over_chance=CORRELATION)),
    **dict.fromkeys(("leakage_removal", "distance_removal"), constant(score_change=ANYTHING)),
    "distance": constant(density=(0.0, math.inf), energy=SHARE, cumulative=SHARE),
    "distance_half": constant(half_distance=(0.0, math.inf), beyond_chance=ANYTHING),
    "distance_controls": constant(half_difference=ANYTHING),
    "diagnosis": constant(blank_share=SHARE, sign_balance=SHARE, counter_share=SHARE),
    "faithfulness": of_faithfulness,
    **dict.fromkeys(("known_evidence", "known_evidence_summary"), of_evidence),
    "map_quality": constant(rho=CORRELATION),
    "map_threshold": constant(cut_iou=SHARE, cut_dice=SHARE, otsu_iou=SHARE, otsu_dice=SHARE, difference=(-1.0, 1.0)),
    "map_threshold_curves": constant(cut_iou=SHARE),
    "groups_scores": of_group,
    "metric_agreement": constant(rho=CORRELATION, rho_within=CORRELATION),
    **dict.fromkeys(("meta_evaluation", "meta_evaluation_layers", "meta_evaluation_planted"), lambda *_: CORRELATION),
    "performance_profiles": constant(area=SHARE, above=SHARE),
    "receptive_field": constant(estimate=(0.0, math.inf)),
    "resolution": constant(miou=SHARE, change=CORRELATION),
    "resolution_contrasts": constant(contrast=(-2.0, 2.0)),
    "when_wrong": of_errors,
    "robustness": constant(
        **dict.fromkeys(("leakage", "seconds", "max_sensitivity"), (0.0, math.inf)),
        **dict.fromkeys(("faithfulness", "context_faithfulness"), ANYTHING),
        **dict.fromkeys(("cosine", "top"), SHARE),
        robustness=CORRELATION,
    ),
    "robustness_changes": constant(spearman=CORRELATION, cosine=SHARE, top=SHARE),
    **dict.fromkeys(("sanity", "sanity_random"), lambda *_: CORRELATION),
    "target_agreement": constant(correlation=CORRELATION, difference=SHARE),
    "timing": constant(ratio=(0.0, math.inf)),
}
"""What a table's quantities can be, by folder of the run, column and row."""


def triples(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    ends = [str(name) for name in frame if name == "low" or str(name).endswith("_low")]
    own = next((name for name in ESTIMATES if name in frame), "")
    return [(low[: -len("_low")] if low != "low" else own, low, f"{low[: -len('low')]}high") for low in ends]


def outside(folder: Path, name: str, frame: pd.DataFrame) -> list[str]:
    """The intervals that leave what their quantity can be, or their estimate out, in words."""
    wrong = []
    if triples(frame) and name not in POSSIBLE:
        return [f"{name}: say in POSSIBLE what its quantities can be"]
    for column, low, high in triples(frame):
        rows = frame[frame[low].notna() & frame[high].notna()]
        ranges = [POSSIBLE[name](folder, column, row) for row in rows.to_dict("records")]
        least, most = np.array(ranges, dtype=float).reshape(-1, 2).T
        near = ROUNDED + 1e-5 * rows[column].abs()
        bad = (rows[low] < least - near) | (rows[high] > most + near)
        bad |= (rows[column] < rows[low] - near) | (rows[column] > rows[high] + near)
        wrong += [f"{column} {row[column]} [{row[low]}, {row[high]}]" for row in rows[bad].to_dict("records")]
    return wrong
