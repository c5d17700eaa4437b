"""The scores of single images, not only their means: how far images differ, and how many are better than chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import networks, style
from analyses.plots.violins import FEWEST, Shown, draw, percent
from analyses.reading.choices import DECODER, ends
from analyses.reading.grids import Grid, read
from analyses.reading.manifest import ATTENTION, Layer, Metric
from analyses.reading.results import Results

WANTED = ("energy_gain", "background_ratio", "edge_alignment")
METRICS = 3
MOST_LAYERS = 16  # beside each other
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = [f"q{100 * quantile:02.0f}" for quantile in QUANTILES]
COLUMNS = [
    *("model", "target", "method", "metric", "level", "layer", "role", "depth", *NAMES, "mean", "chance"),
    *("n_images", "n_above", "n_better", "share_better", "n_seeds", "n_maps", "share_undefined", "training_data"),
]
SHOWN = [
    *("model", "metric", "level", "layer", *NAMES, "chance", "n_images", "n_above", "n_better", "share_better"),
    "share_undefined",
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of quantiles, and a figure of the networks; nothing for runs without maps with a value."""
    metrics = shown_metrics(results)
    grids = [(grid, shown(results, grid)) for grid in read(results, metrics)] if metrics else []
    grids = [(grid, layers) for grid, layers in grids if not all(np.isnan(values).all() for values in grid.values)]
    if not grids:
        return
    frames = [tabulate(results, grid, layers) for grid, layers in grids]
    about = (
        "An image counts once, with its mean over seeds; images whose maps have no value are left out, and "
        "share_undefined says how many of the maps they are"
    )
    method = results.label("methods", results.main_method)
    keys = ["model", "metric", "level", "depth"]
    yield Table(
        "distributions",
        tidy(pd.concat(frames, ignore_index=True).astype({"n_above": "Int64", "n_better": "Int64"}), keys),
        f"Quantiles over images of the scores of {method} maps, at the main probe point; one target a run. q05: the "
        "value that 5 % of the images lie below, and so on; n_above: images above what chance scores on them; "
        f"n_better: images on the better side of it, for metrics that have one. {about}.",
        shown=SHOWN,
    )
    drawn = [Shown(grid, ends(grid.layers), tabulate(results, grid, ends(grid.layers))) for grid, _ in grids]
    of_figure = [metric for metric in metrics if metric.name != MIRROR] or metrics
    for ending, models in networks.pages([one.grid.model for one in drawn]):
        of_page = [one for one in drawn if one.grid.model in models]
        with style.context():
            figure = draw(results, of_page, of_figure)
        target = results.label("targets", grids[0][0].target)
        images = sorted({int(n) for one in of_page for n in one.frame["n_images"]})
        n = f"n = {images[0]}" + (f" to {images[-1]}" if images[1:] else "")
        details = f"Maps: {method}; target: {target}; {n} images. {DETAILS} {about}."
        caption = Caption(finding(results, of_page, of_figure[0]), READING, details)
        yield Figure(f"distributions{ending}", figure, caption, "Single images")


MIRROR = "background_ratio"
"""Says of an image what energy gain says, turned round."""
READING = (
    "A shape a level: as wide as many images score so. The bar goes from the first to the third quartile, the ring is "
    "at the median, the dotted line at chance. Layers: the first and the last before the decoder, and the last of all. "
    f"With fewer than {FEWEST} images each is a dot."
)
DETAILS = (
    "Densities: Gaussian kernel, Scott's rule, cut at the lowest and highest image; all shapes are equally wide. "
    "Chance is on average where it depends on the image. Where few values lie far out, the axis ends before them and "
    "says how many. The table distributions has more layers and the quantiles."
)


