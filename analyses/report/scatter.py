"""The scatter's data: any score of the main method's maps, of all layers, for all images of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analyses.reading.choices import main_target
from analyses.reading.results import Results
from analyses.reading.small_maps import KeptSmall
from analyses.report.standing import Scored

OWN = ("iou", "dice", "confidence", "entropy")
"""What is known of an image's prediction, in the page's words; its object's area stands beside."""


def shown(results: Results, small: Sequence[KeptSmall]) -> tuple[str, str]:
    """Return the target and method whose maps all images have: the run's main ones, where these are kept."""
    kept = dict.fromkeys(tuple(key.split("|", 2)[:2]) for part in small for key in part.maps)
    main = (main_target(results), results.main_method) if results.methods else ("", "")
    target, method = main if main in kept or not kept else next(iter(kept))
    return target, method


def table(results: Results, scored: Scored, pair: tuple[str, str]) -> dict[str, Any] | None:
    """Return a checkpoint's scores for one target and method; None without any.

    `labels` are what the images are called; `values` are by metric, layer and image, in three digits that count; `iou`
    and `dice` are of the predictions, `confidence` and `entropy` how sure the network is of them.
    """
    target, method = pair
    values, images = scored.values, scored.images
    if values is None:
        return None
    there = np.flatnonzero(np.isfinite(values).any(axis=(0, 2)))
    return {
        "target": results.targets.index(target),
        "method": results.methods.index(method),
        "metrics": scored.metrics,
        "layers": [scored.layers[at] for at in there],
        "images": images,
        "labels": [results.image_label(image) for image in images],
        "values": [[[_short(one) for one in row] for row in of_metric] for of_metric in values[:, there].tolist()],
        **{name: [_short(scored.facts.get(name, {}).get(image, np.nan)) for image in images] for name in OWN},
        "area": [_short(scored.area(target, image)) for image in images],
    }


def _short(value: float) -> float:
    return float(f"{value:.3g}")
