"""Mean IoU of networks that were trained at one size and are tested at others: whether accuracy outlives the change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.artist import Artist

from analyses import printing
from analyses.artifacts import Caption, Figure, Table, tidy
from analyses.plots import lines, networks, style
from analyses.reading.arrays import counted, sources
from analyses.reading.choices import at_highest
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED, bootstrap_miou
from analyses.statistics.bounds import SHARE
from analyses.statistics.intervals import NOTE, widened
from analyses.statistics.jackknife import miou_table

COLUMNS = [
    *("model", "level", "factor", "size", "miou", "low", "high", "change", "change_low", "change_high"),
    *("n_images", "n_seeds", "training_data"),
]
PAIRED = ("model", "other", "factor", "contrast", "low", "high", "n_images", "n_seeds", "training_data")
READING = (
    "Photographs and masks are resized to each test size, so that the animals' size in pixels changes with it: a "
    "network without any code of position shows what that alone costs. A ViT's position embedding is interpolated."
)


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of mean IoU by test size, and its figure; nothing for a run that tested no other sizes."""
    counts = results.resolution()
    if counts is None or counts.empty:
        return
    frame = summarise(results, counts)
    interval = (
        f"Intervals are of {CONFIDENCE:.0%}, from {RESAMPLES} resamples of images and seeds {NOTE}, paired over the "
        "sizes."
    )
    if frame["n_seeds"].max() < 2:
        interval += " They speak of the images alone: with one seed all this is an observation, not a test."
    yield Table(
        "resolution",
        frame,
        "Mean IoU (miou: confusion counts summed over the test images, averaged over seeds) by test size; factor: test "
        f"size over training size; size: in pixels a side; change: miou less that at factor 1. {interval}",
        best={"miou": "higher"},
        within=("factor",),
    )
    shown = at_highest(frame)
    pairs = contrasts(results, counts)
    if not pairs.empty:
        yield Table(
            "resolution_contrasts",
            pairs,
            "What the change of size costs one network more than another (claim C8): contrast is the change of mean "
            "IoU against factor 1 of model less that of other, each at its highest level, on the same images and "
            f"seeds; above 0 model keeps more. {interval}",
        )
    if shown["change"].isna().all():
        return
    with style.context():
        figure = draw(results, shown)
    reading = (
        "Change of mean IoU on the test images against their size, from that at the size of the training; one line a "
        "network, at its highest level, with that mean IoU in the key. Claim C8: Mix-FFN (SegFormer) keeps accuracy, "
        "a position embedding does not."
    )
    yield Figure("resolution", figure, Caption(finding(results, shown), reading, f"{READING} {interval}"), "Test sizes")


def finding(results: Results, frame: pd.DataFrame) -> str:
    """Say what the test size changes at which networks differ most; of one network, the largest one."""
    changes = frame[frame["factor"] != 1].pivot(index="factor", columns="model", values="change").dropna()
    if len(changes.columns) > 1 and len(changes):
        factor = (changes.max(axis=1) - changes.min(axis=1)).idxmax()
    else:
        factor = frame["factor"].max() if frame["factor"].max() > 1 else frame["factor"].min()
    rows = frame[(frame["factor"] == factor) & frame["change"].notna()]
    words = [
        f"{'+' if row['change'] > 0 else ''}{printing.fixed(100 * row['change'], 1)} in "
        f"{networks.name_of(results, str(row['model']))}"
        for row in rows.to_dict("records")
    ]
    if not words:
        return ""
    return f"At {factor:g} times the size of the training mean IoU changes by (points) {printing.listed(words)}."


