"""The networks side by side: where along its depth each one's maps follow edges, and where they find the object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.figure
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analyses import printing
from analyses.artifacts import Figure, Table, tidy
from analyses.depth.curves import CHANCE
from analyses.plots import style
from analyses.reading.manifest import ATTENTION, Metric, level_name
from analyses.reading.results import Results
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES
from analyses.statistics.crossed import NOTE
from analyses.statistics.layer_means import layer_means

SHOWN = ("energy_gain", "edge_alignment")
DECODER = "decoder"
COLUMNS = [
    *("model", "level", "layer", "role", "depth", "relative_depth", "method", "target", "metric"),
    *("estimate", "low", "high", "chance", "n_images", "n_seeds", "n_undefined", "training_data"),
]


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of both scores of every model at its highest level, and a figure for each target."""
    frame = summarise(results)
    if frame.empty:
        return
    interval = (
        f"Mean over the defined maps with a {CONFIDENCE:.0%} interval from {RESAMPLES} resamples of images and seeds "
        f"{NOTE}."
    )
    method = results.label("methods", results.main_method)
    depth = "Relative depth is a layer's place in the order of execution over the last one's, at the main probe point"
    about = f"{method} maps by relative depth, each model at the highest level it reached"
    yield Table("family", frame, f"{about}. {depth}. {interval}")
    for target in results.targets:
        part = frame[frame["target"] == target]
        if part.empty:
            continue
        with style.context():
            figure = draw(results, part)
        caption = (
            f"{about}; target: {results.label('targets', target)}. {depth}. A line joins all layers of a model "
            "but those before and after attention, which are faint dots: they sit on branches of their own, and a line "
            "through them would jump at every block. Hollow marks are decoder layers."
        )
        yield Figure(f"family-{printing.slug(target)}", figure, f"{caption} {interval}")


def summarise(results: Results) -> pd.DataFrame:
    """Return a row for each model, target, metric and layer of the main probe point."""
    metrics = [metric for metric in results.metrics if metric.name in SHOWN]
    rows: list[dict[str, Any]] = []
    for model in results.models:
        level = max((c.level for c in results.checkpoints if c.model == model and c.reached), default=None)
        layers = {layer.name: layer for layer in results.main_layers(model)}
        if level is None or not layers:
            continue
        where: dict[str, list[Any]] = {
            "model": [model],
            "level": [level],
            "method": [results.main_method],
            "layer": list(layers),
        }
        deepest = max(1, *(layer.depth for layer in layers.values()))
        for target, part in results.scores(where).groupby("target", observed=True, sort=True):
            same = {"model": model, "level": level, "method": results.main_method, "target": str(target)}
            for row in layer_means(part, list(layers.values()), metrics):
                own = {"role": layers[row["layer"]].role, "relative_depth": row["depth"] / deepest}
                rows.append(same | row | own)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return tidy(frame, ["model", "target", "metric", "depth"])


def draw(results: Results, frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw one panel a metric, one line a model."""
    metrics = [metric for metric in results.metrics if (frame["metric"] == metric.name).any()]
    figure = style.figure(3.1, constrained=True)
    panels: list[Axes] = list(figure.subplots(1, len(metrics), squeeze=False).ravel())
    models = [model for model in results.models if (frame["model"] == model).any()]
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_panel(axes, frame[frame["metric"] == metric.name], metric, models, style.model_lines(results.models))
    key = _key(results, frame, models)
    figure.legend(handles=key, loc="outside upper center", frameon=False, ncols=min(3, len(key)))
    return figure


def _draw_panel(
    axes: Axes, frame: pd.DataFrame, metric: Metric, models: Sequence[str], lines: dict[str, style.Line]
) -> None:
    for model in models:
        look, part = lines[model], frame[frame["model"] == model].sort_values("depth")
        branch = part["role"].isin(ATTENTION)
        if branch.any():
            x, y = part.loc[branch, "relative_depth"], part.loc[branch, "estimate"]
            axes.scatter(x, y, s=5, color=look.color, marker=look.marker, alpha=0.4, linewidths=0)
        part = part[~branch]
        x = part["relative_depth"]
        axes.fill_between(x, part["low"], part["high"], color=look.color, alpha=0.18, linewidth=0)
        axes.plot(x, part["estimate"], color=look.color, linestyle=look.linestyle)
        for decoder in (False, True):
            some = part[(part["role"] == DECODER) == decoder]
            face = "white" if decoder else look.color
            axes.plot(
                some["relative_depth"],
                some["estimate"],
                linestyle="none",
                marker=look.marker,
                color=look.color,
                markerfacecolor=face,
                markeredgewidth=0.8,
            )
    chance = frame["chance"].mean()
    if pd.notna(chance):
        axes.axhline(chance, color="black", linewidth=0.7, linestyle=":")
    if frame["estimate"].isna().all():
        axes.text(0.5, 0.5, "undefined for every map", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
    axes.set(
        xlabel="Relative depth (0: first layer, 1: last)",
        ylabel=printing.plain(style.metric_label(metric, arrow=False)),
    )
    axes.set_xlim(-0.03, 1.03)
    sns.despine(ax=axes)


def _key(results: Results, frame: pd.DataFrame, models: Sequence[str]) -> list[Artist]:
    handles: list[Artist] = []
    for model, look in style.model_lines(results.models).items():
        if model not in models:
            continue
        part = frame[frame["model"] == model]
        level, count = int(part["level"].iloc[0]), int(part["n_seeds"].max())
        name = level_name(level, [point.miou for point in results.reached(model, level)])
        label = f"{results.label('models', model)}: {name} mean IoU ({count} seed{'s' if count != 1 else ''})"
        line = Line2D(
            [], [], color=look.color, marker=look.marker, linestyle=look.linestyle, label=printing.plain(label)
        )
        handles.append(line)
    mark: dict[str, Any] = {"color": style.GREY, "linestyle": "none", "marker": "o"}
    if (frame["role"] == DECODER).any():
        handles.append(Line2D([], [], markerfacecolor="white", markeredgewidth=0.8, label="hollow: decoder", **mark))
    if frame["role"].isin(ATTENTION).any():
        handles.append(Line2D([], [], alpha=0.5, markersize=2, label="faint: before or after attention", **mark))
    handles.append(Patch(color=style.GREY, alpha=0.3, linewidth=0, label=f"{CONFIDENCE:.0%} interval"))
    if frame["chance"].notna().any():
        handles.append(Line2D([], [], color="black", linewidth=0.7, linestyle=":", label=CHANCE))
    return handles
