"""A metric's means by layer: plain means, counts and chance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses.reading.cubes import Cube
from analyses.reading.manifest import Layer, Metric
from analyses.statistics.layer_means import layer_means

LAYERS = [Layer(label=name, depth=depth) for depth, name in enumerate(("first", "second", "unseen"), 1)]
METRICS = [
    Metric(name="share", label="", lower=0.0, upper=1.0, chance="area"),
    Metric(name="width", label="", chance=0.25),
    Metric(name="balance", label="", chance="uniform"),
    Metric(name="other", label=""),
]


def rows() -> pd.DataFrame:
    """Two seeds, three images; of the first layer one map has no share, of the second one seed has two maps."""
    keys = [("first", seed, image) for seed in (0, 1) for image in "abc"]
    keys += [("second", 0, image) for image in "abc"] + [("second", 1, image) for image in "ab"]
    frame = pd.DataFrame(keys, columns=["layer", "seed", "image"])
    rng = np.random.default_rng(0)
    frame = frame.assign(share=rng.uniform(0.2, 0.8, 11), width=rng.normal(5, 1, 11), balance=0.0, training_data="pets")
    frame.loc[1, "share"] = math.nan
    return frame.assign(area=np.linspace(0.1, 0.3, 11))


def arrays(frame: pd.DataFrame) -> Cube:
    """Return the rows as arrays over layer, seed and image."""
    axes: dict[str, list[Any]] = {"layer": [layer.name for layer in LAYERS], "seed": [0, 1], "image": list("abc")}
    index = pd.MultiIndex.from_product(axes.values())
    placed = frame.set_index(list(axes)).reindex(index)
    shape = tuple(map(len, axes.values()))
    numbers = {name: placed[name].to_numpy(float).reshape(shape) for name in placed if name != "training_data"}
    return Cube(axes, numbers, placed["balance"].notna().to_numpy().reshape(shape), "pets")


def test_rows_are_plain_means_with_what_they_are_of() -> None:
    frame = rows()
    found = pd.DataFrame(layer_means(arrays(frame), LAYERS, METRICS)).set_index(["layer", "metric"])
    assert list(found.index.unique("layer")) == ["first", "second"], "a layer without maps has no row"
    assert list(found.index.unique("metric")) == ["share", "width", "balance"], "what was not measured has none"
    for (layer, metric), row in found.iterrows():
        values = frame.loc[frame["layer"] == layer, metric]
        assert row["estimate"] == pytest.approx(values.mean())
        assert row["n_undefined"] == (1 if (layer, metric) == ("first", "share") else 0)
        assert (row["n_images"], row["n_seeds"], row["training_data"]) == (3, 2, "pets")
        assert row["low"] <= row["estimate"] <= row["high"]
        assert row["depth"] == {"first": 1, "second": 2}[layer]
    assert found.loc["first", "chance"].to_dict() == pytest.approx(
        {"share": 0.2, "width": 0.25, "balance": math.nan}, nan_ok=True
    )
    without = pd.DataFrame(layer_means(arrays(frame.drop(columns="area")), LAYERS, METRICS[:1]))
    assert without["chance"].isna().all()
