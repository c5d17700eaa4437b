"""Why maps are blank."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.depth import diagnosis
from analyses.statistics import bootstrap
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import assert_on_page, key_of, rewrite, row, split
from tests.method_runs import CONTROLS, IMAGES, METHODS, ROLLOUT, enrich

SMALL = {"stages": 2, "seeds": (0, 1), "levels": (30, 90), "methods": METHODS, "images": IMAGES, "gallery": 0}
PANELS = ["Blank maps (share)", "Sign balance before ReLU", "Share of the rival class"]


@pytest.fixture
def run(make):
    def build(*, counter=False, **fields):
        return enrich(make(**{**SMALL, **fields}), counter=counter)

    return build


def made(results):
    table, figures = split(diagnosis.analyse(results))
    return table.frame, figures


def test_nothing_for_runs_without_sign_balance_or_blank(make, run):
    assert list(diagnosis.analyse(make(stages=1))) == []
    results = rewrite(run(), lambda frame: frame.drop(columns="blank"))
    assert list(diagnosis.analyse(results)) == []


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "captum_saliency"])
def test_each_row_is_what_a_loop_over_the_maps_finds(run, method):
    results = run(counter=True)
    frame, _ = made(results)
    layer = "Input" if method == "captum_saliency" else "Encoder 2_1"
    where = {"method": method, "layer": layer, "level": 30}
    found = row(frame, **where)
    raw = results.scores({name: [value] for name, value in where.items()}).astype({"image": str})
    blank = raw.pivot(index="seed", columns="image", values="blank")
    filled = blank.fillna(0).to_numpy(dtype=float)
    wanted = bootstrap_interval(filled, np.random.default_rng(bootstrap.SEED), bootstrap.RESAMPLES)
    numbers = [found["blank_share"], found["blank_share_low"], found["blank_share_high"]]
    np.testing.assert_allclose(numbers, np.clip(wanted, 0, 1), atol=1e-6)
    assert found["undefined_share"] == pytest.approx(raw["blank"].isna().mean(), abs=1e-6)
    assert (found["n_maps"], found["n_images"]) == (len(raw), raw["image"].nunique())
    for column in ("sign_balance", "counter_share"):
        means = [rows[column].mean() for _, rows in raw.groupby("image")]
        middle, low, high = np.nanquantile(means, [0.5, 0.25, 0.75])
        numbers = [found[column], found[f"{column}_low"], found[f"{column}_high"]]
        np.testing.assert_allclose(numbers, [middle, low, high], atol=1e-6)


def test_intervals_of_shares_end_where_shares_do(run):
    def blank_for_one_seed(frame):
        return frame.assign(blank=np.where(frame["seed"] == 0, 1.0, 0.0))  # two seeds that differ as much as can be

    frame, _ = made(rewrite(run(), blank_for_one_seed))
    assert (frame["blank_share"] == 0.5).all()
    assert (frame["blank_share_low"] == 0).all()
    assert (frame["blank_share_high"] == 1).all()


def test_negative_and_zero_maps_are_told_apart(run):
    def change(frame):
        at = (frame["method"] == "grad_cam") & (frame["layer"] == "Encoder 1_1")
        kind = frame["image"].map({name: i for i, name in enumerate(IMAGES)})
        frame.loc[at, "blank"] = (kind < 9)[at].astype(np.float32)
        frame.loc[at, "sign_balance"] = np.float32(0.7)
        frame.loc[at & (kind < 9), "sign_balance"] = np.float32(0)
        frame.loc[at & (kind < 3), "sign_balance"] = np.float32(np.nan)
        return frame

    frame, _ = made(rewrite(run(), change))
    found = frame[(frame["method"] == "grad_cam") & (frame["layer"] == "Encoder 1_1")]
    assert (found["blank_share"] == 0.75).all()
    assert (found["negative_share"] == 0.5).all()
    assert (found["zero_share"] == 0.25).all()
    assert (found["sign_balance"] == 0).all()  # six negative ones of nine that have one
    rollout = frame[frame["method"].isin(ROLLOUT)]
    assert rollout[["negative_share", "zero_share", "sign_balance"]].isna().all(axis=None)
    assert (rollout["blank_share"] == 0).all()


def test_maps_that_are_zero_before_relu_have_a_line_of_their_own(run):
    def change(frame):
        at = (frame["method"] == "grad_cam") & (frame["layer"] != "Decoder 1_2") & (frame["image"] != IMAGES[-1])
        frame.loc[at, "blank"] = np.float32(1)
        frame.loc[at, "sign_balance"] = np.float32(np.nan)
        return frame

    frame, (figure,) = made(rewrite(run(levels=(90,)), change))
    found = frame[frame["method"] == "grad_cam"].set_index("layer")
    assert found.loc["Encoder 1_1", ["zero_share", "negative_share"]].tolist() == [pytest.approx(11 / 12, abs=1e-6), 0]
    assert found.loc["Decoder 1_2", "zero_share"] == 0  # its blank maps are negative
    thin = [line for line in figure.figure.axes[0].lines if line.get_linewidth() == 0.6 and len(line.get_xdata()) > 2]
    assert [list(line.get_ydata()) for line in thin] == [list(found["zero_share"])]
    key = key_of(figure)
    assert "thin: those that are zero before ReLU" in key


def test_controls_are_left_out_and_all_others_there(run):
    frame, _ = made(run())
    assert set(frame["method"]) == set(METHODS) - set(CONTROLS)
    assert frame["counter_share"].isna().all()
    assert set(frame["training_data"]) == {"577 real"}


def test_a_figure_for_each_model_and_target_with_a_line_a_level(run):
    table, *figures = diagnosis.analyse(run(targets=("best_pixel:logit", "predicted:logit"), points=("conv", "relu")))
    assert [item.name for item in figures] == [f"diagnosis-unet-{name}-logit" for name in ("best_pixel", "predicted")]
    axes = figures[0].figure.axes
    assert [panel.get_ylabel() for panel in axes] == PANELS[:2]
    assert all(sum(line.get_marker() != "None" for line in panel.lines) == 2 for panel in axes)
    labels = [label.get_text() for label in axes[-1].get_xticklabels()]
    assert (len(labels), labels[-1]) == (7, "Decoder 1_2 ReLU")
    assert "the weighted sum is negative everywhere" in table.caption
    assert "Rival" not in table.caption


def test_the_rival_class_is_shown_where_it_was_measured(run):
    table, figure = diagnosis.analyse(run(counter=True))
    assert [panel.get_ylabel() for panel in figure.figure.axes] == PANELS
    assert "Rival class" in table.caption


def test_files_without_the_rivals_share_lie_beside_files_with_it(run):
    results = run(counter=True)
    path = min((results.folder / "scores").glob("*l30*.parquet"))
    pd.read_parquet(path).drop(columns="counter_share").to_parquet(path, index=False)
    frame, _ = made(results)
    assert frame.query("method == 'grad_cam'")["counter_share"].notna().all()  # the other seed's


def test_text_is_legible_and_on_the_page(run):
    _, figures = made(run(models=("unet", "segformer"), stages=5, counter=True, levels=(30, 50, 90, 100)))
    for item in figures:
        assert_on_page(item)
