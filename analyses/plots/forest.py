"""The claims as a forest plot: a row a contrast, all turned so that the claimed side is on the right."""

from __future__ import annotations

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
from analyses.plots import style

ROW, HEADING = 0.17, 1.15  # inches a row; rows that a claim's heading takes
ABOVE, BELOW = 0.08, 0.52  # inches
TICKS = (-10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10)
READING = (
    "A row a contrast: its distance from the null value in standard deviations over the images, with its 95 % "
    "interval, turned so that the claimed side is on the right; the triangle's point tells the side, a hollow circle "
    "is undecided; the axis is compressed far from zero. Rows without a mark were not measured. The number at the "
    "right is the estimate in the metric's unit, then n: images x "
    "seeds, p after Holm, and the verdict."
)
LOOKS = {
    "supported": style.Line("#0072b2", ">", "-"),
    "contradicted": style.Line("#d55e00", "<", "-"),
    "undecided": style.Line(style.GREY, "o", "-"),
}


def draw(frame: pd.DataFrame) -> matplotlib.figure.Figure:
    """Draw the forest plot of the table `claims`."""
    claims = list(dict.fromkeys(frame["claim"]))
    height = len(frame) + HEADING * len(claims)
    inches = ROW * height + ABOVE + BELOW
    figure = style.figure(inches)
    axes = figure.add_axes((0.42, BELOW / inches, 0.27, ROW * height / inches))
    place = 0.0
    for claim in claims:
        rows = frame[frame["claim"] == claim]
        _head(axes, place, rows.iloc[0])
        place += HEADING
        for _, row in rows.iterrows():
            _draw_row(axes, place, row)
            place += 1
    axes.axvline(0, color="black", linewidth=0.7, linestyle=":", zorder=0)
    axes.set_ylim(place - 0.4, -0.6)
    axes.set_yticks([])
    _scale(axes, frame)
    axes.set_xlabel("Standardised contrast (sd over images; right: as claimed)", size=style.SMALL)
    sns.despine(ax=axes, left=True)
    for x, name, side in (
        (1.04, "estimate", "left"),
        (1.34, "n", "left"),
        (1.58, "p (Holm)", "left"),
        (2.12, "verdict", "right"),
    ):
        axes.text(
            x,
            place - 0.1,
            name,
            transform=axes.get_yaxis_transform(),
            va="top",
            ha=side,
            size=style.SMALL,
            color=style.GREY_TEXT,
        )
    figure.legend(handles=_key(), loc="lower left", frameon=False, ncols=3, bbox_to_anchor=(0.0, 0.0))
    return figure


def _scale(axes: Axes, frame: pd.DataFrame) -> None:
    """Compress the axis far from zero, so that small and large contrasts can both be read."""
    axes.set_xscale("asinh", linear_width=0.5)
    ends = frame[["standardised_low", "standardised_high"]].to_numpy(dtype=np.float64)
    ends = ends[np.isfinite(ends)]
    low, high = min(-1.0, ends.min(initial=0.0)), max(1.0, ends.max(initial=0.0))
    axes.set_xlim(1.25 * low, 1.25 * high)
    wide = high - low > 4
    ticks = [tick for tick in TICKS if 1.25 * low <= tick <= 1.25 * high and not (wide and abs(tick) == 0.5)]
    axes.set_xticks(ticks, [f"{tick:g}".replace("-", printing.MINUS) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _head(axes: Axes, place: float, row: pd.Series) -> None:
    beside = axes.get_yaxis_transform()
    text = printing.plain(f"{row['claim']}  {row['sentence']}")
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axes.text(-1.52, place, text, transform=beside, va="center", size=style.SMALL, weight="bold", bbox=ground)
    overall = str(row["overall"])
    axes.text(2.12, place, overall, transform=beside, va="center", ha="right", size=style.SMALL, weight="bold")


def _draw_row(axes: Axes, place: float, row: pd.Series) -> None:
    beside = axes.get_yaxis_transform()
    verdict = str(row["verdict"])
    look = LOOKS[verdict]
    faint = style.GREY_TEXT if not row["counts"] else "black"
    text_look: dict[str, Any] = {"transform": beside, "va": "center", "size": style.SMALL, "color": faint}
    axes.text(-1.48, place, printing.plain(str(row["part"])), **text_look)
    if pd.isna(row["standardised"]):
        measured = "no interval" if row["n_images"] else "not measured"
        axes.text(1.04, place, measured, **text_look)
        return
    ends = [row["standardised_low"], row["standardised_high"]]
    axes.plot(ends, [place, place], color=look.color, linewidth=0.9, marker="|", markersize=5)
    face = "white" if verdict == "undecided" else look.color
    axes.plot([row["standardised"]], [place], color=look.color, marker=look.marker, markerfacecolor=face, markersize=3)
    unit = " px" if row["metric"] == "edge_thickness" else ""
    digits = printing.decimals(row["low"], row["high"])
    axes.text(1.04, place, f"{row['estimate']:.{digits}f}{unit}".replace("-", printing.MINUS), **text_look)
    axes.text(1.34, place, f"{row['n_images']} \N{MULTIPLICATION SIGN} {row['n_seeds']}", **text_look)
    axes.text(1.58, place, "" if pd.isna(row["p_adjusted"]) else printing.p_value(row["p_adjusted"]), **text_look)
    axes.text(2.12, place, verdict, ha="right", **text_look)


def _key() -> list[Artist]:
    return [
        Line2D(
            [],
            [],
            color=look.color,
            marker=look.marker,
            markerfacecolor="white" if name == "undecided" else look.color,
            markersize=3.5,
            label=name,
        )
        for name, look in LOOKS.items()
    ]
