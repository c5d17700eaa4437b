"""Figure 3: what SegFormer looks at in Mix-FFN."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.artifacts import MOST_WORDS
from analyses.paper import figure3
from tests.analyses.checks import assert_boxes_apart, assert_on_page

RUN = {"models": ("segformer",), "levels": (100,), "seeds": (0,), "size": 24}


def texts(item):
    return [text.get_text() for text in item.figure.axes[0].texts]


def check_text(item):
    assert_on_page(item)
    assert_boxes_apart(item)
    assert len(item.caption.reading.split()) <= MOST_WORDS


def test_it_has_the_first_block_of_each_stage_and_a_row_an_image(make):
    results = make(**RUN, gallery=3)
    (item,) = figure3.analyse(results)
    assert item.name == "figure3-segformer"
    assert len(item.figure.axes[0].images) == 3 * (1 + 4)
    found = texts(item)
    assert [text for text in found if "dw-conv" in text] == [f"Mix-FFN dw-conv {s}_1" for s in (1, 2, 3, 4)]
    assert [text for text in found if text in results.gallery_ids] == ["cat_1", "dog_2", "cat_3"]
    check_text(item)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_it_fits_any_number_of_images_with_long_names(make, count):
    images = tuple(f"a_very_long_name_of_an_image_{n}" for n in range(count))
    (item,) = figure3.analyse(make(**RUN, gallery=count, images=images))
    check_text(item)


def test_the_main_probe_point_alone_counts(make):
    (item,) = figure3.analyse(make(**RUN, points=("relu", "conv")))
    assert "Layers are probed at: relu." in str(item.caption)


def test_images_whose_names_begin_alike_are_told_apart(make):
    images = tuple(f"american_pit_bull_terrier_{n}" for n in (203, 20))
    (item,) = figure3.analyse(make(**RUN, gallery=2, images=images))
    labels = [text for text in texts(item) if "\N{HORIZONTAL ELLIPSIS}" in text]
    assert len(set(labels)) == 2


def test_the_title_leads_from_the_first_stage_with_scores_to_the_last(make):
    images = tuple(f"cat_{n}" for n in range(8))
    (item,) = figure3.analyse(make(**RUN, images=images))
    start = "SegFormer: from Mix-FFN dw-conv 1_1 to Mix-FFN dw-conv {}, edge alignment "
    assert item.caption.finding.startswith(start.format("4_1"))
    assert " and energy gain " in item.caption.finding
    blank = make(**RUN, images=images)
    for path in blank.folder.glob("scores/*.parquet"):
        frame = pd.read_parquet(path)
        frame.loc[frame["layer"] == "Mix-FFN dw-conv 4_1", "edge_alignment"] = np.nan
        frame.to_parquet(path)
    (item,) = figure3.analyse(type(blank)(blank.folder))
    assert item.caption.finding.startswith(start.format("3_1"))


def test_a_free_photograph_has_neither_outline_nor_score(make):
    (item,) = figure3.analyse(make(**RUN, photographs=False, free=("chelsea",)))
    assert "First column: the photograph where it may be shown, the mask's outline" in item.caption.reading
    assert "only chelsea may be shown" in item.caption.details
    assert texts(item).count("no mask") == 1
