"""Timings: the table, the figure, and folders without any."""

from __future__ import annotations

import json

import pytest

import analyses
from analyses import Results, ResultsError, timing
from tests.analyses.checks import assert_on_page, key_of


def row(case, ours, theirs, values=((), ()), **more):
    mine, others = values
    ratios = sorted(a / b for a, b in zip(mine, others, strict=True))
    found = {"median": ratios[len(ratios) // 2], "low": ratios[0], "high": ratios[-1]} if ratios else None
    return (
        {"case": case, "label": f"Network {case}", "ours": ours, "theirs": theirs, "quantity": "time"}
        | {"scope": "forward, backward, maps", "ours_values": mine, "theirs_values": others}
        | {"ratio": found and found | {"rounds": len(ratios)}, "bar": None, "met": None, "same": True}
        | {"agreement": None, "note": ""}
        | more
    )


AGREED = {"maps": 8, "blank": 0.0, "median": 4.2123456e-07, "worst": 3e-06, "close": 1.0, "pearson": 1.0, "equal": True}
AGREED |= {"pearson_worst": 0.99, "rank": 1.0, "rank_worst": 0.98, "rounding": None, "in_float64": 1.2e-15}
ROWS = [
    row("one", "segcam", "torch-cam", ((1.0, 1.2, 0.8), (2.0, 2.0, 2.0)), bar=0.85, met=True, agreement=AGREED),
    row("one", "segcam, bf16", "torch-cam", ((1.8, 1.9, 2.1), (2.0, 2.0, 2.0)), bar=0.5, met=False),
    row("one", "segcam", "other", note="not installed: pip install .[peers]"),
    row("two $", "segcam", "captum, a call a layer", ((0.1, 0.1, 0.1), (2.0, 3.0, 2.5))),
    row("two $", "segcam", "averaged", ((1.0,), (3.0,)), same=False, note="not the same result"),
    row("two $", "segcam", "held once", ((5e6,), (4e6,)), quantity="memory", bar=1.25, met=True),
]


@pytest.fixture
def folder(tmp_path):
    def write(rows=ROWS, **more):
        hardware = {"processor": "P", "cores": 2, "threads": 2, "gpu": None, "device": "cpu", "memory_gib": 8.0}
        versions = {"torch": "2.13", "torchcam": "0.5.0", "captum": "not installed"}
        values = {"schema": 1, "hardware": hardware, "versions": versions, "rows": rows, **more}
        (tmp_path / "timing.json").write_text(json.dumps(values))
        return Results(tmp_path)

    return write


def test_nothing_for_a_folder_without_timings(tmp_path, make):
    assert "timing" in analyses.find()
    assert list(analyses.run(Results(tmp_path), ["timing"])) == []
    assert list(timing.analyse(make(levels=(30,), seeds=(0,), stages=1))) == []


def test_the_table_has_a_row_a_ratio(folder):
    table = next(iter(timing.analyse(folder())))
    frame = table.frame
    assert list(frame.columns) == list(timing.COLUMNS)
    assert list(frame["theirs"]) == [found["theirs"] for found in ROWS]
    first = frame.iloc[0]
    assert (first["ratio"], first["low"], first["high"], first["rounds"]) == (0.5, 0.4, 0.6, 3)
    assert (first["ours_value"], first["theirs_value"]) == (1.0, 2.0)
    assert first["median_error"] == 4.212e-07
    assert first["error_in_float64"] == 1.2e-15
    assert frame["ratio"].isna().tolist() == [False, False, True, False, False, False]
    assert frame["equal_maps"].tolist() == [True, *[None] * 5]
    assert "4.212e-07" in table.csv()


def test_without_any_ratio_there_is_the_table_alone(folder):
    items = list(timing.analyse(folder([ROWS[2]])))
    assert [item.name for item in items] == ["timing"]
    assert isinstance(items[0], analyses.Table)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "timing.json").write_text(text)
    with pytest.raises(ResultsError, match=r"timing\.json: .*remove it and run timing again"):
        list(timing.analyse(Results(tmp_path)))


def test_another_schema_is_told(folder):
    with pytest.raises(ResultsError, match="schema 2"):
        list(timing.analyse(folder(schema=2)))


def test_one_figure_shows_ratios_of_the_same_result_bars_and_memory(folder):
    _, item = timing.analyse(folder())
    assert item.name == "timing"
    assert_on_page(item)
    first, second, memory = item.figure.axes
    titles = ["Network one", r"Network two \$", "Memory, against held once"]
    assert [axes.get_title(loc="left") for axes in item.figure.axes] == titles
    assert first.get_xscale() == second.get_xscale() == "log"
    assert first.get_xlim() == second.get_xlim() == memory.get_xlim()
    assert [tick.get_text() for tick in second.get_yticklabels()] == ["segcam / captum, a call a layer"]
    assert [tick.get_text() for tick in memory.get_yticklabels()] == [r"Network two \$"]
    assert [text.get_text() for text in first.texts] == ["0.50  bar 0.85 met", "0.95  bar 0.5 missed"]
    bars = [line for line in first.lines if list(line.get_xdata()) in ([0.85, 0.85], [0.5, 0.5])]
    assert len(bars) == 2
    looks = {(line.get_color(), line.get_marker()) for line in first.lines if line.get_marker() in "oXD"}
    assert len(looks) == 2  # colour and shape say whether a bar is met
    wanted = "segcam takes 0.50 to 0.95 of torch-cam's and 0.04 of captum's time; 2 of 3 bars are met."
    assert item.caption.finding == wanted
    assert "1 comparisons could not be made. 1 of another result" in item.caption.details
    assert "torchcam 0.5.0, captum not installed" in item.caption.details
    assert set(key_of(item)) == {"bar met", "bar missed", "no bar", "bar", "memory: segcam"}
