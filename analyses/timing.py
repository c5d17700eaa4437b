"""How long segcam takes against the tools in use today, as ratios within one run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analyses import printing
from analyses.artifacts import Caption, Figure, Table
from analyses.plots import style
from analyses.reading.results import Results
from analyses.reading.timings import FILE, TimingRow, Timings

FIGURES = {"time": "timing", "memory": "timing_memory"}
PEERS = ("torchcam", "captum", "grad-cam", "quantus")
DIGITS = 4
COLUMNS = (
    *("case", "quantity", "ours", "theirs", "ratio", "low", "high", "rounds", "bar", "met", "ours_value"),
    *(
        "theirs_value",
        "same_result",
        "equal_maps",
        "median_error",
        "worst_error",
        "maps_within_1e-5",
        "rounding_theirs",
    ),
    *("error_in_float64", "pearson", "pearson_worst", "rank", "rank_worst", "scope", "note"),
)
_AGREEMENT = {
    "equal_maps": "equal",
    "median_error": "median",
    "worst_error": "worst",
    "maps_within_1e-5": "close",
    "rounding_theirs": "rounding",
    "error_in_float64": "in_float64",
    **{name: name for name in ("pearson", "pearson_worst", "rank", "rank_worst")},
}
ROW, HEAD, LEFT, RIGHT, FOOT = 0.27, 0.26, 2.35, 1.12, 0.82  # inches
_MET, _MISSED, _NONE = ("#0072b2", "o"), ("#d55e00", "X"), ("#333333", "D")


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of ratios and their figure; nothing for a folder without timings."""
    values = read(results)
    if values is None:
        return
    rows = values.rows
    note = surroundings(values)
    yield Table(
        "timing",
        tabulate(rows),
        "What segcam takes against other tools: ratio is the median over rounds of ours over theirs, low and high its "
        "quartiles; both sides run in turns in one process, on the same network, images, target and layers. Values are "
        "medians, in seconds or bytes. Errors are the largest difference of a map's cells as a share of the other "
        "map's maximum, over layers and images; rounding_theirs is that of their maps from the same in float64, "
        f"error_in_float64 that of both tools when both compute in float64. {note}",
    )
    for quantity, name in FIGURES.items():
        shown = [row for row in rows if row["quantity"] == quantity]
        if any(row["ratio"] for row in shown):
            with style.context():
                figure = draw(shown)
            yield Figure(name, figure, Caption("", "", _caption(quantity, shown, note)))


def read(results: Results) -> Timings | None:
    """Return the timings of a folder; None where there are none.

    Raises:
        ResultsError: the file is damaged or of another schema.
    """
    path = results.folder / FILE
    return Timings.read(path) if path.exists() else None


def tabulate(rows: Sequence[TimingRow]) -> pd.DataFrame:
    """Return a row a ratio, in the file's order; what was not measured is empty."""
    return pd.DataFrame([_tabulated(row) for row in rows], columns=list(COLUMNS))


def _tabulated(row: TimingRow) -> dict[str, Any]:
    ratio: Mapping[str, Any] = row["ratio"] or {}
    agreed = row["agreement"] or {}
    return {
        **{name: row[name] for name in ("case", "quantity", "ours", "theirs", "bar", "met", "scope", "note")},
        **{name: _short(ratio.get(key)) for name, key in (("ratio", "median"), ("low", "low"), ("high", "high"))},
        "rounds": ratio.get("rounds", 0),
        "ours_value": _short(_median(row["ours_values"])),
        "theirs_value": _short(_median(row["theirs_values"])),
        "same_result": row["same"],
        **{name: _short(agreed.get(key)) for name, key in _AGREEMENT.items()},
    }


def _median(values: Sequence[float]) -> float | None:
    return float(pd.Series(values).median()) if values else None


