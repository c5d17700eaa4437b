"""Specification curves: every choice is a column, sorted, with what was chosen below it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.plots import specifications, style

METRICS, METHODS = (("Fine power",), ("Fine power", "Recall")), ("Grad-CAM", "HiResCAM")


def curve(claim: str, columns: int = 4) -> specifications.Curve:
    rows = [
        {
            "estimate": (-1) ** i * (i + 0.5),
            "low": (-1) ** i * (i + 0.5) - 0.4,
            "high": (-1) ** i * (i + 0.5) + 0.4,
            "verdict": ("undecided", "negligible", "supported", "opposite")[i % 4],
            "registered": i == 0,
            "quantity": METRICS[i % 2],
            "target": ("best pixel",),
            "method": (METHODS[i // 2 % 2],),
            "probe point": ("probed at conv",),
            "placement": ("stretched over the image",),
            "border": ("border left out",),
            "training left out": (),
        }
        for i in range(columns)
    ]
    return specifications.Curve(claim, "25 % of 4 are undecided", pd.DataFrame(rows))


def test_only_choices_that_differ_are_rows() -> None:
    assert curve("C1").names == [
        ("quantity", "Fine power"), ("quantity", "Recall"), ("method", "Grad-CAM"), ("method", "HiResCAM")
    ]  # fmt: skip
    assert curve("C1", 1).names == []


def test_each_choice_is_a_column_in_the_order_of_its_estimate() -> None:
    with style.context():
        figure = specifications.draw([curve("C1")])
    above, below = figure.axes
    places = [line.get_ydata()[0] for line in above.lines if len(line.get_xdata()) == 1]
    assert places == sorted([0.5, -1.5, 2.5, -3.5])
    dots = {
        label.get_text(): sorted(collection.get_offsets()[:, 0].tolist())
        for label, collection in zip(below.get_yticklabels(), below.collections, strict=True)
    }
    assert dots == {"Fine power": [0, 1, 2, 3], "Recall": [0, 1], "Grad-CAM": [1, 2], "HiResCAM": [0, 3]}
    black = [i for c in below.collections for i, colour in zip(c.get_offsets()[:, 0], c.get_facecolors(), strict=True)
             if np.allclose(colour[:3], 0)]  # fmt: skip
    assert set(black) == {2}, "the registered one"
    assert "C1  25 % of 4 are undecided" in texts_of(figure)
    assert above.get_ylabel() == "Effect / smallest\neffect of interest"
    written = [text.get_text() for text in figure.legends[0].get_texts()]
    assert written[-2:] == ["as registered", "negligible effect"]


def texts_of(figure: object) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_any_number_of_claims_fits_a_page(number: int) -> None:
    with style.context():
        figure = specifications.draw([curve(f"C{i}", 30) for i in range(number)])
    assert figure.get_size_inches()[1] <= style.HEIGHT
    for axes in figure.axes:
        box = axes.get_position()
        assert 0 <= box.y0 < box.y1 <= 1
        assert 0 <= box.x0 < box.x1 <= 1
