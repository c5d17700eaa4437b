"""The checkpoints: what each level stands for, beside the score of answering 'background' everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, networks, style
from analyses.reading.manifest import BEST, Checkpoint, level_name
from analyses.reading.results import Results
from analyses.statistics.bootstrap import class_iou, mean_iou

MOST_FINE = 3  # panels beside each other, in which 2 and 5 have room between powers of ten
BASELINE: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": "--"}
SHOWN = (
    *("model", "level", "seed", "reached", "step", "val_miou", "test_miou"),
    *("baseline_miou", "predicted_share", "n_test_images"),
)
"""Columns that are printed, with those that tell a run's checkpoints apart: the CSV has all."""


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of the checkpoints and the figure of the training runs they were taken from.

    Nothing of networks that were there already where no mask tells how good they are.
    """
    if not results.trained and not results.manifest.dataset.masked:
        return
    baseline = f"baseline_miou is the mean IoU of answering '{results.classes[0]}' everywhere"
    explained = results.class_name(results.targets[0])
    shares = f"predicted_share is the share of images in which the model predicts any pixel as '{explained}'"
    yield Table(
        "levels",
        tabulate(results),
        f"The checkpoint kept for each level, by validation mean IoU (val_miou); {baseline}; {shares}. The test_ "
        f"columns come from the predictions on the scored images. An unreached level has no values but the nearest "
        f"and the best one seen.",
        best={"test_miou": "higher"},
        shown=_shown(results),
    )
    if not results.has_training():
        return
    reading = (
        "Validation mean IoU against training images seen: a panel a network, a grey line a training"
        f"{', a short one from the start that its low levels need' if _several_starts(results) else ''}. Marks are the "
        f"checkpoints kept, bands their levels with tolerance, the dashed line answering '{results.classes[0]}' "
        "everywhere."
    )
    for ending, models in networks.pages(results.trained):
        with style.context():
            figure = draw(results, models)
        caption = Caption(finding(results, models), reading, unrecorded(results, models))
        yield Figure(f"levels{ending}", figure, caption, "Levels")


def _shown(results: Results) -> tuple[str, ...]:
    """Return the columns that are printed; where networks began differently, how each did."""
    named = ("name",) if results.trained != results.models else ()
    starts = {point.initial_answer for point in results.checkpoints if point.reached}
    return (*SHOWN[:2], *named, *SHOWN[2:4], *(("initial_answer",) if len(starts) > 1 else ()), *SHOWN[4:])


def _several_starts(results: Results) -> bool:
    answers = results.training().groupby(["model", "seed"], observed=True)["initial_answer"].nunique()
    return bool((answers > 1).any())


def unrecorded(results: Results, models: Sequence[str]) -> str:
    """Name the seeds of which there is a checkpoint, and no course of training; '' for none."""
    log = results.training()
    recorded = set(zip(log["model"].astype(str), log["seed"].astype(int), strict=True))
    words = []
    for model in models:
        missing = [seed for seed in results.seeds(model) if (model, seed) not in recorded]
        if missing:
            plural = "s" if missing[1:] else ""
            words.append(f"{results.label('models', model)}, seed{plural} {printing.listed(list(map(str, missing)))}")
    return f"No course of training was recorded of {'; '.join(words)}." if words else ""


def finding(results: Results, models: Sequence[str]) -> str:
    """Say how many levels were reached, 'best' being none, and the highest mean IoU of each network."""
    points = [point for point in results.checkpoints if point.model in models]
    reached = [point for point in points if point.reached]
    best = {model: [point.miou for point in reached if point.model == model] for model in models}
    words = [f"{max(found):.2f} in {networks.name_of(results, model)}" for model, found in best.items() if found]
    wanted = [point for point in points if point.level != BEST]
    share = f"{sum(point.reached for point in wanted)} of {len(wanted)} checkpoints reached their level"
    highest = f"the highest mean IoU is {printing.listed(words)}" if words else ""
    said = "; ".join(filter(None, (share if wanted else "", highest)))
    return f"{printing.capital(said)}." if said else ""


def tabulate(results: Results) -> pd.DataFrame:
    """Return a row for each checkpoint, reached or not; test values are missing where the predictions are."""
    tests = _tests(results)
    log = results.training() if results.has_training() else pd.DataFrame()
    sources = {}
    if "training_data" in log:
        for (model, seed), steps in log.groupby(["model", "seed"], observed=True):
            sources[(str(model), seed)] = " / ".join(sorted(steps["training_data"].astype(str).unique()))
    rows = [_row(results, point, tests, sources) for point in results.checkpoints]
    frame = pd.DataFrame(rows, columns=_columns(results))
    for name in ("step", "images_seen", "n_test_images"):
        frame[name] = frame[name].astype("Int64")
    return tidy(frame, ["model", "seed", "level"])


def _columns(results: Results) -> list[str]:
    return [
        *("model", "level"),
        *(("name",) if results.trained != results.models else ()),
        *(
            "seed",
            "reached",
            "initial_answer",
            "step",
            "images_seen",
            "val_miou",
            "nearest_miou",
            "best_miou",
            "baseline_miou",
        ),
        *("tolerance", "predicted_share"),
        *(f"val_iou_{name}" for name in results.classes),
        *("test_miou", "test_baseline_miou", "test_predicted_share", "n_test_images"),
        *(f"test_iou_{name}" for name in results.classes),
        "training_data",
        "sha256",
    ]


def _row(
    results: Results,
    point: Checkpoint,
    tests: dict[tuple[str, int, int], dict[str, Any]],
    sources: dict[tuple[str, Any], str],
) -> dict[str, Any]:
    test = tests.get((point.model, point.level, point.seed), {}) if point.reached else {}
    return {
        "model": point.model,
        "level": point.level,
        **({"name": point.name} if results.trained != results.models else {}),
        "seed": point.seed,
        "reached": point.reached,
        "initial_answer": point.initial_answer,
        "step": point.step,
        "images_seen": point.images_seen,
        "val_miou": point.miou,
        "nearest_miou": point.nearest_miou,
        "best_miou": point.best_miou,
        "baseline_miou": point.baseline_miou,
        "tolerance": point.tolerance,
        "predicted_share": point.predicted_share,
        **{f"val_iou_{name}": point.iou.get(name, math.nan) for name in results.classes},
        **test,
        "training_data": sources.get((point.model, point.seed)) or results.manifest.dataset.training_data,
        "sha256": point.sha256,
    }


def _tests(results: Results) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Return the test values of each checkpoint that was scored, by model, level and seed."""
    if not any(point.reached for point in results.checkpoints):
        return {}
    if not results.parts("predictions"):
        return {}
    frame = results.predictions()
    classes = results.classes
    out = {}
    for key, rows in frame.groupby(["model", "level", "seed"], observed=True):
        model, level, seed = (str(value) for value in key)
        counts = rows[list(results.counts)].to_numpy(dtype=np.int64).reshape(-1, len(classes), len(classes))
        total = counts.sum(axis=0)
        constant = np.zeros_like(total)
        constant[:, 0] = total.sum(axis=1)
        out[(model, int(level), int(seed))] = {
            "test_miou": float(mean_iou(total)),
            "test_baseline_miou": float(mean_iou(constant)),
            "test_predicted_share": float(rows["predicted"].mean()),
            "n_test_images": len(rows),
            **{f"test_iou_{name}": value for name, value in zip(classes, class_iou(total), strict=True)},
        }
    return out


