"""Figure 2: what transformers look at, around attention."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np

from analyses.artifacts import MOST_WORDS
from analyses.paper import figure1, figure2, figure3
from analyses.plots import map_tiles
from tests.analyses.checks import assert_boxes_apart, assert_on_page

RUN = {"models": ("segformer", "vit"), "levels": (90, 100), "seeds": (0,), "size": 24}
MANY = {"images": tuple(f"cat_{n}" for n in range(7))}  # enough for scores of a whole layer


def named(items, start):
    (item,) = [item for item in items if item.name.startswith(start)]
    return item


def texts(item):
    return [text.get_text() for text in item.figure.axes[0].texts]


def key(item):
    return [text.get_text() for text in item.figure.legends[0].get_texts()]


def check_text(item):
    assert_on_page(item)
    assert_boxes_apart(item)
    assert len(item.caption.reading.split()) <= MOST_WORDS


def test_each_block_is_shown_before_and_after_attention(make):
    item = named(figure2.analyse(make(**RUN)), "figure2-segformer")
    assert item.name == "figure2-segformer"
    assert len(item.figure.axes[0].images) == 1 + 2 * 8
    found = texts(item)
    heads = [text for text in found if text.startswith("Block")]
    assert heads == [f"Block {stage}_{block}" for stage in (1, 2, 3, 4) for block in (1, 2)]
    assert found.count("before\nattention") == found.count("after\nattention") == 1
    check_text(item)


def test_dots_are_medians_of_the_table_and_the_title_counts_blocks(make):
    results = make(**RUN, **MANY)
    item = named(figure2.analyse(results), "figure2-segformer")
    where = {"model": ["segformer"], "level": [100], "seed": [0], "method": ["grad_cam"]}
    table = results.scores(where).astype({"layer": str, "image": str})
    table = table.pivot(index="image", columns="layer", values="spread").astype(float)
    pairs = figure2.attention(results.layers("segformer"))
    known = [one for pair in pairs for one in pair if table[one.name].notna().sum() >= 6]
    dots = [line for line in item.figure.axes[0].lines if (line.get_marker(), line.get_markersize()) == ("o", 3.2)]
    drawn = [line.get_ydata()[0] for line in dots]
    medians = sorted(table[one.name].median() for one in known)
    assert len(drawn) == len(known)
    steps = -np.diff(sorted(drawn, reverse=True)) / np.diff(medians)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4, err_msg="on one linear scale, higher is higher")
    both = [table[[one.name, two.name]].dropna() for one, two in pairs]
    both = [rows for rows in both if len(rows) >= 6]
    mean = np.mean([float((rows.iloc[:, 1] - rows.iloc[:, 0]).mean()) for rows in both])
    mean = f"{mean:+.2f}".replace("-", "\N{MINUS SIGN}")
    start = f"SegFormer: spread is higher after attention than before it in none of {len(both)} blocks that have maps "
    end = f"of 6 images or more on both sides, and lower in none (mean difference {mean})."
    assert item.caption.finding == start + end
    assert "before attention: spread, median and quartiles of 6 to 7 images" in key(item)
    check_text(item)


def test_few_images_are_no_scores_of_a_layer(make):
    item = named(figure2.analyse(make(**RUN)), "figure2-segformer")
    assert item.caption.finding == ""
    assert not any("spread" in text for text in [*texts(item), *key(item)])


def test_a_network_of_one_stage_has_its_blocks_in_lines_of_one_length(make):
    item = named(figure2.analyse(make(**RUN)), "figure2-vit")
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


def test_layers_pair_up_block_by_block(make):
    layers = make(**RUN).layers("segformer")
    pairs = figure2.attention(layers)
    assert [(a.label, b.label) for a, b in pairs][-1] == ("Before attention 4_2", "After attention 4_2")
    assert len(pairs) == 8
    odd = [layer for layer in layers if layer.label not in ("After attention 1_1", "Before attention 1_2")]
    before, after = figure2.attention(odd)[0]
    assert (before.label, after.label) == ("Before attention 1_1", "After attention 1_2")
    assert figure2.block_name(layers[0].model_copy(update={"label": "Norm 3"})) == "Block Norm 3"


def test_figure1_leaves_transformers_to_figures_2_and_3(make):
    mixed = make(**{**RUN, "models": ("unet", "segformer"), "levels": (90,)})
    assert [item.name for item in figure1.analyse(mixed)] == ["figure1-unet", "figure1_layers-unet-01-cat_1"]
    for analysis in (figure2, figure3):
        assert list(analysis.analyse(make(levels=(30,), seeds=(0,), stages=1))) == []
        assert list(analysis.analyse(make(**RUN, gallery=0))) == []


def test_figure1_names_the_best_level(make):
    item = next(figure1.analyse(make(levels=(30, 100), seeds=(0,))))
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
