"""The figure of known evidence: a panel for each cue that decides, a dot for each layer of each method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from analyses import printing
from analyses.plots import style
from analyses.reading.catalogue import FAMILIES
from analyses.reading.results import Results

ROW, AROUND, GAP = 0.135, 1.5, 0.7  # inches; inches; rows
LINES = ("evidence_oracle", "mask_oracle", "sobel", "gaussian")
"""Controls with a line of their own, the ceiling first."""
CUES = {"shape": "Ears decide", "texture": "Coat decides", "context": "Ball decides"}


def titles(cues: Sequence[str], networks: pd.DataFrame) -> dict[str, str]:
    """Return the title of each cue's panel: what decides, and in how many images one model told the animals apart.

    Args:
        cues: in the order of the panels.
        networks: the model's rows of known_evidence_networks.
    """
    return {cue: _title(cue, networks[networks["cue"] == cue]) for cue in cues if (networks["cue"] == cue).any()}


def draw(
    results: Results, means: pd.DataFrame, summary: pd.DataFrame, titles: dict[str, str]
) -> matplotlib.figure.Figure:
    """Draw one model and target.

    Args:
        results: the run.
        means: the rows of the table known_evidence.
        summary: the rows of known_evidence_summary.
        titles: of each cue's panel, in the order of the panels.
    """
    rows, headings = _rows(summary)
    height = max(rows.values()) + 1
    figure = style.figure(ROW * height + AROUND, constrained=True)
    panels: list[Axes] = list(figure.subplots(1, len(titles), squeeze=False, sharex=True, sharey=True).ravel())
    layers = results.layers(str(means["model"].iloc[0]))
    depths = [layer.depth for layer in layers]
    colours = ScalarMappable(Normalize(min(depths), max(depths)), mpl.colormaps["cividis"])
    lines = {name: style.grey_line(i) for i, name in enumerate(n for n in LINES if n in set(summary["method"]))}
    for axes, (cue, title) in zip(panels, titles.items(), strict=True):
        of_layers = summary[(summary["cue"] == cue) & (summary["scope"] == "layer")]
        _draw_lines(axes, of_layers, lines)
        _draw_dots(axes, means[means["cue"] == cue], rows, colours, {layer.name for layer in layers})
        _draw_means(axes, summary[summary["cue"] == cue], rows)
        axes.set_title("\n".join(map(printing.plain, title.split("\n"))))
        axes.set_xlabel("Energy gain on the evidence ↑")
        axes.set_ylim(height + 0.1, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks([])
        sns.despine(ax=axes, left=True)
    _label(panels[0], results, summary, rows, headings)
    place: dict[str, Any] = {"location": "bottom", "shrink": 0.3, "aspect": 40, "pad": 0.01}
    bar = figure.colorbar(colours, ax=panels, **place)
    bar.set_ticks(
        [min(depths), max(depths)], labels=[printing.plain(layers[0].label), printing.plain(layers[-1].label)]
    )
    bar.ax.tick_params(length=1.5)
    bar.outline.set_linewidth(0.4)
    figure.legend(handles=_key(results, lines), loc="outside upper center", frameon=False, ncols=4, handlelength=2.4)
    return figure


def _rows(summary: pd.DataFrame) -> tuple[dict[str, float], list[tuple[float, str]]]:
    """Return the row of each method, sorted by its mean over all panels; those of the input and controls apart."""
    rows: dict[str, float] = {}
    headings: list[tuple[float, str]] = []
    at = 0.0
    control = summary["family"] == "control"
    blocks = {
        "Methods of layers": summary[~control & (summary["scope"] == "layer")],
        "Methods of the input": summary[~control & (summary["scope"] == "input")],
        FAMILIES["control"]: summary[control & (summary["scope"] == "layer")],
    }
    for heading, block in blocks.items():
        if block.empty:
            continue
        headings.append((at, heading))
        at += 1
        order = block.groupby("method", sort=False)["gain"].mean().sort_values(ascending=False, kind="stable")
        for name in order.index:
            rows[str(name)], at = at, at + 1
        at += GAP
    return rows, headings


def _draw_lines(axes: Axes, summary: pd.DataFrame, lines: dict[str, style.Line]) -> None:
    axes.axvline(0, color="black", linewidth=0.6, linestyle="-", zorder=0)
    gains = dict(zip(summary["method"], summary["gain"], strict=True))
    for name, look in lines.items():
        if name in gains and not np.isnan(gains[name]):
            axes.axvline(gains[name], color=look.color, linestyle=look.linestyle, linewidth=0.8, zorder=0)


def _draw_dots(
    axes: Axes, means: pd.DataFrame, rows: dict[str, float], colours: ScalarMappable, layers: set[str]
) -> None:
    by_layer = means[means["method"].isin(list(rows)) & means["gain"].notna()].sort_values("depth", kind="stable")
    of_layer = by_layer["layer"].isin(layers)
    mark: dict[str, Any] = {"linewidths": 0.25, "edgecolors": "white"}
    dots = by_layer[of_layer]
    axes.scatter(
        dots["gain"],
        dots["method"].map(rows),
        s=9,
        color=colours.to_rgba(dots["depth"].to_numpy()),
        zorder=2,
        **mark,
    )
    control = by_layer["family"] == "control"
    dots = by_layer[~of_layer & ~control]
    axes.scatter(dots["gain"], dots["method"].map(rows), s=13, marker="s", color="#d55e00", zorder=2, **mark)
    for y in rows.values():
        axes.axhline(y, color="#eeeeee", linewidth=0.5, zorder=-1)


def _draw_means(axes: Axes, summary: pd.DataFrame, rows: dict[str, float]) -> None:
    of_layers = summary[summary["scope"] == "layer"]
    for row in of_layers.to_dict("records"):
        y = rows.get(str(row["method"]))
        if y is not None and not np.isnan(row["gain"]):
            axes.plot([row["gain"]] * 2, [y - 0.42, y + 0.42], color="black", linewidth=1.3, zorder=3)


def _title(cue: str, networks: pd.DataFrame) -> str:
    used = networks[networks["used"]]
    share = used["images_told"].mean()
    lost = "" if used["told_apart"].all() else ": not apart"
    lost += "" if len(used) == len(networks) else f"\n({len(used)} of {len(networks)} networks)"
    return f"{CUES.get(cue, cue)}\n{100 * share:.0f} % of the animals told{lost}"


def _label(
    axes: Axes,
    results: Results,
    summary: pd.DataFrame,
    rows: dict[str, float],
    headings: Sequence[tuple[float, str]],
) -> None:
    """Name methods and blocks; say where a method has maps of fewer images than others."""
    images = summary.groupby("method")["n_images"].max().to_dict()
    most = max(images.values())
    labels = [(y, text, True) for y, text in headings]
    for name, y in rows.items():
        few = f" (n = {images[name]})" if images[name] < most / 2 else ""
        labels.append((y, f"{results.label('methods', name)}{few}", False))
    labels.sort()
    axes.set_yticks([y for y, *_ in labels], [printing.plain(text) for _, text, _ in labels])
    for tick, (*_, heading) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heading else "normal")


def _key(results: Results, lines: dict[str, style.Line]) -> list[Artist]:
    mark: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0}
    handles: list[Artist] = [
        Line2D([], [], marker="o", color="#575d6d", markersize=3.2, label="a layer", **mark),
        Line2D([], [], marker="s", color="#d55e00", markersize=3.4, label="the input's pixels", **mark),
        Line2D([], [], marker="|", color="black", markersize=6, markeredgewidth=1.3, linestyle="none", label="mean"),
    ]
    for name, look in lines.items():
        label = printing.plain(f"control: {results.label('methods', name)}")
        handles.append(Line2D([], [], color=look.color, linestyle=look.linestyle, linewidth=0.8, label=label))
    return handles
