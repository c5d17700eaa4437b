"""Whether a score would come out again, from a made-up run whose reliability is planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.reading.results import Results
from analyses.trust import reliability
from tests.analyses.checks import assert_on_page, rewrite, row, split
from tests.method_runs import CAM

IMAGES = tuple(f"cat_{i}" for i in range(24))
SMALL = {"stages": 1, "levels": (90,), "methods": (*CAM, "uniform", "sobel"), "images": IMAGES, "gallery": 0}


def plant(results: Results) -> Results:
    """Give each image a gain that every training repeats, and each method its own; edges are of the map alone."""
    place = {name: i for i, name in enumerate(IMAGES)}

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        methods = frame["method"].map({name: k / 10 for k, name in enumerate(CAM)}).fillna(0.0)
        rng = np.random.default_rng(int(frame["seed"].iloc[0]))
        return frame.assign(
            energy_gain=frame["image"].map(place) / 100 + methods, edge_alignment=rng.standard_normal(len(frame)) / 9
        )

    return rewrite(results, change)


@pytest.fixture(scope="module")
def made(make_in, tmp_path_factory):
    return split(reliability.analyse(plant(make_in(tmp_path_factory.mktemp("reliable") / "run", **SMALL))))


def test_what_every_training_repeats_is_reliable_and_noise_is_not(made) -> None:
    sure, noise = (row(made[0].frame, metric=name) for name in ("energy_gain", "edge_alignment"))
    assert (sure["icc"], sure["icc_least"], sure["icc_most"]) == (1, 1, 1)
    assert (sure["trainings"], sure["n_seeds"], sure["n_images"]) == (1, 2, len(IMAGES))
    assert noise["icc"] < 0.3
    assert noise["icc_least"] <= noise["icc"] <= noise["icc_most"]
    assert noise["trainings"] > 5


def test_methods_in_one_order_everywhere_agree_and_chance_does_not(made) -> None:
    sure, noise = (row(made[0].frame, metric=name) for name in ("energy_gain", "edge_alignment"))
    assert sure["n_methods"] == len(CAM)
    assert sure["w_images"] == pytest.approx(1)
    assert sure["w_seeds"] == pytest.approx(1)
    assert (sure["dependability"], sure["images_needed"], sure["trainings_needed"]) == (1, 1, 1)
    assert noise["w_images"] < 0.4
    assert noise["dependability"] < 0.8


def test_the_title_names_the_most_and_the_least_reliable(made) -> None:
    (figure,) = made[1]
    rows = made[0].frame.sort_values("icc")
    finding = figure.caption.finding
    assert f"in {int((rows['icc'] >= 0.8).sum())} of {len(rows)} cases" in finding
    assert "most has Energy gain in U-Net" in finding
    assert_on_page(figure)


def test_of_one_training_only_orders_over_images_are_told(make) -> None:
    table, figures = split(reliability.analyse(plant(make(**SMALL, seeds=(0,)))))
    sure = row(table.frame, metric="energy_gain")
    assert figures == []
    assert sure[["icc", "trainings", "w_seeds", "trainings_needed"]].isna().all()
    assert sure["w_images"] == pytest.approx(1)
    assert "With one training" in table.caption


def test_nothing_where_nothing_can_be_said(make) -> None:
    assert list(reliability.analyse(plant(make(**SMALL | {"methods": ("grad_cam", "uniform")}, seeds=(0,))))) == []
