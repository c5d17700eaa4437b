"""Which metrics say the same: the rank correlation of each two over methods and layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.stats import rankdata

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import networks, style
from analyses.reading.arrays import Floats, Numbers, nan_mean
from analyses.reading.choices import highest, main_target
from analyses.reading.cubes import by_column
from analyses.reading.manifest import Metric
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, PORTION, RESAMPLES, SEED, bootstrap_means, portions
from analyses.statistics.bounds import CORRELATION
from analyses.statistics.decisions import side
from analyses.statistics.intervals import NOTE, widened
from analyses.statistics.jackknife import means_left_out, pseudo_values

REDUNDANT = 0.9
"""Two metrics are called redundant where both intervals of their rank correlation lie beyond this, on one side."""
FEWEST = 5
"""Cells of a correlation, at least."""
LEFT_OUT = ("blank",)
"""Metrics that say whether there is a value at all."""
OVERALL, WITHIN = "all", "within layers"
COLOURS = "vlag_r"
ACROSS, MOST_NARROW = 2, 9  # panels beside each other; metrics for which one column of a page is wide enough
LABELS, MOST_CELL = 1.15, 0.3  # inches beside and below the panels; of a cell


class CellMeans(NamedTuple):
    """One metric's means over seeds and images, of cells: a layer with a method each.

    Attributes:
        mean: (cells,).
        resampled: the same of resamples, (resamples, cells).
        left_out: without each seed and group of images, (cells, seeds + 1, groups + 1).
    """

    mean: Floats
    resampled: Floats
    left_out: Floats

    @classmethod
    def of(cls, values: Numbers) -> CellMeans:
        """Take the values of maps, (cells, seeds, images); NaN where undefined."""
        mean, resampled = bootstrap_means(values, np.random.default_rng(SEED), RESAMPLES)
        return cls(mean, resampled, means_left_out(values))

    def at(self, cells: NDArray[np.bool_]) -> CellMeans:
        """Return the means of some cells."""
        return CellMeans(self.mean[cells], self.resampled[:, cells], self.left_out[cells])


@dataclass(frozen=True)
class MetricScores:
    """What is known of the maps of a model at one level for one target.

    Attributes:
        target: the target's name.
        metrics: those that have values.
        layers: number of the layer of each cell.
        means: of each metric.
        n_seeds: how many there are.
        n_images: how many there are.
    """

    target: str
    metrics: tuple[Metric, ...]
    layers: NDArray[np.int64]
    means: tuple[CellMeans, ...]
    n_seeds: int
    n_images: int


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of all pairs of metrics and a figure of the networks; nothing where there is nothing to rank."""
    frames, drawn = [], []
    for model in results.models:
        level = highest(results, model)
        cells = None if level is None else read(results, model, level, main_target(results))
        if level is None or cells is None:
            continue
        frame = compare(cells).assign(
            model=model,
            level=level,
            target=cells.target,
            training_data=results.manifest.dataset.training_data,
        )
        frames.append(frame)
        drawn.append((model, frame, cells.metrics))
    if not frames:
        return
    about = (
        "Spearman correlation of two metrics' means over images, across all layers and methods without controls "
        "(all; those of which each metric has half of the maps or more, n_cells), and across methods within a layer, "
        f"averaged over layers (within layers), which the depth of the layer does not enter; {CONFIDENCE:.0%} "
        f"intervals from {RESAMPLES} resamples of images and seeds {NOTE}. "
        f"Redundant: both intervals lie beyond {REDUNDANT} on one side. Where a metric counts less as better, its "
        "correlations are negative."
    )
    keys = ["model", "level", "target", "metric", "other"]
    table = pd.concat(frames, ignore_index=True)
    table = table[[*keys, *(name for name in table if name not in keys)]]
    yield Table("metric_agreement", tidy(table, ["model", "level"]), about)
    of = {model: (of_model, metrics) for model, of_model, metrics in drawn}
    for ending, models in networks.pages(list(of)):
        with style.context():
            figure = draw(results, {model: of[model] for model in models})
        finding = redundant_pairs(pd.concat([of[model][0] for model in models]), results, len(models))
        each = "; ".join(
            f"{results.label('models', model)}: {redundant_pairs(of[model][0], results).removesuffix('.').lower()}"
            for model in models
        )
        details = (
            f"Each at its highest level; target: {results.label('targets', main_target(results))}. {each}. {about}"
        )
        yield Figure(f"metric_agreement{ending}", figure, Caption(finding, READING, details), "Metric agreement")


