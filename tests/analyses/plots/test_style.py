"""Sizes and colours of the printed page, and the title above a figure."""

from __future__ import annotations

import re

import numpy as np
import pytest

from analyses.artifacts import Caption, Figure
from analyses.plots import style
from tests.analyses.checks import assert_on_page


def test_pages_are_those_of_journals() -> None:
    assert pytest.approx(8.5) == 2.54 * style.COLUMN
    assert pytest.approx(17.4) == 2.54 * style.WIDTH
    assert pytest.approx(24.7) == 2.54 * style.PAGE
    assert style.SMALL >= 6
    assert style.DPI >= 300
    assert style.figure(99).get_size_inches()[1] == style.HEIGHT


def test_text_stays_text() -> None:
    with style.context():
        figure = style.figure(1)
        figure.text(0.5, 0.5, "Energy gain")
    item = Figure("f", figure, Caption("", ""))
    assert re.search(r"<text[^>]*>Energy gain</text>", item.render("svg").decode())
    assert b"/FontFile2" in item.render("pdf")  # TrueType, which can be edited


@pytest.mark.parametrize("colours", ["vlag_r", "vlag", "PuOr", "inferno", "viridis"])
def test_numbers_on_cells_can_be_read(colours: str) -> None:
    with style.context():
        grounds = style.mpl.colormaps[colours](np.linspace(0, 1, 101))
    assert min(style.contrast(style.ink(ground), ground) for ground in grounds) >= style.CONTRAST


def test_contrast_is_that_of_the_standard() -> None:
    assert style.contrast("black", "white") == pytest.approx(21)
    assert style.contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)
    assert style.contrast("white", "#777777") == style.contrast("#777777", "white")


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("width", [style.COLUMN, style.WIDTH])
def test_a_title_stands_above_what_keeps_its_size(width: float, constrained: bool) -> None:
    with style.context():
        figure = style.figure(2, width, constrained=constrained)
        axes = figure.subplots()
        axes.plot([0, 1], label="a")
        key = figure.legend(loc="outside upper center" if constrained else "upper center")
        figure.draw_without_rendering()
        before = axes.get_window_extent().height
        style.entitle(
            figure, "In U-Net energy gain rises from $0.23 at the first layer to $0.87 at the deepest one " * 2
        )
        figure.draw_without_rendering()
        (title,) = figure.texts
        assert axes.get_window_extent().height == pytest.approx(before, abs=2)
        box = title.get_window_extent()
        assert box.y0 > key.get_window_extent().y1 - 1
        assert box.x1 <= figure.bbox.x1
    assert_on_page(Figure("f", figure, Caption("", "")))


def test_methods_are_told_apart_by_colour() -> None:
    looks = style.method_lines([f"method {i}" for i in range(40)])
    assert len({look.color for look in list(looks.values())[:10]}) == 10
    assert len({(look.color, look.linestyle) for look in looks.values()}) == 40


def test_a_number_stays_with_its_unit_and_a_name_with_its_number() -> None:
    text = "Half of it at Decoder 1_2 lies within 13.8 px, 67 % beyond: Grad-CAM \N{MINUS SIGN}0.68, 3 of 9 others"
    for width in range(60, 300, 7):
        lines = style.wrapped(text, width)
        assert " ".join(lines) == text
        assert not [line for line in lines if line.startswith(("px", "%", "1_2", "13.8", "\N{MINUS SIGN}0.68", "of 9"))]
