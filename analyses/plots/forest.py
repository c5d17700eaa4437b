"""The claims as a forest plot: a row a claim and one a part, all turned so that the claimed side is on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from analyses import printing
from analyses.plots import lines, style

ROW, HEADING = 0.16, 1.3  # inches a row; rows that a claim's heading takes
ABOVE, BELOW = 0.2, 0.62  # inches
LEFT, ACROSS = 0.465, 0.215  # of the figure's width: beside the axis, and the axis itself
COLUMNS = {"estimate": 0.695, "n": 0.765, "left out": 0.832}
"""Where columns of text begin, as shares of the figure's width; the verdict ends at its right edge."""
EDGE = 0.998
ROOM = 11.5  # points between two ticks
FIRST = (0, 1, 5, 20, 2, 10)
"""Of ticks without their signs: which are kept where not all have room."""
TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20)
READING = (
    "Bold: a claim, the mean of its parts; below it the parts, with bounds that hold for all at once. In units of the "
    "smallest effect of interest, the claimed side on the right; in the shaded band an effect is negligible. Axis: "
    "compressed outside. n: images x seeds. Noise: other resamples could cross the band's edge. Grey: decides nothing."
)
LOOKS = {
    "supported": style.Line("#0072b2", ">", "-"),
    "opposite": style.Line("#d55e00", "<", "-"),
    "negligible": style.Line(style.GREY_TEXT, "D", "-"),
    "undecided": style.Line(style.GREY, "o", "-"),
}
"""By state; the last two are hollow."""
HOLLOW = ("negligible", "undecided")


