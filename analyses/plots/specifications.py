"""Specification curves: a claim under every choice that could as well have been made, sorted by what it comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from analyses import printing
from analyses.plots import lines, style
from analyses.plots.forest import HOLLOW, LOOKS, TICKS, key

CHOICES = ("quantity", "target", "method", "probe point", "placement", "border", "training left out")
"""What is chosen, in the order in which choices are listed."""
CURVE, ROW, GAP = 0.85, 0.125, 0.42
"""Inches: of a curve, of a choice below it, and between two claims."""
MARGIN = 0.08
"""Of a curve's height, above and below its intervals."""
TOP, BOTTOM = 0.25, 0.3
NAMES, ACROSS, BETWEEN = 0.215, 0.27, 0.03
"""Shares of the width: of a claim's names, of its curve, and between two claims side by side."""
READING = (
    "Each column is one choice of what is listed below, or leaves out one training. Above: what "
    "the claim comes to, in units of the smallest effects, with its interval, sorted; negligible in the shaded band. "
    "Below: what was chosen. Black: as registered. What all choices have in common is left out."
)


@dataclass(frozen=True)
class Curve:
    """A claim under all choices.

    Attributes:
        claim: its number.
        share: of the choices in the verdict's region, in words.
        rows: a row a choice: `estimate`, `low`, `high`, `verdict`, `registered`, and for each of `CHOICES` a column
            with the names of what was chosen, a tuple.
    """

    claim: str
    share: str
    rows: pd.DataFrame

    @property
    def names(self) -> list[tuple[str, str]]:
        """The choices that differ, kind by kind, each with its kind."""
        found = []
        for kind in CHOICES:
            named = list(dict.fromkeys(name for names in self.rows[kind] for name in names))
            if len(set(self.rows[kind])) > 1:
                found += [(kind, name) for name in named]
        return found

    @property
    def height(self) -> float:
        """Inches that it takes."""
        return CURVE + ROW * len(self.names) + GAP


def draw(curves: Sequence[Curve]) -> matplotlib.figure.Figure:
    """Draw the curves in two columns, one below the other."""
    sides = _sides(curves)
    needed = max(sum(curve.height for curve in side) for side in sides) - GAP
    figure = style.figure(needed + TOP + BOTTOM)
    inches = float(figure.get_size_inches()[1])
    scale = (inches - TOP - BOTTOM) / needed  # below 1 where a page is too short
    for side, left in zip(sides, (NAMES, 2 * NAMES + ACROSS + BETWEEN), strict=True):
        top = inches - TOP
        for curve in side:
            high, choices = scale * CURVE, scale * ROW * len(curve.names)
            above = figure.add_axes((left, (top - high) / inches, ACROSS, high / inches))
            rows = curve.rows.sort_values("estimate", kind="stable", ignore_index=True)
            _curve(above, curve, rows)
            if choices:
                below = figure.add_axes((left, (top - high - choices) / inches, ACROSS, choices / inches))
                _choices(below, curve, rows)
            top -= scale * curve.height
    shown = {verdict for curve in curves for verdict in curve.rows["verdict"]}
    handles = key([state for state in LOOKS if state in shown])
    if any(curve.rows["registered"].any() for curve in curves):
        handles.append(Line2D([], [], color="black", linewidth=1.6, label="as registered"))
    handles.append(Patch(color=style.GREY, alpha=0.15, linewidth=0, label="negligible effect"))
    figure.legend(handles=handles, loc="lower left", frameon=False, ncols=6, bbox_to_anchor=(0.0, 0.0))
    return figure


def _sides(curves: Sequence[Curve]) -> tuple[list[Curve], list[Curve]]:
    """Part the curves into two columns of about the same height, in their order."""
    heights = np.cumsum([curve.height for curve in curves])
    cut = int(np.argmin([max(done, heights[-1] - done) for done in heights])) + 1
    return list(curves[:cut]), list(curves[cut:])


def _curve(axes: Axes, curve: Curve, rows: pd.DataFrame) -> None:
    axes.axhspan(-1, 1, color=style.GREY, alpha=0.15, linewidth=0)
    axes.axhline(0, **lines.REFERENCE)
    for i, row in enumerate(rows.to_dict("records")):
        look, state = LOOKS[str(row["verdict"])], str(row["verdict"])
        color = "black" if row["registered"] else look.color
        axes.plot([i, i], [row["low"], row["high"]], color=color, linewidth=1.6 if row["registered"] else 0.7)
        face = "white" if state in HOLLOW else color
        axes.plot([i], [row["estimate"]], color=color, marker=look.marker, mfc=face, markersize=2.6, mew=0.6)
    axes.set_yscale("asinh", linear_width=1.0)
    ends = rows[["low", "high"]].to_numpy(dtype=np.float64)
    ends = ends[np.isfinite(ends)]
    low, high = min(-2.0, float(ends.min(initial=0.0))), max(2.0, float(ends.max(initial=0.0)))
    reach = MARGIN * (np.arcsinh(high) - np.arcsinh(low))
    axes.set_ylim(np.sinh(np.arcsinh(low) - reach), np.sinh(np.arcsinh(high) + reach))
    ends = np.sinh([np.arcsinh(low) - reach / 3, np.arcsinh(high) + reach])  # the names begin right below
    ticks = [tick for tick in TICKS if ends[0] <= tick <= ends[1] and abs(tick) in (0, 1, 5, 20)]
    axes.set_yticks(ticks, [f"{tick:g}".replace("-", printing.MINUS) for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(-1, len(rows))
    axes.set_xticks([])
    axes.set_ylabel("Effect / smallest\neffect of interest", size=style.SMALL)
    axes.yaxis.set_label_coords(-26 / 72 / (ACROSS * style.WIDTH), 0.5)  # one line for all curves
    axes.set_title(f"{curve.claim}  {curve.share}", loc="left", size=style.TEXT, weight="bold", pad=2.5)
    sns.despine(ax=axes, bottom=True)


def _choices(axes: Axes, curve: Curve, rows: pd.DataFrame) -> None:
    names = curve.names
    for place, (kind, name) in enumerate(names):
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=style.GREY, alpha=0.08, linewidth=0)
        chosen = [i for i, chosen in enumerate(rows[kind]) if name in chosen]
        own = [bool(rows["registered"][i]) for i in chosen]
        axes.scatter(chosen, [place] * len(chosen), s=2.2, c=["black" if one else style.GREY for one in own])
    kinds = [kind for kind, _ in names]
    for place in range(1, len(kinds)):
        if kinds[place] != kinds[place - 1]:
            axes.axhline(place - 0.5, color=style.GREY, linewidth=0.4)
    axes.set_xlim(-1, len(rows))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), [printing.plain(name) for _, name in names], size=style.SMALL)
    axes.tick_params(length=0, pad=2)
    sns.despine(ax=axes, left=True, bottom=True)


def share_in_words(share: float | None, number: int, verdict: str) -> str:
    """Return the share of choices that agree, as '83 % of 12 are undecided'.

    >>> share_in_words(0.8333, 12, "undecided"), share_in_words(None, 1, "supported")
    ('83 % of 12 are undecided', 'one choice: supported')
    """
    return f"one choice: {verdict}" if share is None else f"{math.floor(100 * share + 0.5)} % of {number} are {verdict}"
