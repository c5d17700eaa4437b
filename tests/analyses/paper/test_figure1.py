from __future__ import annotations

import io
import re
from itertools import chain

import matplotlib.image
import numpy as np
import pytest

from analyses import ResultsError, printing
from analyses.artifacts import MOST_WORDS
from analyses.paper import figure1
from analyses.plots import map_tiles, overlay
from tests.analyses.checks import assert_boxes_apart, assert_on_page, edit_manifest


def main(results):
    """The figure of a few layers."""
    return next(iter(figure1.analyse(results)))


def page(results):
    """The page of all layers of the one image."""
    _, item = figure1.analyse(results)
    return item


def texts(item):
    return [text.get_text() for axes in item.figure.axes for text in axes.texts]


def key(item):
    return [text.get_text() for text in item.figure.legends[0].get_texts()]


def pixels(item, dpi=100):
    image = matplotlib.image.imread(io.BytesIO(item.render("png", dpi)), format="png")
    return (255 * image[..., :3]).round().astype(np.uint8)


@pytest.fixture(scope="module")
def drawn(make_in, tmp_path_factory):
    """A run's figure, and its page of all layers."""
    return list(figure1.analyse(make_in(tmp_path_factory.mktemp("figure1") / "out")))


def test_the_figure_has_seven_layers_and_a_page_has_all(drawn):
    figure, page_of_all = drawn
    levels, few, layers, blocks = 4, 7, 18, 2
    assert (figure.name, page_of_all.name) == ("figure1-unet", "figure1_layers-unet-01-cat_1")
    assert len(figure.figure.axes[0].images) == levels * (few + 1)
    assert len(page_of_all.figure.axes[0].images) == levels * (layers + blocks)
    heads = [text for text in texts(figure) if text.startswith(("Encoder", "Decoder"))]
    assert heads == [f"{role}coder {stage}_2" for role, stages in (("En", "1245"), ("De", "421")) for stage in stages]
    for label in ("Encoder 1_1", "Encoder 5_2", "Decoder 4_1", "Decoder 1_2", "30 %\nmIoU 0.301"):
        assert label in texts(page_of_all)
    assert figure.figure.axes[1].get_xlabel() == "map / its 99.5th percentile"


def test_the_title_says_how_the_score_goes_with_the_level_here_and_over_images(make, drawn):
    assert " in this image." in drawn[0].caption.finding, "three images settle nothing"
    many = make(images=tuple(f"cat_{n}" for n in range(8)), seeds=(0,))
    few = [layer.name for layer in figure1.stages(many.main_layers("unet"))]
    frame = many.scores({"method": ["grad_cam"], "layer": few}).astype({"layer": str, "image": str})
    table = frame.pivot(index=["layer", "image"], columns="level", values="energy_gain")[[30, 90]].dropna().round(6)
    here = table.xs(many.gallery_ids[0], level="image")
    higher = (here[90] - here[30] > 0.005).sum()
    images = table.groupby(level="layer").size()
    images = images[images >= 6]
    assert images.nunique() > 1, "a map that is blank leaves its image out"
    said = main(many).caption.finding
    start = f"U-Net, from 30 % to 90 % mean IoU: energy gain is higher at {higher} of {len(here)} layers "
    assert said.startswith(start)
    over = rf"in this image; over up to {images.max()} images it surely rises at \d of {len(images)} and falls at \d\.$"
    assert re.search(over, said)


def test_the_details_say_how_edges_go_with_the_level(make, drawn):
    assert "edge alignment of" not in drawn[0].caption.details, "three images settle nothing"
    images = tuple(f"cat_{n}" for n in range(8))
    many = make(images=images, seeds=(0,))
    frame = many.scores({"method": ["grad_cam"], "layer": ["Encoder 1_2"]})
    table = frame.pivot(index="image", columns="level", values="edge_alignment")[[30, 90]].dropna().mean()
    low, high = (f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in table)
    count = len(frame.pivot(index="image", columns="level", values="edge_alignment")[[30, 90]].dropna())
    assert (
        "Between 30 % and 90 % mean IoU, edge alignment of Encoder 1_2 does not surely change "
        f"({low}, then {high}; mean of {count} images)."
    ) in main(many).caption.details


def test_blank_maps_are_hatched_with_their_reason(drawn):
    found = [text.replace("\n", " ") for text in texts(drawn[1])]
    assert found.count("blank: negative everywhere") == 1, "what is known of it before ReLU"
    assert found.count("undefined: NaN") == 1