def draw(frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the claims that were measured.

    Args:
        frame: rows of the table `claims`; the metric's `unit`; and what stands behind a part's and a claim's verdict
            in brackets, `note` and `overall_note`, '' for nothing.
    """
    claims = list(dict.fromkeys(frame["claim"]))
    means = int((frame["claim"].value_counts() > 1).sum())  # of one part, the mean is the part
    height = len(frame) + means + HEADING * len(claims) + 1 - HEADING
    inches = ROW * height + ABOVE + BELOW
    figure = style.figure(inches)
    axes = figure.add_axes((LEFT, BELOW / inches, ACROSS, ROW * height / inches))
    place = 0.0
    for claim in claims:
        rows = frame[frame["claim"] == claim]
        first = rows.iloc[0]
        _write(axes, place, 0.004, f"{claim}  {first['sentence']}", weight="bold")
        _write(axes, place, EDGE, _noted(first["overall"], first["overall_note"]), weight="bold", ha="right")
        place += 1
        ends = [place - 0.5, place + len(rows) - 0.5 + (len(rows) > 1)]
        axes.plot([0, 0], ends, **lines.REFERENCE, zorder=0)
        axes.fill_betweenx(ends, -1, 1, color=style.GREY, alpha=0.15, linewidth=0)
        if len(rows) > 1:
            _draw_whole(axes, place, first)
            place += 1
        for row in rows.to_dict("records"):
            _draw_row(axes, place, {str(name): value for name, value in row.items()})
            place += 1
        place += HEADING - 1
    axes.set_ylim(place - HEADING + 0.6, -0.6)
    axes.set_yticks([])
    _scale(axes, frame)
    axes.set_xlabel("Effect / smallest effect of interest\n(right: as claimed)", size=style.SMALL)
    sns.despine(ax=axes, left=True)
    top = 1 - 0.5 * ABOVE / inches
    for name, x in COLUMNS.items():
        figure.text(x, top, name, va="center", size=style.SMALL, color=style.GREY_TEXT)
    figure.text(EDGE, top, "verdict", va="center", ha="right", size=style.SMALL, color=style.GREY_TEXT)
    shown = {*frame["verdict"], *frame["region"]}
    handles = key([state for state in LOOKS if state in shown])
    figure.legend(handles=handles, loc="lower left", frameon=False, ncols=2, bbox_to_anchor=(0.0, 0.0))
    return figure


def _scale(axes: Axes, frame: pd.DataFrame) -> None:
    """Compress the axis far from zero, so that small and large contrasts can both be read."""
    axes.set_xscale("asinh", linear_width=1.0)
    ends = frame[["standardised_low", "standardised_high", "statistic_low", "statistic_high"]].to_numpy(
        dtype=np.float64
    )
    ends = ends[np.isfinite(ends)]
    low, high = min(-2.0, ends.min(initial=0.0)), max(2.0, ends.max(initial=0.0))
    axes.set_xlim(1.25 * low, 1.25 * high)
    ticks = apart([tick for tick in TICKS if 1.25 * low <= tick <= 1.25 * high], (1.25 * low, 1.25 * high))
    axes.set_xticks(ticks, [f"{tick:g}".replace("-", printing.MINUS) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def apart(ticks: Sequence[int], ends: tuple[float, float]) -> list[int]:
    """Return the ticks whose labels stand apart on the claims' axis: those nearest to the middle, then the largest.

    >>> apart([-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20], (-25.0, 25.0))
    [-20, -5, -1, 0, 1, 5, 20]
    """
    scale = 72 * ACROSS * style.WIDTH / float(np.arcsinh(ends[1]) - np.arcsinh(ends[0]))
    kept: list[int] = []
    for tick in sorted(ticks, key=lambda tick: (FIRST.index(abs(tick)), tick)):
        if all(scale * abs(np.arcsinh(tick) - np.arcsinh(other)) >= ROOM for other in kept):
            kept.append(tick)
    return sorted(kept)


def _write(axes: Axes, place: float, x: float, text: str, **look: Any) -> None:
    """Write in a row at a share of the figure's width."""
    beside = (x - LEFT) / ACROSS
    axes.text(
        beside, place, printing.plain(text), transform=axes.get_yaxis_transform(), va="center", size=style.SMALL, **look
    )


def _noted(verdict: object, note: object) -> str:
    return f"{verdict} ({note})" if note else str(verdict)


def _draw_whole(axes: Axes, place: float, row: pd.Series) -> None:
    """Draw the mean of a claim's parts."""
    _write(axes, place, 0.015, "mean of its parts, in smallest effects", weight="bold")
    _write(axes, place, COLUMNS["estimate"], printing.fixed(row["statistic"], 2), weight="bold")
    if not pd.isna(row["statistic_low"]):
        _mark(axes, place, str(row["region"]), row["statistic"], row["statistic_low"], row["statistic_high"], width=1.8)


def _mark(axes: Axes, place: float, state: str, at: float, low: float, high: float, width: float = 0.9) -> None:
    look = LOOKS[state]
    face = "white" if state in HOLLOW else look.color
    axes.plot([low, high], [place, place], color=look.color, linewidth=width, marker="|", markersize=5)
    axes.plot([at], [place], color=look.color, marker=look.marker, markerfacecolor=face, markersize=2.6 + width)


def _draw_row(axes: Axes, place: float, row: dict[str, Any]) -> None:
    state = str(row["verdict"])
    ink = {"color": "black" if row["counts"] else style.GREY_TEXT}
    _write(axes, place, 0.015, str(row["part"]), **ink)
    _write(axes, place, EDGE, _noted(state, row["note"]), ha="right", **ink)
    _write(axes, place, COLUMNS["n"], f"{row['n_images']} \N{MULTIPLICATION SIGN} {row['n_seeds']}", **ink)
    if row["n_left_out"]:
        share = 100 * row["n_left_out"] / (row["n_images"] + row["n_left_out"])
        _write(axes, place, COLUMNS["left out"], f"{share:.0f} %" if share >= 1 else "<1 %", **ink)
    if pd.isna(row["standardised_low"]):
        _write(axes, place, COLUMNS["estimate"], "no interval", **ink)
        return
    _mark(axes, place, state, *(float(row[name]) for name in ("standardised", "standardised_low", "standardised_high")))
    number = printing.fixed(row["estimate"], 2 if row["unit"] else 3)
    _write(axes, place, COLUMNS["estimate"], f"{number} {row['unit']}".strip(), **ink)


def key(states: Sequence[str]) -> list[Artist]:
    """Return the marks of states for a key."""
    return [
        Line2D(
            [],
            [],
            color=LOOKS[name].color,
            marker=LOOKS[name].marker,
            markerfacecolor="white" if name in HOLLOW else LOOKS[name].color,
            markersize=3.5,
            label=name,
        )
        for name in states
    ]
