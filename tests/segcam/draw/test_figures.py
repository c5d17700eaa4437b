"""Strips and atlases: which panels there are, what is written, and that all of it is on the page."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from segcam import InputError
from segcam.draw import atlas, display, strip
from segcam.draw.sheets import wrapped
from segcam.scoring.grids import Placement

SIZE = (60, 90)
PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
MASK = np.zeros(SIZE, bool)
MASK[15:40, 20:70] = True
PREDICTION = np.roll(MASK, 8, axis=1)


def maps(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {f"encoder.layers.{i}.attention": rng.random((6, 9)) ** 2 for i in range(count)}


def panels(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.get_label() == "panel"]


def texts(figure: Figure) -> list[str]:
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]
    return [text.get_text() for text in found if text.get_text().strip()]


def check(figure: Figure) -> None:
    """See that the figure can be drawn, without a sign that no font has, and with all of its text on the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()
    page = figure.bbox
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent()
            inside = box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1
            assert inside, text.get_text()
            assert text.get_fontsize() >= 6


@pytest.mark.parametrize("width", [8.5, 17.0])
@pytest.mark.parametrize("count", [1, 5, 17])
def test_a_strip_has_the_photograph_and_a_panel_a_layer(width: float, count: int) -> None:
    given = maps(count)
    figure = strip(PHOTOGRAPH, given, MASK, PREDICTION, width=width, class_name="cat", title="Grad-CAM", pixel=(20, 30))
    assert len(panels(figure)) == 1 + count
    joined = "".join(texts(figure)).replace("\n", "")
    assert all(name.removesuffix(".attention") in joined for name in given)
    assert {"outline of the mask, cat", "predicted, cat", "explained pixel", "Grad-CAM"} <= set(texts(figure))
    assert figure.get_size_inches()[0] == pytest.approx(width / 2.54)
    check(figure)


def test_the_first_panel_shows_photograph_and_prediction_and_the_others_the_maps() -> None:
    given = {"stem": np.eye(6, 9), "head": np.zeros((2, 2)), "pool": "left out: one cell"}
    first, stem, head, pool = panels(strip(PHOTOGRAPH, given, MASK, PREDICTION))
    np.testing.assert_array_equal(first[~PREDICTION], PHOTOGRAPH[~PREDICTION])
    assert (first[PREDICTION] != PHOTOGRAPH[PREDICTION]).any(axis=-1).mean() > 0.9
    assert stem[0, 0].sum() > 600
    hatched = display.to_bytes(display.hatched(display.dimmed(PHOTOGRAPH, SIZE)))
    np.testing.assert_array_equal(head, hatched)
    np.testing.assert_array_equal(pool, hatched)
    words = [text.replace("\n", " ") for text in texts(strip(PHOTOGRAPH, given))]
    assert {"blank: zero everywhere", "left out: one cell"} <= set(words)


def test_a_notebook_shows_a_figure_without_pyplot() -> None:
    code = """
import sys
import numpy as np
from IPython.core.formatters import DisplayFormatter
from segcam.draw import strip

figure = strip(None, {"a": np.eye(4)})
assert "matplotlib.pyplot" not in sys.modules
shown, _ = DisplayFormatter().format(figure)
print(shown["image/png"][:4])
"""
    pytest.importorskip("IPython", reason="the extra docs is not installed")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == r"b'\x89PNG'", done.stderr


def test_how_maps_are_shown_is_said() -> None:
    given = {"a": np.linspace(0, 1, 201)[None], "b": np.append(np.ones(999), 4.0)[None]}
    foot = " ".join(" ".join(texts(strip(PHOTOGRAPH, given))).split())
    assert "99.5th percentile of a map's positive values (0.25 to 1.00 of its maximum); gamma 0.6." in foot
    assert "brightest colour: a map's maximum; linear." in " ".join(texts(strip(PHOTOGRAPH, given, raw=True)))
    assert not [text for text in texts(strip(PHOTOGRAPH, {"a": "none"})) if "colour" in text]


def test_an_atlas_has_a_row_a_method_and_a_column_a_layer() -> None:
    given = maps(3)
    rows = {"Grad-CAM": given, "Layer-CAM": dict(list(given.items())[1:]), "Random": {"other": np.eye(3)}}
    figure = atlas(rows, PHOTOGRAPH, MASK, PREDICTION, title="Methods")
    assert len(panels(figure)) == 3 + 2 + 1 + 2
    assert {"Grad-CAM", "Layer-CAM", "Random", "hit", "miss", "false alarm"} <= set(texts(figure))
    check(figure)


def test_an_atlas_of_images_has_a_photograph_a_row() -> None:
    tall = PHOTOGRAPH[:, :30]
    figure = atlas(
        {"one": maps(2), "two": maps(2)},
        {"one": PHOTOGRAPH, "two": tall},
        {"one": MASK, "two": MASK[:, :30]},
        width=8.5,
    )
    shapes = [panel.shape[:2] for panel in panels(figure)]
    assert sorted(shapes) == sorted([SIZE, SIZE, SIZE, (60, 30), (60, 30), (60, 30)])
    check(figure)


def test_many_layers_are_broken_into_blocks_with_all_rows() -> None:
    figure = atlas({"a": maps(20), "b": maps(20)}, PHOTOGRAPH)
    assert len(panels(figure)) == 1 + 40
    assert texts(figure).count("a") == texts(figure).count("b") == 3
    check(figure)


@pytest.mark.parametrize("name", ["猫", "кот", "$x_1$ & <b>", "बिल्ली", "🦩"])
def test_names_in_any_script(name: str) -> None:
    figure = strip(PHOTOGRAPH, {name: np.eye(3), "b": f"left out: {name}"}, MASK, class_name=name, title=name)
    check(figure)
    if name.isascii():
        assert texts(figure).count(name) == 2