def test_a_dash_is_explained_where_there_is_one(make, drawn):
    dashed = drawn[1]
    assert map_tiles.UNDEFINED in texts(dashed)
    assert "\N{EN DASH}: the map's score is undefined." in dashed.caption.details
    free = main(make(seeds=(0,), levels=(30,), free=("chelsea",)))
    assert map_tiles.UNDEFINED not in texts(free)
    assert "score is undefined" not in free.caption.details


def test_a_map_has_its_score_as_a_bar(make):
    results = edit_manifest(
        make(seeds=(3,), levels=(70,)), lambda values: values["metrics"]["energy_gain"].update(upper=2.0)
    )
    rows = results.scores({"image": ["cat_1"], "method": ["grad_cam"]}).set_index("layer")["energy_gain"].astype(float)
    item = page(results)
    defined = rows.dropna()
    assert [text for text in texts(item) if re.fullmatch(r"[+\N{MINUS SIGN}]\d\.\d\d", text)] == [
        f"{rows[layer.name]:+.2f}".replace("-", "\N{MINUS SIGN}")
        for layer in results.layers("unet")
        if layer.name in defined
    ]
    (bars,) = [one for one in item.figure.axes[0].collections if 2.2 in one.get_linewidths()]
    spans = [ends[1][0] - ends[0][0] for ends in bars.get_segments()[2::3]]
    order = [layer.name for layer in results.layers("unet") if layer.name in defined]
    scale = spans[order.index(defined.idxmax())] / defined.max()
    np.testing.assert_allclose(spans, [scale * defined[name] for name in order], atol=1e-6)
    assert "energy gain of the map, from \N{MINUS SIGN}2 to 2" in key(item)


def test_a_level_that_was_not_reached_is_a_line_of_text(make):
    item = page(make(unreached=frozenset({(0, 90)})))
    assert texts(item).count("90 %: not reached (nearest 0.84)") == 2
    assert len(item.figure.axes[0].images) == 3 * 20
    assert "Not reached, and left empty: 90 %." in item.caption.details


def test_no_level_reached_is_a_page_of_text(make):
    results = make(levels=(30, 90), seeds=(0, 1), unreached=frozenset({(0, 30), (0, 90)}))
    for path in (results.folder / "scores" / "gallery").glob("*-s1-l30.npz"):
        path.unlink()
    assert not main(results).figure.axes[0].images


def test_the_seed_of_which_maps_are_kept_is_shown_and_named(make):
    results = make(levels=(30, 90), seeds=(0, 1))
    for path in (results.folder / "scores" / "gallery").glob("*-s0-*"):
        path.unlink()
    item = main(results)
    assert "U-Net, seed 1: Grad-CAM of cat_1" in texts(item)
    assert "training seed 1" in item.caption.details


def test_all_text_is_on_the_page_legible_and_free_of_its_neighbours(make, drawn):
    for item in (drawn[0], page(make(unreached=frozenset({(0, 50)})))):
        assert_on_page(item)
        assert_boxes_apart(item)
        assert len(item.caption.reading.split()) <= MOST_WORDS


def test_no_pixel_of_the_photograph_is_drawn_where_it_may_not_be(make):
    colours = ((31, 200, 77), (90, 10, 160))
    fields = {"seeds": (0,), "levels": (30, 90)}
    shown = [pixels(main(make(photographs=True, photo_colour=colour, **fields))) for colour in colours]
    hidden = [main(make(photographs=False, photo_colour=colour, **fields)) for colour in colours]
    for colour, picture in zip(colours, shown, strict=True):
        own = np.argwhere((picture == colour).all(axis=-1))
        assert len(own) > 500
        assert own[:, 1].max() < 115, "in the first column alone: its colours would fight the maps'"
    assert hidden[0].render("png") == hidden[1].render("png")
    assert hidden[0].render("svg") == hidden[1].render("svg")
    assert "photograph is not shown" in hidden[0].caption.details


def test_a_free_photograph_comes_first_and_is_shown_in_any_case(make):
    fields = {"seeds": (0,), "levels": (30, 90), "photographs": False, "free": ("chelsea",)}
    figure, free, other = figure1.analyse(make(photo_colour=(31, 200, 77), **fields))
    assert [item.name for item in (free, other)] == ["figure1_layers-unet-01-chelsea", "figure1_layers-unet-02-cat_1"]
    for item in (figure, free):
        assert (pixels(item) == (31, 200, 77)).all(axis=-1).any()
        assert "Chelsea by Nobody, CC0; it has no mask and no scores." in item.caption.details
        assert texts(item).count("no mask") == 2 * (1 + (item is free))
        assert not any("outline" in text or "energy gain" in text for text in key(item))
        assert not [one for one in item.figure.axes[0].collections if 2.2 in one.get_linewidths()]
    assert not (pixels(other) == (31, 200, 77)).all(axis=-1).any()


