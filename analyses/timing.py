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

TIME = "time"
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
ROW, HEAD, LEFT, RIGHT, FOOT = 0.15, 0.24, 2.95, 1.12, 0.86  # inches
_VERDICTS = {True: ("#0072b2", "o"), False: ("#d55e00", "X"), None: ("#333333", "D")}
"""Colour and marker by whether a bar was met; None: there is none."""


def analyse(results: Results) -> Iterator[Figure | Table]:
    """Yield the table of ratios and a figure of those of the same result; nothing for a folder without timings."""
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
    shown = [row for row in rows if row["ratio"] and row["same"]]
    if shown:
        with style.context():
            figure = draw(shown)
        scopes = "; ".join(dict.fromkeys(row["scope"] for row in shown))
        missing = sum(row["ratio"] is None for row in rows)
        gaps = f" {missing} comparisons could not be made." if missing else ""
        others = f" {sum(bool(row['ratio']) for row in rows) - len(shown)} of another result are in the table alone."
        details = f"Measured: {scopes}.{gaps}{others} {note}"
        yield Figure("timing", figure, Caption(finding(shown), READING, details), "What it costs")


READING = (
    "What segcam takes, as a multiple of another tool's for the same result: left of 1 segcam takes less. Points are "
    "medians over rounds, lines the quartiles, upright strokes the bars that were set beforehand. Memory is measured "
    "against a lower bound: what is needed is held once."
)


def finding(rows: Sequence[TimingRow]) -> str:
    """Say between which multiples of each tool's time segcam takes, and how many bars were met."""
    by_tool: dict[str, list[float]] = {}
    for row in rows:
        if row["quantity"] == TIME and row["ratio"]:
            by_tool.setdefault(row["theirs"].partition(",")[0], []).append(row["ratio"]["median"])
    words = []
    for tool, ratios in by_tool.items():
        ends = list(dict.fromkeys(f"{ratio:.2f}" for ratio in (min(ratios), max(ratios))))
        words.append(f"{' to '.join(ends)} of {tool}'s")
    bars = [row["met"] for row in rows if row["bar"] is not None]
    met = f"{sum(map(bool, bars))} of {len(bars)} bars are met" if bars else ""
    time = f"segcam takes {printing.listed(words)} time" if words else ""
    return f"{'; '.join(part for part in (time, met) if part)}." if time or met else ""


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


def draw(rows: Sequence[TimingRow]) -> matplotlib.figure.Figure:
    """Draw the ratios on one log scale: a panel a case with a row a comparison; and one of memory, a row a case."""
    panels: dict[str, list[TimingRow]] = {}
    memory: dict[str, list[TimingRow]] = {}
    for row in rows:
        if row["quantity"] == TIME:
            panels.setdefault(row["label"], []).append(row)
        else:
            memory.setdefault(row["label"].removeprefix("Memory: "), []).append(row)
    counts = [*map(len, panels.values()), *([len(memory)] if memory else [])]
    total = ROW * sum(counts) + HEAD * len(counts) + FOOT
    figure = style.figure(round(total, 2))
    limits = _limits(rows)
    top = total
    variants = list(dict.fromkeys(row["ours"] for of_case in memory.values() for row in of_case))
    looks = dict(zip(variants, list(style.method_lines(["", " ", *variants]).values())[2:], strict=True))
    against = dict.fromkeys(row["theirs"] for of_case in memory.values() for row in of_case)
    titles = [*panels, *([f"Memory, against {printing.listed(list(against))}"] if memory else [])]
    for number, (title, count) in enumerate(zip(titles, counts, strict=True)):
        top -= HEAD + ROW * count
        box = (LEFT / style.WIDTH, top / total, 1 - (LEFT + RIGHT) / style.WIDTH, ROW * count / total)
        axes = figure.add_axes(box)
        _prepare(axes, count, limits)
        if title in panels:
            for y, row in enumerate(panels[title]):
                color, marker = _VERDICTS[row["met"]]
                _ratio(axes, y, row, style.Line(color, marker, "-"), named=True)
            names = [f"{row['ours']} / {row['theirs']}" for row in panels[title]]
        else:
            for y, of_case in enumerate(memory.values()):
                for row in of_case:
                    _ratio(axes, y, row, looks[row["ours"]], named=False)
            names = list(memory)
        axes.set_yticks(range(count), [printing.plain(name) for name in names])
        axes.set_title(printing.plain(title), loc="left", pad=3)
        if number + 1 < len(titles):
            axes.set_xticklabels([])
    figure.axes[-1].set_xlabel("ours / theirs (log scale)")
    _key(figure, total, rows, looks)
    return figure


def _limits(rows: Sequence[TimingRow]) -> tuple[float, float]:
    ends = [row["ratio"][name] for row in rows if row["ratio"] for name in ("low", "high")]
    ends += [row["bar"] for row in rows if row["bar"] is not None]
    return 10 ** (math.log10(min(ends)) - 0.15), 10 ** (math.log10(max(*ends, 1.0)) + 0.15)


def _prepare(axes: Axes, count: int, limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set(xlim=limits, ylim=(count - 0.5, -0.5))
    axes.axvline(1, color="#999999", linewidth=0.7, zorder=0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color="#eeeeee", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes, left=True)


def _ratio(axes: Axes, y: int, row: TimingRow, look: style.Line, *, named: bool) -> None:
    ratio: Mapping[str, Any] = row["ratio"] or {}
    axes.plot([ratio["low"], ratio["high"]], [y, y], color=look.color, linewidth=1.4, solid_capstyle="butt")
    axes.plot(ratio["median"], y, look.marker, color=look.color, markersize=3.5)
    if row["bar"] is not None:
        axes.plot([row["bar"]] * 2, [y - 0.42, y + 0.42], color="black", linewidth=1.2)
    if named:
        text = f"{ratio['median']:.2g}" if ratio["median"] < 0.1 else f"{ratio['median']:.2f}"
        text += f"  bar {row['bar']:g} {'met' if row['met'] else 'missed'}" if row["bar"] is not None else ""
        beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "size": style.SMALL}
        axes.text(1.02, y, text, color=look.color, **beside)


def _key(
    figure: matplotlib.figure.Figure, total: float, rows: Sequence[TimingRow], looks: Mapping[str, style.Line]
) -> None:
    """Write the key of what is drawn below the panels."""

    def point(color: str, marker: str, label: str) -> Line2D:
        return Line2D([], [], linestyle="none", color=color, marker=marker, markersize=4, label=label)

    names = {True: "bar met", False: "bar missed", None: "no bar"}
    found = [verdict for verdict in names if any(row["met"] is verdict and row["quantity"] == TIME for row in rows)]
    handles = [point(*_VERDICTS[verdict], names[verdict]) for verdict in found]
    if any(row["bar"] is not None for row in rows):
        stroke: dict[str, Any] = {"marker": "|", "markersize": 8, "markeredgewidth": 1.2, "linestyle": "none"}
        handles.append(Line2D([], [], color="black", label="bar", **stroke))
    handles += [point(look.color, look.marker, printing.plain(f"memory: {name}")) for name, look in looks.items()]
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.04 / total)}
    figure.legend(handles=handles, frameon=False, ncols=4, **place)