def summarise(results: Results, counts: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each model, level and factor: mean IoU, its change against factor 1, intervals and counts."""
    rows: list[dict[str, Any]] = []
    order = {model: i for i, model in enumerate(results.models)}
    for (model, level), of_level in counts.groupby(["model", "level"], observed=True, sort=True):
        checkpoint = {"model": str(model), "level": int(str(level))}
        rows += [checkpoint | row for row in _rows(of_level, results.counts)]
    frame = tidy(pd.DataFrame(rows, columns=COLUMNS), ["level", "factor"])
    return frame.sort_values("model", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def _rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row for each factor of one model and level."""
    cube, present, factors = counted(frame, columns)
    estimate, resampled = bootstrap_miou(cube, np.random.default_rng(SEED), RESAMPLES)
    table = miou_table(cube)
    low, high = widened(table, estimate, resampled, CONFIDENCE, SHARE)
    training_size = int(np.argmin(np.abs(factors - 1)))
    change = np.full((3, len(factors)), np.nan)
    if math.isclose(factors[training_size], 1):
        at = [training_size]
        changes = table - table[at], estimate - estimate[at], resampled - resampled[:, at]
        change[0], change[1:] = changes[1], widened(*changes, CONFIDENCE, SHARE.weighted([1, -1]))
    for k, factor in enumerate(factors):
        yield {
            "factor": float(factor),
            "size": int(frame.loc[frame["factor"] == factor, "size"].iloc[0]),
            "miou": estimate[k],
            "low": low[k],
            "high": high[k],
            "change": change[0, k],
            "change_low": change[1, k],
            "change_high": change[2, k],
            "n_images": int(present[k].any(axis=0).sum()),
            "n_seeds": int(present[k].any(axis=1).sum()),
            "training_data": sources(frame),
        }


def contrasts(results: Results, counts: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each two models and factor: the difference of their changes against factor 1, paired."""
    top = at_highest(counts)
    models = [model for model in results.models if (top["model"] == model).any()]
    rows: list[dict[str, Any]] = []
    for n, model in enumerate(models):
        for other in models[n + 1 :]:
            both = top[top["model"].isin([model, other])]
            shared = both.groupby(["factor", "seed", "image"], observed=True)["model"].transform("nunique") == 2
            rows += [{"model": model, "other": other} | row for row in _contrast(both[shared], model, results.counts)]
    return pd.DataFrame(rows, columns=list(PAIRED)).round(6)


def _contrast(both: pd.DataFrame, model: str, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row for each factor but 1 of two models' tests of the same images."""
    of_model = both["model"] == model
    if not np.isclose(both["factor"], 1).any():
        return
    (first, present, factors), (second, _, _) = (counted(both[rows], columns) for rows in (of_model, ~of_model))
    cube = np.stack([first, second])
    estimate, resampled = bootstrap_miou(cube, np.random.default_rng(SEED), RESAMPLES)
    at, table = int(np.argmin(np.abs(factors - 1))), miou_table(cube)
    changes, drawn = estimate - estimate[:, at, None], resampled - resampled[..., at, None]
    varying = table - table[:, at, None]
    low, high = widened(
        varying[0] - varying[1],
        changes[0] - changes[1],
        drawn[:, 0] - drawn[:, 1],
        CONFIDENCE,
        SHARE.weighted([1, -1, -1, 1]),
    )
    training_data = sources(both)
    for k, factor in enumerate(factors):
        if k != at:
            yield {
                "factor": float(factor),
                "contrast": changes[0, k] - changes[1, k],
                "low": low[k],
                "high": high[k],
                "n_images": int(present[k].any(axis=0).sum()),
                "n_seeds": int(present[k].any(axis=1).sum()),
                "training_data": training_data,
            }


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the change of mean IoU against the training size, one line a model."""
    looks = style.model_lines(results.models)
    sizes = frame.groupby("factor")["size"].unique()
    names = [f"{factor:g}\n{'/'.join(map(str, sorted(pixels)))}" for factor, pixels in sizes.items()]
    ticks = dict(zip(np.log2(sizes.index.to_numpy(dtype=np.float64)), names, strict=True))
    marks, key = [], list[Artist]()
    for model, rows in frame.sort_values("factor", kind="stable").groupby("model", sort=False):
        y, low, high = (100 * rows[name] for name in ("change", "change_low", "change_high"))
        marks.append(lines.Line(looks[str(model)], np.log2(rows["factor"]), y, low, high))
        at_training = rows[np.isclose(rows["factor"], 1)]["miou"]
        name = networks.name_of(results, str(model))
        name += f" ({100 * at_training.iloc[0]:.1f} %)" if len(at_training) else ""
        key.append(lines.line_key(looks[str(model)], printing.plain(name)))
    where = "Test size / training size, and test size (px)"
    label = "Change of mean IoU (points)"
    panel = lines.Panel(label, marks, [lines.Reference(0)], ticks=ticks, dividers=[0], x_label=where)
    return lines.draw([[panel]], [*key, lines.band_key()], 2.9, key_columns=2, width=style.COLUMN)
