"""How far the maps of two targets agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import ResultsError
from analyses.comparisons import target_agreement
from tests.analyses.checks import rewrite, row
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
    (table,) = target_agreement.analyse(results)
    return table


def test_nothing_for_runs_without_agreement(make):
    assert list(target_agreement.analyse(make(stages=1))) == []
    assert list(target_agreement.analyse(enrich(make(**{**SMALL, "targets": PAIR[:1]})))) == []


def test_medians_are_over_images_of_their_means_over_seeds(run):
    results = run()
    raw = rewrite(
        results, lambda f: f.assign(correlation=f["correlation"].mask(f["image"] == "cat_2")), "agreement"
    ).agreement()
    table = made(results)
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


def test_the_identity_behind_the_last_relu_is_counted(run):
    def change(frame):
        frame.loc[(frame["layer"] == LAST) & (frame["image"] == "cat_1"), "difference"] = 0.25
        return frame

    results = run()
    for table, share, largest in (
        (made(results), 1, 1e-7),
        (made(rewrite(results, change, "agreement")), 10 / 11, 0.25),
    ):
        main = table.frame[table.frame["method"] == "grad_cam"]
        end = main[main["linear_end"]]
        assert set(end["layer"]) == {LAST}
        assert end["identical"].to_numpy() == pytest.approx(share, abs=1e-6)
        assert (end["largest_difference"] == largest).all()  # not rounded away
        assert (main.loc[~main["linear_end"], "identical"] < 0.5).all()


def test_nothing_is_linear_where_one_point_was_probed(run):
    assert not made(run(points=("conv",))).frame["linear_end"].any()


def test_best_pixel_against_predicted_comes_first(run):
    frame = made(run(targets=TARGETS, seeds=(0,), levels=(30,))).frame
    pairs = list(dict.fromkeys(zip(frame["target"], frame["other"], strict=True)))
    assert set(pairs[0]) == set(PAIR)
    assert len(pairs) == 6


def test_undefined_pairs_are_counted_and_left_out(run):
    def change(frame):
        frame.loc[frame["image"].isin(IMAGES[:3]), ["correlation", "difference"]] = np.nan
        frame.loc[frame["layer"] == LAST, ["correlation", "difference"]] = np.nan
        return frame

    table = made(rewrite(run(), change, "agreement"))
    rows = table.frame[table.frame["layer"] == "Encoder 1_1"]
    assert (rows["n_undefined"] == 6).all()
    assert rows["correlation"].notna().all()
    assert table.frame.loc[table.frame["linear_end"], ["identical", "largest_difference"]].isna().all(axis=None)


def test_a_pair_that_is_there_twice_and_an_unknown_layer_are_refused(run):
    results = rewrite(run(levels=(30,)), lambda frame: pd.concat([frame, frame.head(1)]), "agreement")
    with pytest.raises(ResultsError, match="a row is there twice"):
        list(target_agreement.analyse(results))
    results = rewrite(run(levels=(30,)), lambda frame: frame.replace({"layer": {"Encoder 1_1": "Bridge"}}), "agreement")
    with pytest.raises(ResultsError, match="layer Bridge is not in manifest"):
        list(target_agreement.analyse(results))
