from __future__ import annotations

import io
import re
from itertools import chain

import matplotlib.image
import numpy as np
import pytest

from analyses import ResultsError
from analyses.paper import figure1
from analyses.plots import overlay
from tests.analyses.checks import assert_boxes_apart, assert_on_page


def only(results):
    (item,) = figure1.analyse(results)
    return item


def texts(item):
    return [text.get_text() for axes in item.figure.axes for text in axes.texts]


def pixels(item, dpi=100):
    image = matplotlib.image.imread(io.BytesIO(item.render("png", dpi)), format="png")
    return (255 * image[..., :3]).round().astype(np.uint8)


def test_every_layer_at_every_level_has_its_map_and_its_scores(make):
    item = only(make(seeds=(0, 1)))
    maps, bar = item.figure.axes
    levels, layers, blocks = 4, 18, 2
    assert len(maps.images) == levels * (layers + blocks)
    found = texts(item)
    assert sum("|" in text and " | " not in text for text in found) == levels * layers - 2
    assert found.count("blank") == found.count("undefined") == 1
    for label in ("Encoder 1_1", "Encoder 5_2", "Decoder 4_1", "Decoder 1_2", "30 %\nmIoU 0.301"):
        assert label in found
    assert bar.get_xlabel() == "map / its 99.5th percentile"
    assert item.name == "figure1-unet-01-cat_1"


def test_the_scores_are_those_of_the_table(make):
    results = make(seeds=(3,), levels=(70,))
    rows = results.scores({"image": ["cat_1"], "method": ["grad_cam"], "layer": ["Encoder 4_1"]})
    gain, edges = (f"{float(rows[name].iloc[0]):.2f}".replace("-", "\N{MINUS SIGN}") for name in figure1.SHOWN)
    assert f"+{gain}|{edges}" in texts(only(results))


def test_a_level_that_was_not_reached_is_a_line_of_text(make):
    item = only(make(unreached=frozenset({(0, 90)})))
    assert texts(item).count("90 %: not reached (nearest 0.84)") == 2
    assert len(item.figure.axes[0].images) == 3 * 20
    assert "Not reached, and left empty: 90 %." in str(item.caption)


def test_no_level_reached_is_a_page_of_text(make):
    results = make(levels=(30, 90), seeds=(0, 1), unreached=frozenset({(0, 30), (0, 90)}))
    for path in (results.folder / "scores" / "gallery").glob("*-s1-l30.npz"):
        path.unlink()
    assert not only(results).figure.axes[0].images


def test_the_seed_of_which_maps_are_kept_is_shown_and_named(make):
    results = make(levels=(30, 90), seeds=(0, 1))
    for path in (results.folder / "scores" / "gallery").glob("*-s0-*"):
        path.unlink()
    item = only(results)
    assert len(item.figure.axes[0].images) == 2 * 20
    assert "U-Net, seed 1: Grad-CAM of cat_1" in texts(item)
    assert "training seed 1" in str(item.caption)


def test_all_text_is_on_the_page_legible_and_free_of_its_neighbours(make):
    item = only(make(unreached=frozenset({(0, 50)})))
    assert_on_page(item)
    assert_boxes_apart(item)


def test_no_pixel_of_the_photograph_is_drawn_where_it_may_not_be(make):
    colours = ((31, 200, 77), (90, 10, 160))
    fields = {"seeds": (0,), "levels": (30, 90)}
    shown = [pixels(only(make(photographs=True, photo_colour=colour, **fields))) for colour in colours]
    hidden = [only(make(photographs=False, photo_colour=colour, **fields)) for colour in colours]
    for colour, picture in zip(colours, shown, strict=True):
        own = np.argwhere((picture == colour).all(axis=-1))
        assert len(own) > 500
        assert own[:, 1].max() < 100, "in the first column alone: its colours would fight the maps'"
    assert hidden[0].render("png") == hidden[1].render("png")
    assert hidden[0].render("svg") == hidden[1].render("svg")
    assert "photograph is not shown" in str(hidden[0].caption)


