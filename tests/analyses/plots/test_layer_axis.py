"""What panels share: marks of layers, rows, dots with intervals, and room for every label."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from PIL import Image

from analyses.artifacts import Figure
from analyses.plots import layer_axis, style
from analyses.reading.manifest import Layer

LAYERS = [
    Layer(layer=f"Encoder {i}", label=f"Encoder {i}", stage=1, depth=i, role="encoder", stride=1, point="conv")
    for i in range(3)
]
LOOK = style.Line("#000000", "s", "-")


def test_layers_without_names_are_marked_by_one_collection() -> None:
    with style.context():
        upper, lower = style.figure(3.0).subplots(2, 1)
        layer_axis.mark_layers(upper, LAYERS, named=False)
        layer_axis.mark_layers(lower, LAYERS, named=True)
    (marks,) = [item for item in upper.collections if isinstance(item, PathCollection)]
    assert np.asarray(marks.get_offsets()).tolist() == [[0, 0], [1, 0], [2, 0]]
    assert (list(upper.get_xticks()), list(lower.get_xticks())) == ([], [0, 1, 2])
    assert [label.get_text() for label in lower.get_xticklabels()] == ["Encoder 0", "Encoder 1", "Encoder 2"]
    assert not lower.collections


def test_marks_do_not_move_the_axis() -> None:
    axes = style.figure(3.0).subplots()
    axes.plot([0, 2], [5.0, 6.0])
    before = axes.get_ylim()
    layer_axis.mark_layers(axes, LAYERS, named=False)
    axes.autoscale()
    assert axes.get_ylim() == before


def test_rows_stand_from_the_top_with_a_line_behind_each() -> None:
    axes = style.figure(3.0).subplots()
    style.rows(axes, 2, ["one", "two"])
    (lines,) = [item for item in axes.collections if isinstance(item, LineCollection)]
    assert [segment[0][1] for segment in lines.get_segments()] == [0, 1]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]


def test_a_dot_without_an_interval_is_a_dot() -> None:
    axes = style.figure(3.0).subplots()
    style.dots(axes, [(0, LOOK, 0.5, 0.4, 0.7), (1, LOOK, 0.2, math.nan, math.nan)])
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines] == [(0.5, 0), (0.2, 1)]
    (intervals,) = axes.collections
    assert np.asarray(intervals.get_segments()).tolist() == [[[0.4, 0], [0.7, 0]]]


@pytest.mark.parametrize("dpi", [72, 200])
def test_a_long_label_is_not_cut_off(dpi: int) -> None:
    """The page's edge is white: laid out for other pixels than it was drawn with, the label ran over it."""
    with style.context():
        figure = style.figure(1.5, constrained=True)
        axes = figure.subplots()
        style.rows(axes, 3, ["Random (blur-matched)", "Centred Gaussian", "x"])
    content = Figure("f", figure, "").drawn(("png",), dpi).files["png"]
    with Image.open(io.BytesIO(content)) as opened:
        picture = np.asarray(opened.convert("L"))
    assert picture.shape == (round(1.5 * dpi), round(style.WIDTH * dpi))
    assert (picture[:, :2] == 255).all()
    assert (picture < 128).any()


def test_places_of_labels_that_say_nothing_change_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> bytes:
        with style.context():
            figure = style.figure(3.0, constrained=True)
            for row, axes in enumerate(figure.subplots(2, 2).ravel()):
                axes.plot([0, 1], [1e4 * row, 1e5])
            figure.axes[0].set(title="named", ylabel="an upright label")
            figure.axes[3].set_xlabel("below")
            figure.axes[1].xaxis.tick_top()
        return Figure("f", figure, "").drawn(("png",), 100).files["png"]

    spared = drawn()
    monkeypatch.setattr(style, "_place_nothing", lambda figure: None)
    assert drawn() == spared


def test_a_picture_is_the_figure_as_matplotlib_saves_it() -> None:
    with style.context():
        figure = style.figure(1.5)
        figure.subplots().plot([0, 1], color="red")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
    content = Figure("f", figure, "").render("png", 120)
    with Image.open(buffer) as saved, Image.open(io.BytesIO(content)) as own:
        assert (own.mode, round(own.info["dpi"][0])) == ("RGB", 120)
        np.testing.assert_array_equal(np.asarray(own), np.asarray(saved.convert("RGB")))
    assert figure.get_dpi() == style.DPI
