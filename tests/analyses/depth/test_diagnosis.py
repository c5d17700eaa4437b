"""Why maps are blank."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.depth import diagnosis
from analyses.statistics import bootstrap
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import assert_on_page, rewrite, row, split
from tests.method_runs import CONTROLS, IMAGES, METHODS, ROLLOUT, enrich

SMALL = {"stages": 2, "seeds": (0, 1), "levels": (30, 90), "methods": METHODS, "images": IMAGES, "gallery": 0}


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


def test_controls_are_left_out_and_all_others_there(run):
    frame, _ = made(run())
    assert set(frame["method"]) == set(METHODS) - set(CONTROLS)
    assert frame["counter_share"].isna().all()
    assert set(frame["training_data"]) == {"577 real"}


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


def test_one_figure_has_a_panel_a_network_with_a_line_a_level(run):
    names = ("best_pixel:logit", "predicted:logit")
    results = run(models=("unet", "segformer"), targets=names, points=("conv", "relu"), counter=True)
    table, figure = diagnosis.analyse(results)
    assert figure.name == "diagnosis"
    axes = figure.figure.axes
    assert [panel.get_title(loc="left") for panel in axes] == ["U-Net", "SegFormer"]
    assert axes[0].get_ylabel() == "Sign balance before ReLU"
    assert all(sum(line.get_marker() != "None" for line in panel.lines) == 2 for panel in axes)
    assert "the weighted sum is negative everywhere" in table.caption
    assert "Rival class" in table.caption
    assert "Rival class" not in next(iter(diagnosis.analyse(run()))).caption


def test_the_title_counts_the_layers_that_speak_against_the_class(run):
    def change(frame):
        against = frame["layer"].isin(["Encoder 1_1", "Encoder 2_2"])
        return frame.assign(sign_balance=np.where(against, 0.2, 0.9).astype(np.float32))

    _, (figure,) = made(rewrite(run(levels=(90,)), change))
    assert figure.caption.finding == "More speaks against the class than for it at 2 of 6 layers in U-Net."


def test_the_title_compares_the_lowest_level_with_the_highest(run):
    def change(frame):
        against = frame["layer"].isin(["Encoder 1_1", "Encoder 2_2"]) | (frame["level"] == 30)
        return frame.assign(sign_balance=np.where(against, 0.2, 0.9).astype(np.float32))

    _, (figure,) = made(rewrite(run(levels=(30, 90)), change))
    assert figure.caption.finding == (
        "More speaks against the class than for it at 6 of 6 layers at 30 % and 2 of 6 at 90 % in U-Net."
    )
