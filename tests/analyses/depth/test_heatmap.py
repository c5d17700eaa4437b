"""Means by layer and level."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyses.depth import heatmap
from tests.analyses.checks import rewrite
from tests.reference.profiles import over_seeds

IMAGES = tuple(f"cat_{i}" for i in range(5))


def made(results):
    (table,) = heatmap.analyse(results)
    return table


def test_each_cell_is_the_mean_over_images_of_the_mean_over_seeds(make):
    results = make(seeds=(0, 1, 2), stages=2, images=IMAGES, unreached=frozenset({(1, 90)}))
    table = made(results)
    scores = results.scores().astype({"image": str, "layer": str, "method": str})
    scores = scores[scores["method"] == "grad_cam"]
    assert len(table.frame) == 7 * 4 * 6
    for row in table.frame.sample(40, random_state=0).to_dict("records"):
        part = scores[(scores["layer"] == row["layer"]) & (scores["level"] == row["level"])]
        seen: dict[str, dict[int, float]] = {}
        for one in part.to_dict("records"):
            seen.setdefault(one["image"], {})[one["seed"]] = float(one[row["metric"]])
        means = [over_seeds(values) for values in seen.values()]
        known = [mean for mean in means if not math.isnan(mean)]
        assert row["mean"] == pytest.approx(sum(known) / len(known), abs=1e-6)
        undefined = sum(math.isnan(value) for values in seen.values() for value in values.values())
        assert (row["n_images"], row["n_undefined"], row["n_maps"]) == (len(known), undefined, len(part))
        assert row["n_seeds"] == (2 if row["level"] == 90 else 3)


def test_chance_is_a_number_the_mean_area_or_nothing(make):
    chance = made(make(stages=1)).frame.groupby("metric")["chance"].first()
    assert (chance["background_ratio"], chance["energy_inside"]) == (0.5, 0.25)
    assert np.isnan(chance["spread"])


def test_the_target_is_the_first_with_values_for_half_of_the_maps(make):
    results = make(stages=2, targets=("best_pixel:logit", "predicted:logit"))
    assert set(made(results).frame["target"]) == {"best_pixel:logit"}

    def blank(frame):
        gone = (frame["target"].astype(str) == "best_pixel:logit") & (np.arange(len(frame)) % 10 < 7)
        return frame.assign(**{m.name: frame[m.name].mask(gone) for m in results.metrics})

    table = made(rewrite(results, blank))
    assert set(table.frame["target"]) == {"predicted:logit"}
