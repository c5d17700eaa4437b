from __future__ import annotations

import pytest

from analyses.plots import lines, style

LINE = lines.Line(style.Line("red", "o", "-"), [0, 1], [2, 3])


@pytest.mark.parametrize(("x", "side"), [(0.0, "left"), (1.0, "right")])
def test_a_ringed_point_is_named_towards_the_middle(x: float, side: str) -> None:
    with style.context():
        drawn = lines.draw([[lines.Panel("score", [LINE], notes=[(x, 2 + x, "$a_1")])]], [], 2.0)
    (axes,) = drawn.axes
    (text,) = axes.texts
    assert (text.get_text(), text.get_ha()) == (r"\$a_1", side)
    (ring,) = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([x], [2 + x])
    assert axes.get_ylim()[1] > 3.1, "room for the name above the highest point"


def test_lines_that_leave_an_axis_are_told_of_at_its_lower_edge() -> None:
    with style.context():
        drawn = lines.draw([[lines.Panel("score", [LINE], y_limits=(2.5, 3.5), beyond="down to 2")]], [], 2.0)
    (axes,) = drawn.axes
    assert [text.get_text() for text in axes.texts] == ["down to 2"]
    assert axes.get_ylim() == (2.5, 3.5)
