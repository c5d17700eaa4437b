"""Figures 2 and 3: what transformers look at, around attention and in Mix-FFN."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from analyses.paper import figure1, figure2, figure3
from analyses.plots import map_tiles
from analyses.reading.choices import shown_checkpoint
from tests.analyses.checks import assert_boxes_apart, assert_on_page

RUN = {"models": ("segformer", "vit"), "levels": (90, 100), "seeds": (0,), "size": 24}
SCORES = {"extra_metrics": ("edge_thickness",)}


def named(items, start):
    (item,) = [item for item in items if item.name.startswith(start)]
    return item


def texts(item):
    return [text.get_text() for text in item.figure.axes[0].texts]


def check_text(item):
    assert_on_page(item)
    assert_boxes_apart(item)


def test_each_block_is_shown_before_and_after_attention(make):
    item = named(figure2.analyse(make(**RUN, **SCORES)), "figure2-segformer")
    assert item.name == "figure2-segformer-01-cat_1"
    assert len(item.figure.axes[0].images) == 1 + 2 * 8
    found = texts(item)
    heads = [text for text in found if text.startswith("Block")]
    assert heads == [f"Block {stage}_{block}" for stage in (1, 2, 3, 4) for block in (1, 2)]
    assert found.count("before\nattention") == found.count("after\nattention") == 1
    for score in ("spread", "edges", "gain", "width"):
        assert sum(text.startswith(f"{score} ") for text in found) == 16
    check_text(item)


def test_a_network_of_one_stage_has_its_blocks_in_lines_of_one_length(make):
    item = named(figure2.analyse(make(**RUN, **SCORES)), "figure2-vit")
    assert len(item.figure.axes[0].images) == 2 * (1 + 2 * 6)
    assert [text for text in texts(item) if text.startswith("Block")] == [f"Block {b}" for b in range(1, 13)]
    check_text(item)


def test_the_captions_say_where_the_hooks_sit_and_which_checkpoint_it_is(make):
    results = make(**RUN)
    for item in (named(figure2.analyse(results), "figure2-segformer"), *figure3.analyse(results)):
        assert "not on the residual stream" in str(item.caption)
        assert "level best (validation mean IoU 0.931), seed 0" in str(item.caption)
        assert "Target: best pixel, logit" in str(item.caption)
        assert "100 %" not in " ".join([str(item.caption), *texts(item)])
    assert "Both hooks sit on the attention branch" in str(named(figure2.analyse(results), "figure2-vit").caption)


def test_the_scores_are_those_of_the_table(make):
    results = make(**RUN, **SCORES)
    where = {"model": ["segformer"], "seed": [0], "level": [100], "image": ["cat_1"], "method": ["grad_cam"]}
    row = results.scores(where | {"layer": ["After attention 2_1"]}).iloc[0]
    layer = next(layer for layer in results.layers("segformer") if layer.name == "After attention 2_1")
    kept = map_tiles.Tiles(
        results, shown_checkpoint(results, "segformer"), map_tiles.metrics_shown(results, map_tiles.NAMES)
    )
    (tile,) = kept.maps("cat_1", [layer], named=True)
    edges, width = (float(row[name]) for name in ("edge_alignment", "edge_thickness"))
    lines = tile.text.split("\n")
    assert lines[1] == f"edges {edges:.2f}".replace("-", "\N{MINUS SIGN}")
    assert lines[3] == f"width {width:.1f} px"
    assert set(lines) <= set(texts(named(figure2.analyse(results), "figure2-segformer")))


def test_the_highest_level_that_the_first_seed_reached_is_shown(make):
    results = make(**{**RUN, "levels": (30, 50, 90)}, unreached=frozenset({(0, 90)}))
    assert "at level 50 % (validation mean IoU 0.501), seed 0" in str(
        named(figure2.analyse(results), "figure2-vit").caption
    )
    none = make(**{**RUN, "levels": (90,)}, unreached=frozenset({(0, 90)}))
    assert [*figure2.analyse(none), *figure3.analyse(none)] == []


def test_the_seed_of_which_maps_are_kept_is_shown_and_named(make):
    results = make(**{**RUN, "seeds": (0, 1)})
    for path in (results.folder / "scores" / "gallery").glob("*-s0-*"):
        path.unlink()
    for item in (*figure2.analyse(results), *figure3.analyse(results)):
        assert "at level best (validation mean IoU 0.932), seed 1" in str(item.caption)
        assert any("seed 1" in text for text in texts(item))


def test_a_run_that_measured_none_of_the_four_shows_its_first_two(make):
    results = make(**RUN)
    assert [metric.name for metric in map_tiles.metrics_shown(results, ("nothing",))] == [
        "energy_inside",
        "energy_gain",
    ]
    text = map_tiles.named_scores({"energy_inside": 0.5}, map_tiles.metrics_shown(results, ("nothing",)))
    assert text == "energy inside 0.50\ngain \N{EN DASH}"


def test_layers_pair_up_block_by_block(make):
    layers = make(**RUN).layers("segformer")
    pairs = figure2.attention(layers)
    assert [(a.label, b.label) for a, b in pairs][-1] == ("Before attention 4_2", "After attention 4_2")
    assert len(pairs) == 8
    odd = [layer for layer in layers if layer.label not in ("After attention 1_1", "Before attention 1_2")]
    before, after = figure2.attention(odd)[0]
    assert (before.label, after.label) == ("Before attention 1_1", "After attention 1_2")
    assert figure2.block_name(layers[0].model_copy(update={"label": "Norm 3"})) == "Block Norm 3"


def test_figure3_has_the_first_block_of_each_stage_and_a_row_an_image(make):
    results = make(**RUN, **SCORES, gallery=3)
    (item,) = figure3.analyse(results)
    assert item.name == "figure3-segformer"
    assert len(item.figure.axes[0].images) == 3 * (1 + 4)
    found = texts(item)
    assert [text for text in found if "dw-conv" in text] == [f"Mix-FFN dw-conv {s}_1" for s in (1, 2, 3, 4)]
    assert [text for text in found if text in results.gallery_ids] == ["cat_1", "dog_2", "cat_3"]
    check_text(item)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_figure3_fits_any_number_of_images_with_long_names(make, count):
    images = tuple(f"a_very_long_name_of_an_image_{n}" for n in range(count))
    (item,) = figure3.analyse(make(**RUN, **SCORES, gallery=count, images=images))
    check_text(item)


def test_figure1_leaves_transformers_to_figures_2_and_3(make):
    mixed = make(**{**RUN, "models": ("unet", "segformer"), "levels": (90,)})
    assert [item.name for item in figure1.analyse(mixed)] == ["figure1-unet-01-cat_1"]
    for analysis in (figure2, figure3):
        assert list(analysis.analyse(make(levels=(30,), seeds=(0,), stages=1))) == []
        assert list(analysis.analyse(make(**RUN, gallery=0))) == []


def test_the_main_probe_point_alone_counts(make):
    (item,) = figure3.analyse(make(**RUN, points=("relu", "conv")))
    assert "Layers are probed at: relu." in str(item.caption)


def test_figure1_names_the_best_level(make):
    (item,) = figure1.analyse(make(levels=(30, 100), seeds=(0,)))
    assert "best\nmIoU 0.931" in texts(item)
    assert not any("100" in text for text in texts(item))


def test_no_photograph_is_drawn_where_it_may_not_be(make):
    pictures = []
    for colour in ((31, 200, 77), (90, 10, 160)):
        fields = {**RUN, "models": ("segformer",), "levels": (90,)}
        results = make(**fields, photographs=False, photo_colour=colour)
        items = [named(figure2.analyse(results), "figure2-segformer"), *figure3.analyse(results)]
        assert all("photograph is not shown" in str(item.caption) for item in items)
        pictures.append([matplotlib.image.imread(io.BytesIO(item.render("png", 60)), format="png") for item in items])
    for one, two in zip(*pictures, strict=True):
        np.testing.assert_array_equal(one, two)


def test_numbers_are_short():
    assert [map_tiles.number(x) for x in (9.994, 9.996, -12.3, 1234.5)] == ["9.99", "10", "\N{MINUS SIGN}12", "1234"]
    assert [map_tiles.number(x, "", 1) for x in (7.04, 99.94, 99.96)] == ["7.0", "99.9", "100"]


def test_the_title_says_what_is_shown_as_far_as_there_is_room(make):
    results = make(**RUN, gallery=2, images=("short_1", "long_" + 20 * "name_"))
    one, two = (item for item in figure2.analyse(results) if "segformer" in item.name)
    assert "SegFormer, best (validation mIoU 0.931), seed 0: Grad-CAM of short_1" in texts(one)
    (title,) = [text for text in texts(two) if text.startswith("SegFormer")]
    assert len(title) == 90
    assert title.endswith("\N{HORIZONTAL ELLIPSIS}")
    check_text(two)