READING = (
    "Rank correlation of two metrics, a panel a network: above the diagonal over all layers and methods, below it over "
    "methods within layers. Framed pairs are redundant: both correlations are beyond 0.9 for sure. Blue: the same "
    "order, red: the reverse."
)


def read(results: Results, model: str, level: int, target: str) -> MetricScores | None:
    """Read the maps of layers by methods that are no controls; None where there are too few for a correlation."""
    metrics = {metric.name: metric for metric in results.metrics if metric.name not in LEFT_OUT}
    layers = [layer.name for layer in results.main_layers(model)]
    where: dict[str, list[Any]] = {"model": [model], "level": [level], "target": [target]}
    where["method"] = [n for n in results.methods if n not in (*results.controls, *results.own_passes)]
    axes = {"layer": layers, "method": None, "seed": None, "image": None}
    means: dict[str, CellMeans] = {}
    enough, sizes = np.array(True), (0, 0, 0, 0)
    for name, maps in by_column(results, where, axes, list(metrics)):
        values, sizes = maps.values[name], maps.present.shape
        if not np.isnan(values).all():
            values = values.reshape(-1, *sizes[2:])
            enough = enough & ((~np.isnan(values)).mean(axis=(1, 2)) >= 0.5)  # of cells with few maps the mean differs
            means[name] = CellMeans.of(values)
    if enough.sum() < FEWEST or len(means) < 2:
        return None
    return MetricScores(
        target=target,
        metrics=tuple(metrics[name] for name in means),
        layers=np.repeat(np.arange(sizes[0]), sizes[1])[enough],
        means=tuple(one.at(enough) for one in means.values()),
        n_seeds=sizes[2],
        n_images=sizes[3],
    )


def compare(cells: MetricScores) -> pd.DataFrame:
    """Return a row for each pair of metrics, in their order."""
    means = np.stack([one.mean for one in cells.means])
    resampled = np.stack([one.resampled for one in cells.means], axis=1)
    left_out = np.moveaxis(np.stack([one.left_out for one in cells.means]), (-2, -1), (0, 1))
    estimates, ends = {}, {}
    for scope in (OVERALL, WITHIN):
        estimates[scope] = correlations(means[None], cells.layers, scope)[0]
        without = correlations(left_out.reshape(-1, *means.shape), cells.layers, scope)
        without = without.reshape(*left_out.shape[:2], *without.shape[1:])
        table = pseudo_values(np.moveaxis(without, (0, 1), (-2, -1)))
        spread = correlations(resampled, cells.layers, scope)
        ends[scope] = widened(table, estimates[scope], spread, CONFIDENCE, CORRELATION)
    rows: list[dict[str, Any]] = []
    for i, j in combinations(range(len(cells.metrics)), 2):
        row: dict[str, Any] = {"metric": cells.metrics[i].name, "other": cells.metrics[j].name}
        for scope, prefix in ((OVERALL, "rho"), (WITHIN, "rho_within")):
            row[prefix] = estimates[scope][i, j]
            row |= {f"{prefix}_low": ends[scope][0][i, j], f"{prefix}_high": ends[scope][1][i, j]}
        both = [[row[f"{prefix}{end}"] for prefix in ("rho", "rho_within")] for end in ("", "_low", "_high")]
        row["redundant"] = any(bool((side(both, sign * REDUNDANT) == sign).all()) for sign in (1, -1))
        rows.append(row)
    return pd.DataFrame(rows).assign(n_cells=len(cells.layers), n_images=cells.n_images, n_seeds=cells.n_seeds)


def correlations(means: Floats, layers: NDArray[np.int64], scope: str) -> Floats:
    """Return the rank correlations of metrics, `(r, metrics, metrics)`, from their means, `(r, metrics, cells)`.

    Args:
        means: NaN nowhere but in resamples that drew no defined value, whose correlations are NaN.
        layers: of each cell.
        scope: OVERALL for all cells at once, WITHIN for the mean over layers with three methods or more.
    """
    if scope == OVERALL:
        return _spearman(means)
    groups = [layers == layer for layer in np.unique(layers)]
    of_groups = [_spearman(means[..., group]) for group in groups if group.sum() > 2]
    if not of_groups:
        return np.full((*means.shape[:2], means.shape[1]), np.nan)
    return nan_mean(np.stack(of_groups), axis=0)


