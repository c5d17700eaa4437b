"""Whether scores rise or fall with the levels of a network of one's own: a trend test for each layer and metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.artifacts import Table
from analyses.reading import grids
from analyses.reading.choices import main_target
from analyses.reading.results import Results
from analyses.statistics.paired import holm, page, trend_weights

FEWEST = 3
"""Levels that a trend needs."""


def analyse(results: Results) -> Iterator[Table]:
    """Yield the table of trends; nothing for runs without a network of at least three files of weights."""
    frame = tabulate(results)
    if frame.empty:
        return
    method, target = (
        results.label("methods", results.main_method),
        results.label("targets", main_target(results)),
    )
    yield Table(
        "trend",
        frame,
        f"Whether the scores of {method} maps (target: {target}) rise or fall over the levels, in the order in which "
        "the weights were given. effect: Page's L between -1, every image falls throughout, and 1, every one rises; 0 "
        "at chance. change: from the first level to the last, of the line through the levels' means over the images. "
        "p: two-sided, of the images that have a value at all levels; p_adjusted: by Holm over the layers of a metric. "
        "The images are those of one network: another training may show another trend.",
        shown=("layer", "metric", "change", "effect", "p_adjusted", "n_images"),
    )


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row a network, layer and metric, in the order of depth."""
    given = [name for name in results.models if results.manifest.models[name].given]
    if not any(len(results.levels(name)) >= FEWEST for name in given):
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for grid in grids.read(results, results.metrics):
        model = grid.model
        if model not in given or len(grid.levels) < FEWEST:
            continue
        names = [results.level(model, level) for level in grid.levels]
        for k, metric in enumerate(grid.metrics):
            by_image = grid.by_image(k)
            for j, layer in enumerate(grid.layers):
                matrix = by_image[:, j].T
                whole = matrix[~np.isnan(matrix).any(axis=1)]
                found = page(matrix)
                change = float(trend_weights(len(names)) @ whole.mean(axis=0)) if len(whole) else np.nan
                rows.append(
                    {
                        "model": model,
                        "layer": layer.name,
                        "depth": layer.depth,
                        "metric": metric.name,
                        "first": names[0],
                        "last": names[-1],
                        "n_levels": len(names),
                        "change": change,
                        "effect": found.effect,
                        "p": found.p,
                        "n_images": found.n,
                    }
                )
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    families = (frame["model"] + " " + frame["metric"]).tolist()
    adjusted = frame.assign(p_adjusted=holm(frame["p"].tolist(), families))
    return adjusted[[*(name for name in adjusted if name != "n_images"), "n_images"]]
