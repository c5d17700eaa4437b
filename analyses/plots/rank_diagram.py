"""Critical-difference diagrams: mean ranks on one axis, and bars over methods that do not differ."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import scikit_posthocs as sp
from matplotlib.axes import Axes

from analyses import printing
from analyses.plots import style
from analyses.statistics.ranks import ALPHA, Ranks


def draw_diagram(axes: Axes, ranks: Ranks, names: Sequence[str]) -> None:
    """Draw the critical-difference diagram: methods at their mean ranks, a bar over those that do not differ.

    The critical difference itself is for the caption: its bar would lie over the axis's numbers.

    Raises:
        ValueError: the number of names is not that of the methods.
    """
    if len(names) != len(ranks.mean):
        raise ValueError(f"{len(names)} names for {len(ranks.mean)} methods")
    # Numbers for names while it draws: it goes through sets, whose order of texts differs from process to process.
    numbers = list(range(len(names)))
    pairs = pd.DataFrame(ranks.pairs, index=numbers, columns=numbers)
    sp.critical_difference_diagram(
        dict(zip(numbers, ranks.mean, strict=True)),
        pairs,
        alpha=ALPHA,
        ax=axes,
        label_fmt_left="{label}|0|{rank:.1f}",
        label_fmt_right="{label}|1|{rank:.1f}",
        label_props={"size": style.SMALL},
        color_palette=["black"] * len(names),
    )
    for text in axes.texts:
        number, _, rest = text.get_text().partition("|")
        side, _, rank = rest.partition("|")
        if rank:
            name = printing.plain(names[int(number)])
            text.set_text(f"({rank}) {name}" if side == "1" else f"{name} ({rank})")
