"""Correlations: clouds of dots with their rank correlation, and many correlations as dots with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from numpy.typing import ArrayLike

from analyses import printing
from analyses.plots import lines, style

ROW, CLOUD, AROUND = 0.155, 1.35, 0.75  # inches
RHO = "\N{GREEK SMALL LETTER RHO}"
BETWEEN = 0.24  # of a row: how far the dots of two layers stand apart
LOOKS = (style.Line("#0072b2", "o", "-"), style.Line("#d55e00", "s", "-"), style.Line("#009e73", "^", "-"))


@dataclass(frozen=True)
class Cloud:
    """A panel of dots.

    Attributes:
        x: places across; NaN is not drawn.
        y: places upwards.
        label: of the x axis.
        rho: the rank correlation and the ends of its interval; None where there is none.
    """

    x: ArrayLike
    y: ArrayLike
    label: str
    rho: tuple[float, float, float] | None


def clouds(rows: Sequence[tuple[str, Sequence[Cloud]]], label: str) -> matplotlib.figure.Figure:
    """Draw rows of panels, which share what is upwards.

    Args:
        rows: each one's name and panels.
        label: of the y axes.
    """
    columns = len(rows[0][1])
    figure = style.figure(CLOUD * len(rows) + AROUND, style.COLUMN if columns < 3 else style.WIDTH, constrained=True)
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex="col", sharey="row")
    for across, (name, of_row) in zip(grid, rows, strict=True):
        for axes, cloud in zip(across, of_row, strict=True):
            axes.scatter(cloud.x, cloud.y, s=7, color=LOOKS[0].color, alpha=0.55, linewidths=0)
            if cloud.rho is not None:
                estimate, low, high = (printing.fixed(end, 2) for end in cloud.rho)
                weight = "bold" if cloud.rho[1] > 0 or cloud.rho[2] < 0 else "normal"
                axes.set_title(f"{RHO} {estimate} ({low} to {high})", loc="left", size=style.SMALL, weight=weight)
            axes.label_outer()
            sns.despine(ax=axes)
        across[0].set_ylabel(f"{printing.plain(name, 24)}\n{printing.plain(label, 24)}")
    for axes, cloud in zip(grid[-1], rows[-1][1], strict=True):
        axes.set_xlabel(cloud.label)
    return figure


def dots(
    frame: pd.DataFrame,
    metrics: Mapping[str, str],
    layers: Mapping[str, str],
    facts: Mapping[str, str],
    method: str,
    beside: str,
) -> matplotlib.figure.Figure:
    """Draw a panel a fact: a row a metric, a dot with its interval a layer, hollow of any other method.

    Args:
        frame: rows of `method`, `layer`, `metric`, `fact`, `rho`, `rho_low` and `rho_high`.
        metrics: their labels, from above.
        layers: their labels, three at most.
        facts: their labels, from the left.
        method: whose dots are full.
        beside: what the other is called; '' without.
    """
    figure = style.figure(ROW * len(metrics) * (1 + 0.35 * len(layers)) + AROUND, constrained=True)
    grid = figure.subplots(1, len(facts), squeeze=False, sharex=True, sharey=True)[0]
    looks = dict(zip(layers, LOOKS, strict=False))
    place = {name: y for y, name in enumerate(metrics)}
    for axes, (fact, label) in zip(grid, facts.items(), strict=True):
        of_fact = frame[frame["fact"] == fact]
        axes.axvline(0, **lines.REFERENCE, zorder=0)
        for i, (layer, look) in enumerate(looks.items()):
            for own in (False, True):
                rows = of_fact[(of_fact["layer"] == layer) & ((of_fact["method"] == method) == own)]
                y = rows["metric"].map(place).to_numpy(np.float64) + BETWEEN * (i - (len(looks) - 1) / 2)
                if own:
                    axes.hlines(y, rows["rho_low"], rows["rho_high"], color=look.color, linewidth=0.9)
                face = look.color if own else "white"
                mark = {"marker": look.marker, "markerfacecolor": face, "markeredgewidth": 0.6, "markersize": 3.0}
                axes.plot(rows["rho"], y, linestyle="none", color=look.color, **mark)
        axes.set_title(printing.plain(label, 26), loc="left")
        axes.set_yticks(range(len(metrics)), [printing.plain(name) for name in metrics.values()])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(metrics) - 0.4, -0.6)
        for row in range(1, len(metrics)):
            axes.axhline(row - 0.5, color="#eeeeee", linewidth=0.5, zorder=0)
        sns.despine(ax=axes)
    figure.supxlabel("Spearman's rank correlation over images", size=style.TEXT)
    key = [lines.line_key(style.Line(look.color, look.marker, "-"), layers[name]) for name, look in looks.items()]
    if beside:
        key.append(lines.dots_key("hollow", beside))
    style.add_key(figure, key, 4)
    return figure
