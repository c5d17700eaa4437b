"""Every metric by layer and level: where along the network, and how well trained, maps score what."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses.artifacts import Table, tidy
from analyses.reading.grids import Grid, read
from analyses.reading.results import Results

COLUMNS = [
    *("model", "target", "method", "metric", "level", "layer", "role", "depth", "mean", "chance"),
    *("n_images", "n_seeds", "n_maps", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Table]:
    """Yield the table of all means; nothing for runs without maps."""
    frames = [tabulate(results, grid) for grid in read(results, results.metrics)]
    if not frames:
        return
    about = (
        "Mean over images, of each image's mean over seeds; maps without a value are left out, and n_undefined says "
        "how many of n_maps they are"
    )
    method = results.label("methods", results.main_method)
    yield Table(
        "heatmap",
        tidy(pd.concat(frames, ignore_index=True), ["model", "metric", "level", "depth"]),
        f"Scores of {method} maps by layer and level, at the main probe point; one target a run. {about}. "
        f"Intervals are in the table curves.",
    )


def tabulate(results: Results, grid: Grid) -> pd.DataFrame:
    """Return a row for each metric, level and layer with maps."""
    rows: list[dict[str, Any]] = []
    names = {"model": grid.model, "target": grid.target, "method": results.main_method}
    for k, metric in enumerate(grid.metrics):
        by_image = grid.by_image(k)
        chance = grid.chance(k)
        at_chance = math.nan if np.isnan(chance).all() else float(np.nanmean(chance))
        for i, level in enumerate(grid.levels):
            for j, layer in enumerate(grid.layers):
                present, values = grid.present[i, j], by_image[i, j]
                if not present.any():
                    continue
                defined = values[~np.isnan(values)]
                rows.append(
                    {**names, "metric": metric.name, "level": level, "layer": layer.name, "role": layer.role}
                    | {"depth": layer.depth, "mean": float(defined.mean()) if defined.size else math.nan}
                    | {"chance": at_chance, "n_images": int(defined.size), "n_seeds": int(present.any(axis=1).sum())}
                    | {"n_maps": int(present.sum()), "n_undefined": int(np.isnan(grid.values[k][i, j][present]).sum())}
                    | {"training_data": grid.training_data}
                )
    return pd.DataFrame(rows, columns=COLUMNS)
