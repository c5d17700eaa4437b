"""Trends over the levels of networks that were there already."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.depth.trend import analyse, tabulate
from analyses.statistics.paired import page
from tests.analyses.checks import edit_manifest


def given(manifest):
    """Turn a trained model into one that was given, with named levels."""
    for model in manifest["models"].values():
        model["given"] = True
    for point in manifest["checkpoints"]:
        point["name"] = f"epoch {point['level']}"


def test_trained_networks_and_few_levels_have_none(make):
    assert list(analyse(make())) == []


def test_a_trend_is_pages(make):
    results = edit_manifest(make(levels=(30, 50, 70), seeds=(0,)), given)
    frame = tabulate(results)
    (table,) = analyse(results)
    assert table.name == "trend"
    row = frame.iloc[0]
    scores = results.scores({"method": [results.main_method]})
    scores = scores[(scores["layer"] == row["layer"]) & (scores["target"] == results.targets[0])]
    matrix = scores.pivot_table(index="image", columns="level", values=row["metric"], observed=True, dropna=False)
    expected = page(matrix.to_numpy())
    assert (row["effect"], row["p"]) == pytest.approx((expected.effect, expected.p), nan_ok=True)
    assert (row["first"], row["last"], row["n_levels"]) == ("epoch 30", "epoch 70", 3)
    whole = matrix.dropna().to_numpy()
    assert row["change"] == pytest.approx(np.mean(whole[:, 2] - whole[:, 0]))
    assert (frame["p_adjusted"] >= frame["p"] - 1e-12)[frame["p"].notna()].all()
