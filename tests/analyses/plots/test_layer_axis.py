"""What panels share: marks of layers, rows, dots with intervals, and room for every label."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analyses.artifacts import Caption, Figure
from analyses.plots import dots, layer_axis, style
from analyses.reading.manifest import Layer

LAYERS = [
    Layer(layer=f"Encoder {i}", label=f"Encoder {i}", stage=1, depth=i, role="encoder", stride=1, point="conv")
    for i in range(3)
]
LOOK = style.Line("#000000", "s", "-")


def test_layers_are_named_below_the_lowest_panel_alone() -> None:
    with style.context():
        upper, lower = style.figure(3.0).subplots(2, 1)
        layer_axis.mark_layers(upper, LAYERS, named=False)
        layer_axis.mark_layers(lower, LAYERS, named=True)
    assert list(upper.get_xticks()) == list(lower.get_xticks()) == [0, 1, 2]
    assert [label.get_text() for label in upper.get_xticklabels()] == ["", "", ""]
    assert [label.get_text() for label in lower.get_xticklabels()] == ["Encoder 0", "Encoder 1", "Encoder 2"]


def test_lines_between_roles_ask_for_layers_role_by_role() -> None:
    mixed = [LAYERS[0], LAYERS[1].model_copy(update={"role": "after attention"}), LAYERS[2]]
    axes = style.figure(3.0).subplots()
    with pytest.raises(ValueError, match="a role comes back: draw layers in the order of by_role"):
        layer_axis.mark_roles(axes, mixed)
    layer_axis.mark_roles(axes, layer_axis.by_role(mixed))
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5]


def test_methods_stand_from_the_top_each_with_a_dot_and_an_interval_where_it_has_one() -> None:
    axes = style.figure(3.0).subplots()
    rows = [("one", 0.5, 0.4, 0.7), ("two", 0.2, math.nan, math.nan), ("not shown", 0.0, 0.0, 0.0)]
    frame = pd.DataFrame(rows, columns=["method", "estimate", "low", "high"])
    dots.draw_panel(axes, frame, {"one": LOOK, "two": LOOK}, ["One", "Two"], reference=0.1)
    reference, *marks = axes.lines
    assert list(reference.get_xdata()) == [0.1, 0.1]
    assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks] == [(0.5, 0), (0.2, 1)]
    behind, intervals = axes.collections
    assert [segment[0][1] for segment in behind.get_segments()] == [0, 1]
    assert np.asarray(intervals.get_segments()).tolist() == [[[0.4, 0], [0.7, 0]]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["One", "Two"]


@pytest.mark.parametrize("dpi", [72, 200])
def test_a_long_label_is_not_cut_off(dpi: int) -> None:
    """The page's edge is white: laid out for other pixels than it was drawn with, the label ran over it."""
    with style.context():
        figure = style.figure(1.5, constrained=True)
        axes = figure.subplots()
        axes.set_yticks([0, 1, 2], ["Random (blur-matched)", "Centred Gaussian", "x"])
    content = Figure("f", figure, Caption("", "")).drawn(("png",), dpi).files["png"]
    with Image.open(io.BytesIO(content)) as opened:
        picture = np.asarray(opened.convert("L"))
    assert picture.shape == (round(1.5 * dpi), round(style.WIDTH * dpi))
    assert (picture[:, :2] == 255).all()
    assert (picture < 128).any()


def test_a_picture_is_the_figure_as_matplotlib_saves_it() -> None:
    with style.context():
        figure = style.figure(1.5)
        figure.subplots().plot([0, 1], color="red")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
    content = Figure("f", figure, Caption("", "")).render("png", 120)
    with Image.open(buffer) as saved, Image.open(io.BytesIO(content)) as picture:
        assert (picture.mode, round(picture.info["dpi"][0])) == ("RGB", 120)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(saved.convert("RGB")))
    assert figure.get_dpi() == style.DPI
