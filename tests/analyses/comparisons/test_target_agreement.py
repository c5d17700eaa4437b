"""How far the maps of two targets agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from analyses import ResultsError
from analyses.comparisons import target_agreement
from tests.analyses.checks import assert_labels_apart, assert_on_page, key_of, rewrite, row, split
from tests.method_runs import CAM, IMAGES, METHODS, enrich

TARGETS = ("truth:margin", "predicted:logit", "best_pixel:logit", "predicted:margin")
PAIR = ("best_pixel:logit", "predicted:logit")
SMALL = {"stages": 2, "seeds": (0, 1), "levels": (30, 90), "methods": METHODS, "images": IMAGES, "gallery": 0}
SMALL |= {"points": ("conv", "relu"), "targets": PAIR}
LAST = "Decoder 1_2 ReLU"


@pytest.fixture
def run(make):
    return lambda **fields: enrich(make(**{**SMALL, **fields}))


def made(results):
    return split(target_agreement.analyse(results))


def test_nothing_for_runs_without_agreement(make):
    assert list(target_agreement.analyse(make(stages=1))) == []
    assert list(target_agreement.analyse(enrich(make(**{**SMALL, "targets": PAIR[:1]})))) == []


def test_medians_are_over_images_of_their_means_over_seeds(run):
    results = run()
    raw = rewrite(
        results, lambda f: f.assign(correlation=f["correlation"].mask(f["image"] == "cat_2")), "agreement"
    ).agreement()
    table, _ = made(results)
    assert len(table.frame) == 2 * 12 * len(CAM)
    where = {"level": 90, "layer": "Encoder 2_1", "method": "layer_cam"}
    found = row(table.frame, **where)
    part = raw[(raw[list(where)] == pd.Series(where)).all(axis=1)]
    for column in ("correlation", "difference"):
        means = [rows[column].mean() for _, rows in part.groupby("image")]
        wanted = np.nanquantile(means, [0.5, 0.25, 0.75])
        numbers = [found[column], found[f"{column}_low"], found[f"{column}_high"]]
        np.testing.assert_allclose(numbers, wanted, rtol=5e-3)
    assert found["largest_difference"] == pytest.approx(part["difference"].max(), rel=5e-3)
    assert (found["n_images"], found["n_seeds"], found["n_undefined"]) == (11, 2, 0)
    assert found["training_data"] == "577 real"


def test_the_identity_behind_the_last_relu_is_counted_marked_and_told(run):
    table, (figure,) = made(run())
    main = table.frame[table.frame["method"] == "grad_cam"]
    end = main[main["linear_end"]]
    assert set(end["layer"]) == {LAST}
    assert (end["identical"] == 1).all()
    assert (end["largest_difference"] == 1e-7).all()  # not rounded away
    assert (main.loc[~main["linear_end"], "identical"] < 0.5).all()
    others = table.frame[(table.frame["method"] != "grad_cam") & table.frame["linear_end"]]
    assert (others["identical"] == 0).all()
    assert f"The shaded layer, {LAST}," in str(figure.caption)
    assert "the largest found is 1e-07, of 44 pairs of maps" in str(figure.caption)
    for axes in figure.figure.axes:
        (band,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert (band.get_x(), band.get_width()) == (6 - 0.5, 1)  # the last of seven
    assert len(figure.figure.axes[-1].get_xticks()) == 7


def test_an_identity_that_does_not_hold_is_told_as_it_is(run):
    def change(frame):
        frame.loc[(frame["layer"] == LAST) & (frame["image"] == "cat_1"), "difference"] = 0.25
        return frame

    table, (figure,) = made(rewrite(run(), change, "agreement"))
    assert "the largest found is 0.2," in str(figure.caption)
    end = table.frame[(table.frame["method"] == "grad_cam") & table.frame["linear_end"]]
    assert end["identical"].to_numpy() == pytest.approx(10 / 11, abs=1e-6)


def test_undefined_pairs_are_counted_and_left_out(run):
    def change(frame):
        frame.loc[frame["image"].isin(IMAGES[:3]), ["correlation", "difference"]] = np.nan
        frame.loc[frame["layer"] == LAST, ["correlation", "difference"]] = np.nan
        return frame

    table, (figure,) = made(rewrite(run(), change, "agreement"))
    rows = table.frame[table.frame["layer"] == "Encoder 1_1"]
    assert (rows["n_undefined"] == 6).all()
    assert rows["correlation"].notna().all()
    assert table.frame.loc[table.frame["linear_end"], ["identical", "largest_difference"]].isna().all(axis=None)
    assert "here no map of it has a value" in str(figure.caption)


def test_a_run_of_undefined_pairs_says_so(run):
    nothing = {"correlation": np.nan, "difference": np.nan}
    _, (figure,) = made(rewrite(run(levels=(90,)), lambda frame: frame.assign(**nothing), "agreement"))
    for axes in figure.figure.axes:
        assert "undefined for every pair" in axes.texts[0].get_text()
    assert figure.render("svg", 50)


def test_best_pixel_against_predicted_comes_first_and_figures_are_of_pixels_alone(run):
    table, figures = made(run(targets=TARGETS, seeds=(0,), levels=(30,)))
    pairs = list(dict.fromkeys(zip(table.frame["target"], table.frame["other"], strict=True)))
    assert set(pairs[0]) == set(PAIR)
    assert len(pairs) == 6
    assert [figure.name for figure in figures] == [
        "target_agreement-unet-predicted-logit-best_pixel-logit",
        "target_agreement-unet-truth-margin-predicted-margin",
    ]


def test_nothing_is_said_of_an_identity_where_the_score_is_not_linear(run):
    for classes in (("background", "pet"), ("background", "cat", "dog")):
        _, (figure,) = made(run(targets=("best_pixel:margin", "predicted:margin"), classes=classes, levels=(90,)))
        assert ("shaded" in str(figure.caption)) == bool(figure.figure.axes[0].patches) == (len(classes) == 2)


def test_a_run_of_one_point_is_drawn_without_the_mark(run):
    table, (figure,) = made(run(points=("conv",), unreached=frozenset({(0, 30), (1, 30)})))
    assert not table.frame["linear_end"].any()
    assert "shaded" not in str(figure.caption)
    key = key_of(figure)
    assert key[:2] == ["30 %: not reached", "90 % mean IoU (2 seeds)"]


def test_text_is_legible_and_on_the_page(run):
    _, figures = made(run(models=("unet", "segformer"), stages=5))
    for item in figures:
        assert_on_page(item)
        assert_labels_apart(item)


def test_a_pair_that_is_there_twice_and_an_unknown_layer_are_refused(run):
    results = rewrite(run(levels=(30,)), lambda frame: pd.concat([frame, frame.head(1)]), "agreement")
    with pytest.raises(ResultsError, match="a row is there twice"):
        list(target_agreement.analyse(results))
    results = rewrite(run(levels=(30,)), lambda frame: frame.replace({"layer": {"Encoder 1_1": "Bridge"}}), "agreement")
    with pytest.raises(ResultsError, match="layer Bridge is not in manifest"):
        list(target_agreement.analyse(results))
