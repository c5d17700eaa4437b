from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Table
from analyses.artifacts import MOST_PRINTED
from analyses.paper.resolution import analyse
from analyses.printing import best_cells, cells, decimals, escape, intervals

NAN = float("nan")
FRAME = pd.DataFrame(
    {
        "model": ["unet", "vit", "unet", "vit"],
        "factor": [1.0, 1.0, 2.0, 2.0],
        "miou": [0.903297, 0.8104, 0.81, 0.836839],
        "low": [0.89164, 0.79335, 0.8, NAN],
        "high": [0.914288, 0.826526, 0.82, NAN],
        "n_images": [1405, 1405, 1405, 1405],
    }
)


def table(**fields):
    return Table("size_$1", FRAME, "50 % of a_b & c|d, n = 1405.", **fields)


def test_values_are_rounded_by_their_intervals():
    assert cells(FRAME) == {
        "model": ["unet", "vit", "unet", "vit"],
        "factor": ["1", "1", "2", "2"],
        "miou": ["0.903 [0.892, 0.914]", "0.810 [0.793, 0.827]", "0.8100 [0.8000, 0.8200]", "0.837"],
        "n_images": ["1405"] * 4,
    }


@pytest.mark.parametrize(
    ("low", "high", "digits"),
    [(0.0, 0.2, 2), (0.0, 0.19, 3), (-20.0, 20.0, 0), (-1000.0, 1000.0, 0), (0.0, 1e-9, 6), (1.0, 1.0, 3), (0, NAN, 3)],
)
def test_half_an_interval_keeps_two_digits(low, high, digits):
    assert decimals(low, high) == digits


@pytest.mark.parametrize(
    ("miou", "direction", "within", "best"),
    [
        (FRAME["miou"], "higher", ("factor",), [True, False, False, True]),
        (FRAME["miou"], "lower", (), [False, False, True, False]),
        ([NAN, NAN, NAN, 1.0], "higher", (), [False] * 4),  # nothing to compare it with
    ],
)
def test_the_best_of_each_group_is_marked(miou, direction, within, best):
    marks = best_cells(FRAME.assign(miou=miou), {"miou": direction, "absent": "lower"}, within)
    assert {name: list(rows) for name, rows in marks.items()} == {"miou": best}


def test_markdown_has_a_caption_a_rule_and_escapes():
    text = table(best={"miou": "higher"}, within=("factor",)).markdown().splitlines()
    assert text[0] == r"50 % of a\_b & c\|d, n = 1405."
    assert text[2] == "| model | factor | miou ↑ | n images |"
    assert text[3] == "| --- | ---: | ---: | ---: |"
    assert text[4] == "| unet | 1 | **0.903 [0.892, 0.914]** | 1405 |"
    assert len(text) == 8


def test_latex_has_booktabs_rules_and_escapes():
    text = table(best={"miou": "higher"}, within=("factor",)).latex()
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    assert r"\caption{50 \% of a\_b \& c|d, n = 1405.}" in text
    assert r"\begin{tabular}{lrrr}" in text
    assert r"unet & 1 & \textbf{0.903 [0.892, 0.914]} & 1405 \\" in text
    assert r"miou $\uparrow$" in text
    assert r"\label{tab:size_" in text
    assert "$1}" not in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_every_sign_is_escaped():
    assert escape("#%&_{}$\n~^\\<\N{MINUS SIGN}") == (
        r"\#\%\&\_\{\}\$ \textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}$-$"
    )


def test_other_values_in_print():
    frame = pd.DataFrame(
        {
            "p": [1e-9, 0.04],
            "p_adjusted": [NAN, 1.0],
            "x": [-0.123456, 12345.6],
            "yes": [True, False],
            "none": [None, "a b"],
        }
    )
    assert cells(frame) == {
        "p": ["<0.001", "0.040"],
        "p_adjusted": ["", "1.000"],
        "x": ["\N{MINUS SIGN}0.123", "12346"],
        "yes": ["yes", "no"],
        "none": ["", "a b"],
    }
    tiny = pd.DataFrame({"x": [-1e-9, NAN], "x_low": [-0.1, 0.0], "x_high": [0.1, 0.0]})
    assert cells(tiny) == {"x": ["0.00 [\N{MINUS SIGN}0.10, 0.10]", ""]}


def test_intervals_need_both_bounds():
    assert intervals(["a", "a_low", "b", "low"]) == {}
    assert intervals(["low", "high"]) == {}


def test_only_the_columns_shown_are_printed_and_the_csv_has_all():
    part = table(shown=("model", "miou"))
    assert "factor" not in part.markdown()
    assert "factor" in part.csv()


def test_long_tables_are_for_machines():
    rows = pd.DataFrame({"x": np.arange(MOST_PRINTED + 1)})
    assert list(Table("a", rows, "c").files()) == ["csv"]
    assert list(Table("a", rows.iloc[1:], "c").files()) == ["csv", "md", "tex"]
    assert Table("a", rows.iloc[:0], "c").files()["md"]


def test_the_best_network_at_each_size_is_bold(make):
    item = next(iter(analyse(make(models=("unet", "vit"), levels=(90,), factors=(0.5, 1.0, 2.0), gallery=0))))
    lines = [line for line in item.markdown().splitlines() if "**" in line]
    assert len(lines) == 3
    won = {line.split(" | ")[2]: line.split(" | ")[0] for line in lines}
    assert (won["0.500"], won["2"]) == ("| unet", "| unet")  # the ViT loses more at other sizes