def finding(results: Results, drawn: Sequence[Shown], metric: Metric) -> str:
    """Say how many images are better than chance at the deepest layer before the decoder, at the highest level."""
    words = []
    for one in drawn:
        rows = one.frame[(one.frame["metric"] == metric.name) & one.frame["share_better"].notna()]
        rows = rows[rows["level"] == rows["level"].max()]
        encoder = [layer for layer in one.layers if layer.role != DECODER] or list(one.layers)
        rows = rows[rows["layer"] == encoder[-1].name]
        if len(rows):
            row = rows.to_dict("records")[0]
            share = percent(row["n_better"], row["n_images"])
            share = "all" if share == "100" else f"{share} %"
            words.append(f"{share} at {encoder[-1].label} in {networks.name_of(results, one.grid.model)}")
    if not words:
        return ""
    level = "at its highest level" if len(words) == 1 else "each at its highest level"
    return f"{metric.label} of single images is better than chance for {printing.listed(words)}, {level}."


def shown_metrics(results: Results) -> list[Metric]:
    """Return the metrics shown: those wanted, and where the run has fewer of them, the first others."""
    metrics = {metric.name: metric for metric in results.metrics}
    others = [name for name in metrics if name not in (*WANTED, "blank")]
    return [metrics[name] for name in [*(name for name in WANTED if name in metrics), *others][:METRICS]]


def shown(results: Results, grid: Grid) -> list[Layer]:
    """Return the layers shown: of models with several levels the ends of encoder and decoder, else all or many.

    Of more than `MOST_LAYERS` those before and after attention go first, then all but as many, evenly spread.
    """
    if len(results.levels(grid.model)) > 1:
        return ends(grid.layers)
    layers = list(grid.layers)
    if len(layers) > MOST_LAYERS:
        layers = [layer for layer in layers if layer.role not in ATTENTION] or layers
    if len(layers) > MOST_LAYERS:
        places = np.linspace(0, len(layers) - 1, MOST_LAYERS).round().astype(int)
        layers = [layers[int(place)] for place in places]
    return layers


def tabulate(results: Results, grid: Grid, layers: Sequence[Layer]) -> pd.DataFrame:
    """Return a row for each metric, level and layer shown that has maps: quantiles over images and counts."""
    rows: list[dict[str, Any]] = []
    names = {"model": grid.model, "target": grid.target, "method": results.main_method}
    for k, metric in enumerate(grid.metrics):
        by_image, chance = grid.by_image(k), grid.chance(k)
        for i, level in enumerate(grid.levels):
            for layer in layers:
                j = grid.layers.index(layer)
                present = grid.present[i, j]
                if present.any():
                    row = names | {"metric": metric.name, "level": level, "layer": layer.name, "role": layer.role}
                    row |= {"depth": layer.depth} | summary(by_image[i, j], chance, metric.direction)
                    row |= {"n_seeds": int(present.any(axis=1).sum()), "n_maps": int(present.sum())}
                    row |= {"share_undefined": float(np.isnan(grid.values[k][i, j][present]).mean())}
                    rows.append(row | {"training_data": grid.training_data})
    return pd.DataFrame(rows, columns=COLUMNS)


def summary(values: np.ndarray, chance: np.ndarray, direction: str | None) -> dict[str, Any]:
    """Return quantiles of images' scores, and how many lie above chance and on its better side.

    Args:
        values: (images,), NaN where undefined, which is left out.
        chance: (images,), what chance scores on each; NaN for none, without which nothing is above or better.
        direction: 'higher' or 'lower' is better; anything else has no better side.

    Returns:
        q05 to q95 (linear between neighbours) and the mean, NaN where no image has a value; the mean chance of the
        images with a value; n_images, those with a value; n_above and n_better, None where they mean nothing; and
        share_better, n_better over n_images.
    """
    is_defined = ~np.isnan(values)
    defined, at_chance = values[is_defined], chance[is_defined]
    quantiles = np.quantile(defined, QUANTILES) if defined.size else np.full(len(QUANTILES), math.nan)
    has = bool(defined.size) and not np.isnan(at_chance).any()
    above, below = int((defined > at_chance).sum()), int((defined < at_chance).sum())
    better = {"higher": above, "lower": below}.get(direction or "") if has else None
    return dict(zip(NAMES, map(float, quantiles), strict=True)) | {
        "mean": float(defined.mean()) if defined.size else math.nan,
        "chance": float(at_chance.mean()) if has else math.nan,
        "n_images": int(defined.size),
        "n_above": above if has else None,
        "n_better": better,
        "share_better": math.nan if better is None else better / defined.size,
    }