def _short(value: Any) -> Any:
    """Return a float with four significant digits, and anything else as it is."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def surroundings(values: Timings) -> str:
    """Return the sentence on hardware and versions."""
    hardware, versions = values.hardware, values.versions
    cores = f"{hardware['processor']}, {hardware['cores']} cores, {hardware['threads']} threads"
    peers = ", ".join(f"{name} {versions[name]}" for name in PEERS if name in versions)
    where = f"{hardware['gpu']} ({cores})" if hardware.get("gpu") else cores
    return f"On {where}; torch {versions.get('torch', 'unknown')}, {peers}."


def _caption(quantity: str, rows: Sequence[TimingRow], note: str) -> str:
    scopes = list(dict.fromkeys(row["scope"] for row in rows))
    missing = [row for row in rows if row["ratio"] is None]
    what = {
        "time": "Time that segcam takes, as a multiple of another tool's for the same",
        "memory": "Memory of a pass",
    }
    reading = (
        f"{what[quantity]}: below 1 ours takes less. Points are medians over rounds, lines the quartiles, small ticks "
        "single rounds; upright strokes are the bars that were set beforehand. Open points: not the same result."
    )
    gaps = f"{len(missing)} comparisons could not be made; the table says why." if missing else ""
    return " ".join(sentence for sentence in (reading, f"Measured: {'; '.join(scopes)}.", gaps, note) if sentence)


def draw(rows: Sequence[TimingRow]) -> matplotlib.figure.Figure:
    """Draw the ratios on a log scale, a panel a case."""
    panels: dict[str, list[TimingRow]] = {}
    for row in rows:
        panels.setdefault(row["label"], []).append(row)
    heights = [ROW * len(of_panel) for of_panel in panels.values()]
    total = sum(heights) + HEAD * len(panels) + FOOT
    figure = style.figure(round(total, 2))
    limits = _limits(rows)
    top = total
    for number, (label, of_panel) in enumerate(panels.items()):
        top -= HEAD + heights[number]
        box = (LEFT / style.WIDTH, top / total, 1 - (LEFT + RIGHT) / style.WIDTH, heights[number] / total)
        axes = figure.add_axes(box)
        _panel(axes, of_panel, limits)
        axes.set_title(printing.plain(label), loc="left", pad=3, weight="bold")
        if number + 1 < len(panels):
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("ours / theirs (log scale)")
    _key(figure, total)
    return figure


def _limits(rows: Sequence[TimingRow]) -> tuple[float, float]:
    ends = [row["ratio"][name] for row in rows if row["ratio"] for name in ("low", "high")]
    ends += [row["bar"] for row in rows if row["bar"] is not None]
    return 10 ** (math.log10(min(ends)) - 0.15), 10 ** (math.log10(max(*ends, 1.0)) + 0.15)


def _panel(axes: Axes, rows: Sequence[TimingRow], limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set(xlim=limits, ylim=(len(rows) - 0.5, -0.5))
    axes.axvline(1, color="#999999", linewidth=0.7, zorder=0)
    for y, row in enumerate(rows):
        if y % 2:
            axes.axhspan(y - 0.5, y + 0.5, color="#f4f4f4", linewidth=0, zorder=-1)
        _ratio(axes, y, row)
    names = [f"{printing.plain(row['ours'])}\n{printing.plain('against ' + row['theirs'], 48)}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    sns.despine(ax=axes, left=True)


def _ratio(axes: Axes, y: int, row: TimingRow) -> None:
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "size": style.SMALL}
    ratio = row["ratio"]
    if ratio is None:
        axes.text(1.02, y, printing.plain(row["note"], 24), color=style.GREY_TEXT, **beside)
        return
    color, marker = {True: _MET, False: _MISSED, None: _NONE}[row["met"]]
    rounds = [a / b for a, b in zip(row["ours_values"], row["theirs_values"], strict=True)]
    axes.plot(rounds, [y + 0.3] * len(rounds), "|", color=color, markersize=2.5, markeredgewidth=0.5, alpha=0.6)
    axes.plot([ratio["low"], ratio["high"]], [y, y], color=color, linewidth=1.4, solid_capstyle="butt")
    axes.plot(ratio["median"], y, marker, color=color, markersize=4, markerfacecolor=color if row["same"] else "white")
    text = f"{ratio['median']:.2g}" if ratio["median"] < 0.1 else f"{ratio['median']:.2f}"
    if row["bar"] is not None:
        axes.plot([row["bar"]] * 2, [y - 0.42, y + 0.42], color="black", linewidth=1.2)
        text += f"  bar {row['bar']:g} {'met' if row['met'] else 'missed'}"
    elif not row["same"]:
        text += "  other result"
    axes.text(1.02, y, text, color=color, **beside)


def _key(figure: matplotlib.figure.Figure, total: float) -> None:
    def point(look: tuple[str, str], label: str, face: str | None = None) -> Line2D:
        color, marker = look
        looks: dict[str, Any] = {"color": color, "marker": marker, "markerfacecolor": face or color, "markersize": 4}
        return Line2D([], [], linestyle="none", label=label, **looks)

    handles = [
        point(_MET, "bar met"),
        point(_MISSED, "bar missed"),
        point(_NONE, "no bar"),
        point(_NONE, "not the same result", "white"),
        Line2D([], [], color="black", marker="|", markersize=8, markeredgewidth=1.2, linestyle="none", label="bar"),
    ]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.05 / total), frameon=False, ncols=5)
