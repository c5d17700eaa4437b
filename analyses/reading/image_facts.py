"""What is known of an image beside its maps: how well and how surely a network segments it, how large its object is."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from analyses.reading.arrays import overlaps
from analyses.reading.manifest import Checkpoint
from analyses.reading.results import Results

FACTS = {
    "dice": "Dice of the prediction",
    "area": "Area of the mask",
    "confidence": "Confidence",
    "entropy": "Entropy (nats)",
}
"""Columns of facts, and what they are called in print."""
SURE = ("confidence", "entropy")
"""Those that runs lack which were scored before they were kept."""


def image_facts(results: Results, model: str, level: int, seeds: Collection[int] | None = None) -> pd.DataFrame:
    """Return a row an image and seed of a model's level: `image`, `seed`, `iou`, `dice`, `area`, `confidence`, ....

    `iou` and `dice` are of the prediction with the mask, of the class that is explained, NaN where neither shows it;
    `area` is the class's share of the labelled pixels. What the run did not keep is NaN.

    Raises:
        ResultsError: there are no predictions, or a file is damaged.
    """
    frame = results.predictions()
    frame = frame[(frame["model"] == model) & (frame["level"] == level)]
    frame = frame[frame["seed"].isin(list(seeds))] if seeds is not None else frame
    target = next(iter(results.targets), "")
    both, predicted, true = (
        part.astype(np.float64) for part in overlaps(frame, results.foreground(target), len(results.classes))
    )
    labelled = frame[list(results.counts)].sum(axis=1).astype(np.float64)
    union = predicted + true - both
    shares = {
        "iou": both / union.where(union > 0),
        "dice": 2 * both / (predicted + true).where(union > 0),
        "area": true / labelled.where(labelled > 0),
    }
    kept = {name: frame.get(name, np.nan) for name in SURE}
    return pd.DataFrame({"image": frame["image"].astype(str), "seed": frame["seed"], **shares, **kept})


def facts_of(results: Results, point: Checkpoint) -> Mapping[str, Mapping[str, float]]:
    """Return what is known of the images of one checkpoint: by fact and image; nothing without predictions."""
    if not results.targets or not results.parts("predictions"):
        return {}
    frame = image_facts(results, point.model, point.level, [point.seed])
    images = frame["image"].tolist()
    values = frame.drop(columns=["image", "seed"]).astype(np.float64)
    return {str(name): dict(zip(images, values[name].tolist(), strict=True)) for name in values}
