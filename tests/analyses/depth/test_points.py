"""The two probe points side by side."""

from __future__ import annotations

import pytest

from analyses.artifacts import Figure, Table
from analyses.depth import points


def test_nothing_for_a_run_of_one_point(make):
    assert list(points.analyse(make())) == []


def test_the_difference_is_paired_by_image_and_seed(make):
    results = make(points=("conv", "relu"), levels=(30, 90), self_trained=5)
    table, figure = points.analyse(results)
    key = figure.figure.legends[0]
    assert [text.get_text() for text in key.get_texts()] == ["30 % mean IoU", "90 % mean IoU"]
    assert isinstance(table, Table)
    assert isinstance(figure, Figure)
    frame = table.frame
    assert len(frame) == 2 * 18 * len(points.SHOWN)
    scores = results.scores({"method": ["grad_cam"], "level": [90]})
    scores = scores.assign(**{key: scores[key].astype(str) for key in ("layer", "image")})
    wide = scores.pivot(index=["seed", "image"], columns="layer", values="energy_gain")
    for layer in ("Encoder 1_2", "Decoder 2_2"):
        difference = wide[f"{layer} ReLU"] - wide[layer]
        row = frame[(frame["layer"] == layer) & (frame["level"] == 90) & (frame["metric"] == "energy_gain")].iloc[0]
        assert row["difference"] == pytest.approx(difference.mean(), abs=1e-5)
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["n_pairs"] == difference.notna().sum()
    assert len(figure.figure.axes) == len(points.SHOWN)
    assert [axes.get_ylabel().endswith("ReLU minus convolution") for axes in figure.figure.axes] == [True] * 3


def test_the_best_level_is_called_so(make):
    _, figure = points.analyse(make(points=("conv", "relu"), levels=(30, 100), stages=1))
    key = figure.figure.legends[0]
    assert [text.get_text() for text in key.get_texts()] == ["30 % mean IoU", "best mean IoU"]


def test_the_head_alone_is_no_comparison(make):
    assert list(points.analyse(make(points=("conv", "head")))) == []
