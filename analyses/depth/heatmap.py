"""Every metric by layer and level in one picture: where along the network, and how well trained, maps score what."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import style
from analyses.plots.heatmaps import FEW, HALF, draw
from analyses.reading.arrays import Grid, read
from analyses.reading.results import Results

COLUMNS = [
    *("model", "target", "method", "metric", "level", "layer", "role", "depth", "mean", "chance"),
    *("n_images", "n_seeds", "n_maps", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all means, and a figure for each model; nothing for runs without maps."""
    grids = list(read(results, results.metrics).values())
    if not grids:
        return
    frames = [tabulate(results, grid) for grid in grids]
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
    for grid, frame in zip(grids, frames, strict=True):
        with style.context():
            pages = draw(results, grid, frame)
        name, caption = (
            f"heatmap-{printing.slug(grid.model)}",
            f"{_caption(results, grid)} {about}.",
        )
        for number, page in enumerate(pages, 1):
            if len(pages) == 1:
                yield Figure(name, page, Caption("", "", caption))
            else:
                yield Figure(f"{name}-{number}", page, Caption("", "", f"Part {number} of {len(pages)}. {caption}"))


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
                    | {"n_maps": int(present.sum()), "n_undefined": int(np.isnan(grid.values[k, i, j][present]).sum())}
                    | {"training_data": grid.training_data}
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def _caption(results: Results, grid: Grid) -> str:
    method, model = results.label("methods", results.main_method), results.label("models", grid.model)
    point = f" ({grid.layers[0].point})" if grid.layers[0].point else ""
    about = (
        f"{method} maps of {model} by layer, in the order of execution{point}, and metric; target: "
        f"{results.label('targets', grid.target)}."
    )
    images = grid.present.any(axis=(0, 1, 2)).sum()
    seeds = grid.present.any(axis=(0, 1, 3)).sum()
    size = f"{images} image{'s' if images != 1 else ''}, {seeds} seed{'s' if seeds != 1 else ''}."
    if len(results.levels(grid.model)) > 1:
        colours = (
            "One panel a metric, columns are levels of validation mean IoU. Each panel has a colour scale of its own, "
            "that reaches equally far on both sides of chance; the bar shows the part that occurs. White is chance and "
            "blue the better side; purple is above and orange below chance where no side is the better one; grey, the "
            "darker the more, where there is no chance value."
        )
    else:
        colours = (
            f"Level: {results.level_phrase(grid.model, grid.levels[0])}. Numbers are the means; colours are of each "
            "column by itself, from chance (white) to the column's largest distance from it, or, where there is no "
            "chance value, from its lowest to its highest mean: blue is the better side, purple is above and orange "
            "below chance where no side is the better one, grey is darker for more."
        )
    marks = (
        f"Hatched: fewer than {FEW:.0%} of the maps have a value; a black corner: fewer than {HALF:.0%}. "
        "An arrow points to better values."
    )
    return f"{about} {size} {colours} {marks}"