def test_the_users_own_style_is_followed() -> None:
    import matplotlib.style

    with matplotlib.style.context("dark_background"):
        dark = strip(PHOTOGRAPH, maps(1))
    assert dark.get_facecolor()[:3] == (0, 0, 0)
    assert strip(PHOTOGRAPH, maps(1)).get_facecolor()[:3] == (1, 1, 1)


def test_without_a_photograph_masks_and_maps_are_drawn() -> None:
    assert [panel.shape for panel in panels(strip(None, {"a": np.eye(4), "b": np.eye(8)}))] == [(8, 8, 3)] * 2
    assert len(panels(strip(None, {"a": np.eye(4)}, MASK))) == 2


REFUSED = {
    "no maps": (lambda: strip(PHOTOGRAPH, {}), "maps are empty"),
    "an array": (lambda: strip(PHOTOGRAPH, np.eye(3)), "give a mapping"),
    "no rows": (lambda: atlas({}), "give {row: {layer: map}}"),
    "rows of arrays": (lambda: atlas({"a": np.eye(3)}, PHOTOGRAPH), "give a mapping"),
    "a row without photograph": (lambda: atlas({"a": maps(1), "b": maps(1)}, {"a": PHOTOGRAPH}), "none of row 'b'"),
    "a map's layer": (lambda: strip(PHOTOGRAPH, {"stem": np.zeros((2, 3, 3))}), "the map of 'stem' is"),
    "pixel of one number": (lambda: strip(PHOTOGRAPH, maps(1), pixel=3), "pixel is 3: a row and a column are needed"),
    "placements": (lambda: strip(PHOTOGRAPH, maps(1), placements=[None]), "placements are .*: give a mapping"),
    "under": (lambda: strip(PHOTOGRAPH, maps(1), under="0.3"), "under is '0.3': give a mapping"),
    "width of words": (lambda: strip(PHOTOGRAPH, maps(1), width="wide"), "width is 'wide': centimetres from 5 to 100"),
    "pixel": (lambda: strip(PHOTOGRAPH, maps(1), pixel=(60, 0)), "beyond the photograph of 60 rows and 90 columns"),
    "width": (lambda: strip(PHOTOGRAPH, maps(1), width=1), "width is 1: centimetres from 5 to 100"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_drawn_is_one_error(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        call()


def test_matplotlib_is_imported_for_figures_alone_and_its_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np\n"
        "from segcam import InputError\n"
        "from segcam.draw import overlay, strip\n"
        "print(overlay(None, np.eye(4)).shape)\n"
        "try: strip(None, {'a': np.eye(4)})\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "(4, 4, 3)",
        "segcam.draw.strip needs the package matplotlib: pip install 'segcam[draw]'",
    ]


def test_lines_break_where_names_have_parts_and_never_lose_a_letter() -> None:
    for text in ("encoder.layers.10.blocks.2.attention", "gamma 0.6 of 猫猫猫猫猫猫猫猫", "x" * 50):
        lines = wrapped(text, 1.5, 6.0).split("\n")
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert max(sum(2 if ord(sign) > 0x2E80 else 1 for sign in line) for line in lines) <= int(1.5 / 0.116)
    assert "0.6" in wrapped("aaaaaaaaa 0.6", 1.3, 6.0)


def test_pictures_of_any_kind_are_taken() -> None:
    one = panels(strip(PHOTOGRAPH, {"a": np.eye(4)}, MASK))
    two = panels(strip(Image.fromarray(PHOTOGRAPH), {"a": np.eye(4).tolist()}, Image.fromarray(MASK)))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_photograph_of_a_camera_is_drawn_as_large_as_it_is_printed() -> None:
    """Twenty panels of 12 million pixels would take four gigabytes."""
    large, cells = np.repeat(np.repeat(PHOTOGRAPH, 40, axis=0), 40, axis=1), np.zeros((30, 45))
    cells[10, 20] = 1
    mask = np.repeat(np.repeat(MASK, 40, axis=0), 40, axis=1)
    place = Placement((0, 0), (80, 80))
    figure = strip(large, {"a": cells}, mask, mask, placements={"a": place}, pixel=(800, 1600))
    first, drawn = panels(figure)
    assert first.shape == drawn.shape == (800, 1200, 3)
    bright = np.argwhere(drawn.astype(int).sum(axis=-1) > 640).mean(axis=0)
    np.testing.assert_allclose(bright, (np.array([800, 1600]) + 0.5) / 3 - 0.5, atol=0.6)
    ring = next(line for axes in figure.axes for line in axes.lines if line.get_marker() == "o")
    assert (ring.get_ydata()[0], ring.get_xdata()[0]) == (266, 533)
    with pytest.raises(InputError, match="does not span a photograph of 2400 x 3600 pixels"):
        strip(large, {"a": cells}, placements={"a": Placement((0, 0), (2, 2))})
    small = strip(large, {"a": cells}, placements={"a": Placement((0, 0), (2, 2))}, size=SIZE)
    same = strip(large, {"a": cells}, placements={"a": Placement((19.5, 19.5), (80, 80))})
    np.testing.assert_array_equal(panels(small)[1], panels(same)[1])


def test_labels_need_not_be_strings() -> None:
    figure = atlas({30: {0: np.eye(3), 1: np.eye(4)}, 50: {0: np.eye(3)}}, placements={0: Placement((0, 0), (20, 30))})
    assert {"30", "50", "0", "1"} <= set(texts(figure))