def test_the_predicted_mask_is_tinted_in_the_first_column(make):
    results = make(seeds=(0,), levels=(30,), photo_colour=(0, 100, 0))
    first = only(results).figure.axes[0].images[0]
    (path,) = (results.folder / "scores" / "gallery").iterdir()
    with np.load(path) as file:
        arrays = dict(file)
    np.testing.assert_array_equal(np.asarray(first.get_array())[..., 0] > 60, arrays["predicted"][0] == 1)
    key = [text.get_text() for text in only(results).figure.legends[0].get_texts()]
    assert key[-1] == "first column: the checkpoint's own prediction for pet, tinted, and its IoU; no pixel: none"
    del arrays["predicted"]
    np.savez(path, **arrays)
    older = only(type(results)(results.folder)).figure
    assert not (np.asarray(older.axes[0].images[0].get_array())[..., 0] > 60).any()
    assert "tinted" not in older.legends[0].get_texts()[-1].get_text()


def test_each_gallery_image_has_its_own_figure(make):
    names = [item.name for item in figure1.analyse(make(gallery=3, models=("unet", "net2"), seeds=(0,), levels=(30,)))]
    assert names == [
        f"figure1-{m}-0{i}-{x}" for m in ("unet", "net2") for i, x in enumerate(("cat_1", "dog_2", "cat_3"), 1)
    ]


def test_only_the_main_probe_point_is_drawn(make):
    item = only(make(points=("relu", "conv"), levels=(30,)))
    assert len(item.figure.axes[0].images) == 20
    assert "Layers are probed at: relu." in str(item.caption)


def test_a_gallery_without_a_layer_is_refused(make):
    results = make(levels=(30,), seeds=(0,))
    path = results.folder / "scores" / "gallery" / "unet-s0-l30.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if not name.endswith("grad_cam|Decoder 1_2")}
    np.savez(path, **arrays)
    with pytest.raises(ResultsError, match=r"of layers Decoder 1_2 is missing; run"):
        only(results)


def test_layers_are_split_by_role_and_into_tens(make):
    layers = make(stages=7).layers("unet")
    assert [len(block) for block in figure1.blocks(layers)] == [10, 4, 10, 2]
    assert tuple(chain.from_iterable(figure1.blocks(layers))) == layers


def test_upsampling_interpolates_between_cell_centres():
    large = overlay.upsampled(np.array([[0.0, 2.0]], dtype=np.float32), (2, 8))
    np.testing.assert_allclose(large, [[0, 0, 0.25, 0.75, 1.25, 1.75, 2, 2]] * 2, atol=1e-12)


def test_heat_is_brighter_where_the_map_is_higher_and_hatched_where_there_is_none():
    photograph = np.full((2, 90, 3), 200, np.uint8)
    shown = overlay.heat(np.array([[0.0, 0.1, 1.0]]), photograph, (2, 90)).sum(axis=-1)[0]
    assert shown[0] == pytest.approx(3 * 0.45 * 200 / 255, abs=0.02)
    assert shown[0] < shown[45] < shown[89]
    assert shown[89] > 2
    for nothing in (np.zeros((1, 3)), np.full((1, 3), np.nan)):
        assert len(np.unique(overlay.heat(nothing, photograph, (2, 90)))) == 2, "stripes and what lies between"


def test_the_caption_says_where_the_brightest_colour_lies(make):
    caption = str(only(make(seeds=(0,))).caption)
    low, high = map(float, re.search(r"positive values \((0\.\d\d) to (\d\.\d\d) of its maximum\)", caption).groups())
    assert 0 < low < high <= 1


def test_the_explained_pixel_is_marked_in_the_first_column_alone(make):
    item = only(make(seeds=(0,), levels=(30, 90)))
    (ring,) = [line for line in item.figure.axes[0].lines if line.get_marker() == "o"]
    assert len(ring.get_xdata()) == 2 * 2  # levels, blocks
    assert max(ring.get_xdata()) < 1


def test_outlines_are_closed_around_each_region_even_at_the_edge():
    mask = np.zeros((6, 8), dtype=bool)
    mask[:2, :4] = mask[4, 6] = True
    lines = overlay.outline(mask)
    assert len(lines) == 2
    for line in lines:
        np.testing.assert_array_equal(line[0], line[-1])
    x, y = np.concatenate(lines).T
    assert (x.min(), y.min()) == (0.0, 0.0)
    assert x.max() == pytest.approx(7 / 8)