def draw(results: Results, models: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw validation mean IoU against images seen, one panel a network, beside each other."""
    log = results.training()
    looks = networks.looks(results, models)
    width = networks.width(len(models))
    figure = style.figure(2.6 if len(models) > 1 else 2.9, width, constrained=True)
    grid = figure.subplots(1, len(models), squeeze=False, sharex=True, sharey=True)[0]
    for axes, model in zip(grid, models, strict=True):
        points = [point for point in results.checkpoints if point.model == model]
        _draw_panel(axes, log[log["model"] == model], points, looks)
        axes.set_title(networks.title(results, model, len(models)), loc="left")
        axes.set(xlabel="Training images seen", ylim=(0, 1))
        sns.despine(ax=axes)
    grid[0].set_ylabel("Validation mean IoU")
    seen = log.loc[log["model"].isin(models) & (log["images_seen"] > 0), "images_seen"]
    if len(seen):
        _scale(grid[0], seen, len(models))
    key: list[Artist] = []
    for level, look in looks.items():
        of_level = [point for point in results.checkpoints if point.model in models and point.level == level]
        mark: dict[str, Any] = {"linestyle": "none", "marker": look.marker, "color": look.color, "markersize": 4}
        key.append(Line2D([], [], label=_level_label(level, of_level), **mark))
    for i, seed in enumerate(sorted({int(seed) for seed in log.loc[log["model"].isin(models), "seed"]})):
        key.append(lines.line_key(style.grey_line(i), f"seed {seed}", 0.9))
    if any(not math.isnan(point.baseline_miou) for point in results.checkpoints if point.model in models):
        key.append(Line2D([], [], label=f"'{results.classes[0]}' everywhere", **BASELINE))
    if any(point.level != BEST for point in results.checkpoints if point.model in models):
        key.append(lines.band_key("a level, with tolerance"))
    style.add_key(figure, key, 5)
    return figure


def _draw_panel(axes: Axes, log: pd.DataFrame, points: list[Checkpoint], looks: Mapping[int, style.Line]) -> None:
    log = log[log["images_seen"] > 0]  # the axis is logarithmic
    seeds = {seed: i for i, seed in enumerate(sorted({point.seed for point in points}))}
    for (seed, _), run in log.sort_values("step").groupby(["seed", "initial_answer"], sort=True, observed=True):
        look = style.grey_line(seeds.get(int(str(seed)), 0))
        axes.plot(run["images_seen"], run["miou"], color=look.color, linestyle=look.linestyle, linewidth=0.9)
    if log.empty:
        axes.text(0.5, 0.5, "no training recorded", transform=axes.transAxes, ha="center", va="center")
    for level, line in looks.items():
        of_level = [point for point in points if point.level == level]
        reached = [point for point in of_level if point.reached and point.images_seen]
        if level != BEST and of_level:
            tolerance = max((point.tolerance for point in of_level if not math.isnan(point.tolerance)), default=0.0)
            axes.axhspan(level / 100 - tolerance, level / 100 + tolerance, color=line.color, alpha=0.12, linewidth=0)
        axes.plot(
            [float(point.images_seen or 0) for point in reached],
            [point.miou for point in reached],
            linestyle="none",
            marker=line.marker,
            markersize=5,
            color=line.color,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=3,
        )
    for baseline in sorted({point.baseline_miou for point in points if not math.isnan(point.baseline_miou)}):
        axes.axhline(baseline, **BASELINE)


def _level_label(level: int, points: list[Checkpoint]) -> str:
    reached = [point.miou for point in points if point.reached]
    names = list(dict.fromkeys(point.name for point in points if point.name))
    name = names[0] if len(names) == 1 else level_name(level, reached)
    if len(reached) == len(points):
        return name
    missed = [point.nearest_miou for point in points if not point.reached]
    nearest = min(missed, key=lambda miou: abs(miou - level / 100))
    return f"{name}: reached by {len(reached)} of {len(points)} (nearest {nearest:.2f})"


def _thousands(value: float, _: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _scale(axes: Axes, seen: pd.Series[Any], panels: int) -> None:
    """Scale the images seen by their logarithm."""
    low, high = float(seen.min()), float(seen.max())
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=[1, 2, 5] if high / low < 100 and panels < MOST_FINE else [1]))
    axes.xaxis.set_major_formatter(_thousands)  # exponents would be too small in print
    axes.xaxis.set_minor_formatter("")
