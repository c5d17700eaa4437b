from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Results
from analyses.comparisons import method_ranks
from tests.analyses.checks import assert_on_page
from tests.method_runs import METHODS, enrich
from tests.reference import statistics as slow

IMAGES = tuple(f"pet_{i:02d}" for i in range(12))
ORDER = {"sobel": 0.1, "random": 0.0, "grad_cam": 0.4}


@pytest.fixture
def results(make):
    run = enrich(make(stages=2, seeds=(0, 1), levels=(30, 90), methods=METHODS, images=IMAGES, gallery=0))
    rng = np.random.default_rng(0)
    for path in (run.folder / "scores").glob("*.parquet"):
        frame = pd.read_parquet(path)
        centre = frame["method"].astype(str).map(ORDER).fillna(0.2)
        frame["energy_gain"] = (centre + rng.normal(0, 0.3, len(frame))).astype(np.float32)
        frame.to_parquet(path, index=False)
    return Results(run.folder)


def test_mean_ranks_are_those_of_plain_means(results):
    table, figure = method_ranks.analyse(results)
    frame = table.frame
    assert (frame["level"] == 90).all()
    assert frame["mean_rank"].is_monotonic_increasing
    assert frame["method"].iloc[0] == "grad_cam"
    assert frame["method"].iloc[-1] == "random"
    scores = results.scores({"level": [90], "target": ["best_pixel:logit"], "method": frame["method"].tolist()})
    scores = scores.astype({"method": str, "image": str, "layer": str, "energy_gain": float})
    scores = scores[scores["layer"] != "Input"]  # where Grad-CAM has no maps
    means = scores.groupby(["image", "method"])["energy_gain"].mean().unstack("method")[frame["method"].tolist()]
    expected, _ = slow.friedman(means.to_numpy().tolist())
    np.testing.assert_allclose(frame["mean_rank"], expected, atol=1e-6)
    assert not frame["apart_from_best"].iloc[0]
    assert frame["apart_from_best"].iloc[-1]
    assert not {"uniform", "mask_oracle", "mask_displaced"} & set(frame["method"])
    assert (frame["n_images"] == len(IMAGES)).all()
    assert (
        figure.caption.finding
        == f"Best mean rank: Grad-CAM in U-Net ({frame['mean_rank'].iloc[0]:.2f}); Grad-CAM comes 1 of {len(frame)}."
    )
    assert f"critical difference {frame['critical_difference'].iloc[0]:.2f}" in figure.caption.details


def test_a_method_gains_nothing_from_maps_without_a_value(results):
    """Where one method's map is blank, no method is ranked: on the hard layers alone it would else look best."""
    for path in (results.folder / "scores").glob("*l90*"):
        frame = pd.read_parquet(path)
        hard = frame["layer"].astype(str) == "Encoder 1_1"
        frame.loc[hard, "energy_gain"] -= np.float32(8)
        frame.loc[hard & (frame["method"] == "sobel"), "energy_gain"] = np.float32(np.nan)
        frame.to_parquet(path, index=False)
    frame = next(iter(method_ranks.analyse(Results(results.folder)))).frame
    scores = Results(results.folder).scores({"level": [90], "method": frame["method"].tolist()})
    scores = scores.astype({"method": str, "image": str, "layer": str, "energy_gain": float})
    easy = scores[~scores["layer"].isin(["Input", "Encoder 1_1"])]
    means = easy.groupby(["image", "method"])["energy_gain"].mean().unstack("method")[frame["method"].tolist()]
    expected, _ = slow.friedman(means.to_numpy().tolist())
    np.testing.assert_allclose(frame["mean_rank"], expected, atol=1e-6)
    assert frame["method"].iloc[0] != "sobel"
    layers = frame["n_layers"].iloc[0]
    np.testing.assert_allclose(frame["share_of_maps"], (layers - 1) / layers, atol=1e-6)
    assert (frame["n_images"] == len(IMAGES)).all()


def test_a_method_without_values_is_left_out_and_so_is_a_network_without_its_main_one(results):
    path = next((results.folder / "scores").glob("*l90*"))
    frame = pd.read_parquet(path)
    for other in (results.folder / "scores").glob("*l90*"):
        if other != path:
            other.unlink()
    frame.loc[frame["method"] == "random", "energy_gain"] = np.float32(np.nan)
    frame.to_parquet(path, index=False)
    table, _ = method_ranks.analyse(Results(results.folder))
    assert "random" not in set(table.frame["method"])
    assert (table.frame["n_seeds"] == 1).all()
    frame.loc[frame["method"] == "grad_cam", "energy_gain"] = np.float32(np.nan)
    frame.to_parquet(path, index=False)
    assert not list(method_ranks.analyse(Results(results.folder)))


def test_one_axis_has_a_row_a_method_and_a_mark_a_network(make):
    run = enrich(make(models=("unet", "net2"), stages=2, seeds=(0,), levels=(90,), methods=METHODS, images=IMAGES))
    table, figure = method_ranks.analyse(run)
    (axes,) = figure.figure.axes
    assert figure.name == "method_ranks"
    places = [
        f"{list(rows['method']).index('grad_cam') + 1} of {len(rows)}"
        for _, rows in table.frame.groupby("model", sort=False)
    ]
    said = places[0] if len(set(places)) == 1 else " and ".join(places)
    assert figure.caption.finding.endswith(f"Grad-CAM comes {said}.")
    assert_on_page(figure)
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert sorted(float(line.get_xdata()[0]) for line in marks) == pytest.approx(
        sorted(table.frame["mean_rank"]), abs=1e-6
    )
    full = [line.get_markerfacecolor() != "white" for line in marks]
    assert sum(full) == (~table.frame["apart_from_best"]).sum()
    bars = [line for line in axes.lines if line.get_marker() == "|"]
    assert [np.ptp(line.get_xdata()) for line in bars] == pytest.approx(
        table.frame.drop_duplicates("model")["critical_difference"].tolist(), abs=1e-5
    )
    weights = {label.get_text(): label.get_fontweight() for label in axes.get_yticklabels()}
    assert [name for name, weight in weights.items() if weight == "bold"] == ["Grad-CAM"]
    assert {line.get_text() for line in figure.figure.legends[0].get_texts()} == {
        *("U-Net", "net2", "not worse than the best", "worse (Nemenyi)"),
    }
