"""The figure of the meta-evaluation: scores as rows; their order of planted maps, and of methods, cue by cue."""

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
from analyses.plots import cells, dots, style
from analyses.trust.evidence import layers
from analyses.trust.evidence.ranking import EVERY, FAITHFULNESS

ROW, AROUND = 0.165, 1.15  # inches
BAR = 0.25  # inches: below the cells, their colour bar
PLANTED, RANKED = "Planted order,\nby cell size (px)", "All cues"
LOOKS = {
    "place": style.Line("#0072b2", "o", "-"),
    "describes": style.Line(style.GREY_TEXT, "s", "-"),
    FAITHFULNESS: style.Line("#d55e00", "D", "-"),
}
"""Of a score that judges a map's place, one that describes it, and one of faithfulness."""
TEXTS = {
    "place": "metric that judges place",
    "describes": "metric that describes",
    FAITHFULNESS: "faithfulness score",
}


def draw(planted: pd.DataFrame, ranked: pd.DataFrame, labels: dict[str, str]) -> matplotlib.figure.Figure:
    """Draw one model's scores.

    Args:
        planted: the rows of the table meta_evaluation_planted.
        ranked: the rows of the table meta_evaluation.
        labels: of the scores.
    """
    looks = rows(planted, ranked)
    cues = list(dict.fromkeys(ranked["cue"]))
    figure = style.figure(ROW * len(looks) + AROUND + BAR, constrained=True)
    sizes = sorted(set(planted["cell"]))
    widths = [0.22 * len(sizes), *(1.0 for _ in cues)]
    panels: list[Axes] = list(figure.subplots(1, len(widths), squeeze=False, width_ratios=widths).ravel())
    scale = ScalarMappable(Normalize(-1, 1), mpl.colormaps["vlag_r"])
    _draw_planted(panels[0], planted, list(looks), sizes, [printing.plain(labels[name]) for name in looks], scale)
    bar = cells.color_bar(scale, panels[0], (False, False), location="bottom", aspect=12, shrink=0.95)
    bar.set_ticks([-1, 0, 1], labels=[f"{printing.MINUS}1", "0", "1"])
    bar.set_label("rank correlation with\nthe planted share", size=style.SMALL)
    for axes, cue in zip(panels[1:], cues, strict=True):
        shown = ranked[ranked["cue"] == cue].rename(
            columns={"score": "method", "rho": "estimate", "rho_low": "low", "rho_high": "high"}
        )
        dots.draw_panel(axes, shown[shown["estimate"].notna()], looks, reference=0.0)
        axes.set_yticks([])
        axes.set_ylim(len(looks) - 0.5, -0.5)  # as the cells beside them
        axes.set_xlim(-1.05, 1.05)
        axes.set_xticks([-1, 0, 1])
        axes.set_title(layers.CUES.get(cue, RANKED if cue == EVERY else cue))
        axes.set_xlabel("rank correlation\nwith the evidence")
    kinds = [kind for kind in LOOKS if LOOKS[kind] in looks.values()]
    handles: list[Artist] = [Line2D([], [], **_mark(LOOKS[kind]), label=TEXTS[kind]) for kind in kinds]
    handles.append(cells.key("absent", "says nothing of planted maps"))
    style.add_key(figure, handles, 4, length=1.2)
    return figure


def rows(planted: pd.DataFrame, ranked: pd.DataFrame) -> dict[str, style.Line]:
    """Return the look of each score, in the order of the rows: by kind, in each kind the best ranking first."""
    judges = set(planted.loc[planted["judges_place"], "metric"])
    mean = ranked[ranked["cue"] == ranked["cue"].iloc[-1]].set_index("score")
    kinds = {
        score: FAITHFULNESS if kind == FAITHFULNESS else "place" if score in judges else "describes"
        for score, kind in mean["kind"].items()
    }
    best = {score: -np.nan_to_num(mean.loc[score, "rho"], nan=-9.0) for score in kinds}
    order = sorted(kinds, key=lambda score: (list(LOOKS).index(kinds[score]), best[score]))
    return {score: LOOKS[kinds[score]] for score in order}


def _draw_planted(
    axes: Axes,
    planted: pd.DataFrame,
    scores: Sequence[str],
    sizes: Sequence[int],
    labels: Sequence[str],
    scale: ScalarMappable,
) -> None:
    values = planted.set_index(["metric", "cell"])["rho"]
    marks = cells.Marks()
    for y, score in enumerate(scores):
        for x, size in enumerate(sizes):
            value = float(values.get((score, size), np.nan))
            if np.isnan(value):
                marks.add("absent", x, y)
            else:
                marks.add("value", x, y, value)
    marks.draw(axes, scale)
    colours = scale.to_rgba(values.to_numpy())
    for (score, size), value, colour in zip(values.index, values, colours, strict=True):
        if score in scores and not np.isnan(value):
            at = (sizes.index(size) + 0.5, list(scores).index(score) + 0.5)
            number = printing.fixed(float(value), 2).replace("0.", ".", 1)
            axes.text(*at, number, size=style.SMALL, color=style.ink(colour), ha="center", va="center")
    axes.set_xlim(0, len(sizes))
    axes.set_ylim(len(scores), 0)
    axes.set_xticks(np.arange(len(sizes)) + 0.5, [str(size) for size in sizes])
    axes.set_yticks(np.arange(len(scores)) + 0.5, labels)
    axes.tick_params(length=0, pad=1.5)
    axes.set_title(PLANTED)
    sns.despine(ax=axes, left=True, bottom=True)


def _mark(look: style.Line) -> dict[str, Any]:
    return {"color": look.color, "marker": look.marker, "markersize": 3.2, "linewidth": 0.9}