def _spearman(means: Floats) -> Floats:
    """Return Spearman's correlation of rows; NaN for rows that are constant or hold NaN."""
    if means.size > PORTION and len(means) > 1:
        return np.concatenate([_spearman(means[rows]) for rows in portions(means)])
    ranks = rankdata(means, axis=-1, nan_policy="propagate")
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=-1))
    scale = size[..., :, None] * size[..., None, :]
    correlation = np.full(scale.shape, np.nan)
    np.divide(ranks @ np.swapaxes(ranks, -1, -2), scale, out=correlation, where=scale > 0)
    return correlation


def redundant_pairs(frame: pd.DataFrame, results: Results, at_least: int = 1) -> str:
    """Say which metrics are redundant in so many networks, as groups of those that are linked by pairs."""
    labels = {metric.name: metric.label for metric in results.metrics}
    groups: list[set[str]] = []
    counts = frame[frame["redundant"]].groupby(["metric", "other"], sort=False).size()
    for one, two in counts.index[counts >= at_least]:
        linked = [group for group in groups if one in group or two in group]
        groups = [group for group in groups if group not in linked] + [set().union({one, two}, *linked)]
    where = "" if at_least == 1 else " in both networks" if at_least == 2 else f" in all {at_least} networks"
    if not groups:
        return f"No two metrics are shown to be redundant{where}."
    order = list(labels)
    named = [printing.listed([labels[name] for name in sorted(group, key=order.index)]) for group in groups]
    return f"Redundant{where} are {'; '.join(named)}."


def draw(results: Results, of: Mapping[str, tuple[pd.DataFrame, Sequence[Metric]]]) -> matplotlib.figure.Figure:
    """Draw the correlations of each network as a heat map: all cells above the diagonal, within layers below."""
    measured = {metric.name for _, metrics in of.values() for metric in metrics}
    metrics = [metric for metric in results.metrics if metric.name in measured]
    across = min(len(of), ACROSS)
    width = style.COLUMN if len(of) == 1 and len(metrics) <= MOST_NARROW else style.WIDTH
    rows = math.ceil(len(of) / across)
    cell = min(MOST_CELL, (width - LABELS) / across / len(metrics))
    figure = style.figure(rows * (cell * len(metrics) + 0.25) + LABELS, width, constrained=True)
    grid = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True)
    labels = [printing.plain(metric.label) for metric in metrics]
    for axes, model in zip(grid.ravel(), of, strict=False):
        _draw_panel(axes, of[model][0], {metric.name: i for i, metric in enumerate(metrics)})
        axes.set_title(networks.title(results, model, across), loc="left")
        axes.set_xticks(np.arange(len(metrics)) + 0.5, labels, rotation=90)
        axes.set_yticks(np.arange(len(metrics)) + 0.5, labels)
        axes.tick_params(length=0)
    for axes in grid.ravel()[len(of) :]:
        axes.set_axis_off()
    scale = ScalarMappable(Normalize(-1, 1), COLOURS)
    place: dict[str, Any] = {"location": "bottom", "aspect": 45, "shrink": 0.6, "pad": 0.01}
    bar = figure.colorbar(scale, ax=grid, label="Spearman correlation; numbers in hundredths", **place)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=1.5, pad=1)
    return figure


def _draw_panel(axes: Axes, frame: pd.DataFrame, place: Mapping[str, int]) -> None:
    colours = mpl.colormaps[COLOURS]
    matrix = np.full((len(place), len(place)), np.nan)
    for row in frame.to_dict("records"):
        i, j = place[row["metric"]], place[row["other"]]
        matrix[i, j], matrix[j, i] = row["rho"], row["rho_within"]
    axes.pcolormesh(matrix, cmap=COLOURS, vmin=-1, vmax=1, edgecolors="white", linewidth=0.5)
    for i, j in np.argwhere(~np.isnan(matrix)):
        ink = style.ink(colours((matrix[i, j] + 1) / 2))
        number = printing.fixed(100 * float(matrix[i, j]), 0)  # two digits and a sign have room
        axes.text(j + 0.5, i + 0.5, number, size=style.SMALL, color=ink, ha="center", va="center", in_layout=False)
    for row in frame[frame["redundant"]].to_dict("records"):
        i, j = place[row["metric"]], place[row["other"]]
        for x, y in ((j, i), (i, j)):
            axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="black", linewidth=1.1))
    axes.set(xlim=(0, len(place)), ylim=(len(place), 0))