def test_the_predicted_mask_is_tinted_in_the_first_column(make):
    results = make(seeds=(0,), levels=(30,), photo_colour=(0, 100, 0))
    first = main(results).figure.axes[0].images[0]
    (path,) = (results.folder / "scores" / "gallery").iterdir()
    with np.load(path) as file:
        arrays = dict(file)
    np.testing.assert_array_equal(np.asarray(first.get_array())[..., 0] > 60, arrays["predicted"][0] == 1)
    assert "first column: predicted as pet by the checkpoint, with its IoU" in key(main(results))
    del arrays["predicted"], arrays["negative"]
    np.savez(path, **arrays)
    older = main(type(results)(results.folder))
    assert not (np.asarray(older.figure.axes[0].images[0].get_array())[..., 0] > 60).any()
    assert not any("predicted" in text for text in key(older))


def test_maps_are_linear_up_to_their_maxima_where_the_profile_says_so(make):
    results = edit_manifest(
        make(seeds=(0,), levels=(70,)), lambda values: values["profile"]["figures"].update(raw=True)
    )
    item = main(results)
    assert item.figure.axes[1].get_xlabel() == "map / its maximum"
    assert [tick.get_text() for tick in item.figure.axes[1].get_xticklabels()] == ["0", "0.1", "0.5", "1"]
    np.testing.assert_allclose(item.figure.axes[1].get_xticks(), [0, 0.1, 0.5, 1])
    assert "a map's maximum; linear" in item.caption.details


def test_each_gallery_image_has_its_own_page(make):
    names = [item.name for item in figure1.analyse(make(gallery=3, models=("unet", "net2"), seeds=(0,), levels=(30,)))]
    pages = [
        (f"figure1_layers-{m}-0{i}-{x}") for m in ("unet", "net2") for i, x in enumerate(("cat_1", "dog_2", "cat_3"), 1)
    ]
    assert names == ["figure1-unet", *pages[:3], "figure1-net2", *pages[3:]]


def test_only_the_main_probe_point_is_drawn(make):
    item = page(make(points=("relu", "conv"), levels=(30,)))
    assert len(item.figure.axes[0].images) == 20
    assert "Layers are probed at: relu." in item.caption.details


def test_a_gallery_without_a_layer_is_refused(make):
    results = make(levels=(30,), seeds=(0,))
    path = results.folder / "scores" / "gallery" / "unet-s0-l30.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if not name.endswith("grad_cam|Decoder 1_2")}
    np.savez(path, **arrays)
    with pytest.raises(ResultsError, match=r"of layers Decoder 1_2 is missing; run"):
        list(figure1.analyse(results))


def test_layers_are_split_by_role_and_into_tens(make):
    layers = make(stages=7).layers("unet")
    assert [len(block) for block in figure1.blocks(layers)] == [10, 4, 10, 2]
    assert tuple(chain.from_iterable(figure1.blocks(layers))) == layers


def test_a_network_without_stages_has_its_layers_spread_over_the_depth(make):
    layers = [layer.model_copy(update={"stage": 0, "role": ""}) for layer in make().layers("unet")]
    few = figure1.stages(layers)
    assert (len(few), few[0], few[-1]) == (7, layers[0], layers[-1])
    assert figure1.stages(layers[:3]) == layers[:3]


def test_layers_of_a_network_of_ones_own_stand_by_depth_without_the_start_of_their_paths(make):
    first, second, third = make().layers("unet")[:3]
    paths = ("net.body.stem.conv", "net.body.head_of_it_all", "net.body.stem")
    layers = [
        layer.model_copy(update={"label": path, "role": role, "stage": 1})
        for layer, path, role in zip((first, second, third), paths, ("encoder", "decoder", "encoder"), strict=True)
    ]
    assert [layer.label for layer in figure1.stages(layers)] == ["net.body.head_of_it_all", "net.body.stem"]
    assert list(map_tiles.heads(layers).values()) == ["stem.conv", "head_of_it_all", "stem"]
    assert list(map_tiles.heads(layers[:1]).values()) == ["net.body.stem.conv"]
    assert printing.plain("net.body.head_of_it_all", 12) == "net.body.\nhead_of_it_\nall"


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


def test_the_caption_says_where_the_brightest_colour_lies(drawn):
    caption = drawn[0].caption.details
    low, high = map(float, re.search(r"positive values \((0\.\d\d) to (\d\.\d\d) of its maximum\)", caption).groups())
    assert 0 < low < high <= 1


def test_the_explained_pixel_is_marked_in_the_first_column_alone(make):
    item = page(make(seeds=(0,), levels=(30, 90)))
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
