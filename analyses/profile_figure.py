"""Performance profiles of one model: a panel for all layers and one for the deepest, a line a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analyses import style
from analyses.profile_curves import Curves, Runs
from analyses.results import Results

PANEL, AROUND, LINE = 2.5, 0.45, 0.125  # inches; a line of the key
KEY_COLUMNS = 4


def draw(results: Results, runs: Runs, parts: Mapping[str, Curves], frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw a panel for each part of the network; `frame` is the model's part of the table `performance_profiles`."""
    looks = lines(results, runs)
    rows = -(-(len(looks) + 1) // KEY_COLUMNS)
    figure = style.figure(PANEL + AROUND + LINE * rows, constrained=True)
    panels: list[Axes] = list(figure.subplots(1, len(parts), squeeze=False, sharey=True).ravel())
    better = "above" if runs.sign > 0 else "below"
    for axes, (name, found) in zip(panels, parts.items(), strict=True):
        _draw_panel(axes, results, runs, found, looks)
        whole = int(frame.loc[frame["layers"] == name, "n_layers"].max())
        axes.set_title(style.plain(f"{name.capitalize()} ({whole})" if whole > 1 else name))
        axes.set_xlabel(style.plain(f"τ: {runs.metric.label}{f' ({runs.metric.unit})' if runs.metric.unit else ''}"))
    panels[0].set_ylabel(f"Share of maps {better} τ")
    panels[0].set_ylim(-0.02, 1.02)
    key = _key(results, looks, frame)
    figure.legend(handles=key, loc="outside lower center", frameon=False, ncols=KEY_COLUMNS, handlelength=2.6)
    return style.settle(figure)


def lines(results: Results, runs: Runs) -> dict[str, style.Line]:
    """Return the look of each method's line, the same for all models: in colour, or of controls in grey."""
    controls = [name for name in results.methods if name in results.controls]
    coloured = style.method_lines([n for n in results.methods if n not in controls and n not in results.costly])
    grey = {name: style.grey_line(i) for i, name in enumerate(controls)}
    return {name: look for name, look in (coloured | grey).items() if name in runs.methods}


def _draw_panel(axes: Axes, results: Results, runs: Runs, found: Curves, looks: Mapping[str, style.Line]) -> None:
    for name in sorted(found.shares, key=lambda name: name not in results.controls):  # controls lie behind
        look, share = looks[name], found.shares[name]
        control = name in results.controls
        axes.fill_between(found.bars, share.low, share.high, color=look.color, alpha=0.15, linewidth=0)
        axes.plot(
            found.bars, share.estimate, color=look.color, linestyle=look.linestyle, linewidth=0.8 if control else 1.1
        )
    axes.axvline(runs.chance, color="black", linewidth=0.7, linestyle=":")
    axes.set_xlim(found.bars[0], found.bars[-1])
    sns.despine(ax=axes)


def _key(results: Results, looks: Mapping[str, style.Line], frame: pd.DataFrame) -> list[Artist]:
    """Return the key: methods by the area under their profile over all layers, controls behind them."""
    first = frame[frame["layers"] == frame["layers"].iloc[0]]
    most = int(first["n_layers"].max())
    handles: list[Artist] = []
    for row in first.sort_values(["kind", "area"], ascending=[False, False], kind="stable").to_dict("records"):
        look, name = looks[row["method"]], results.label("methods", row["method"])
        some = f" ({row['n_layers']} layers)" if row["n_layers"] < most else ""
        text = style.plain(f"{name}{some}{', control' if row['kind'] == 'control' else ''}")
        handles.append(Line2D([], [], color=look.color, linestyle=look.linestyle, label=text))
    mark: dict[str, Any] = {"color": "black", "linewidth": 0.7, "linestyle": ":"}
    return [*handles, Line2D([], [], label="chance", **mark)]
