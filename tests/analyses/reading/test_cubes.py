"""Columns as arrays: each number in its place, whatever the files are like, and errors that name the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses import Results, ResultsError
from analyses.reading.cubes import cube, known_layers, there
from analyses.reading.files import SCORES
from analyses.reading.scan import Scan

FIELDS = {"models": ("unet", "vit"), "levels": (30, 90), "seeds": (0, 2), "stages": 2, "gallery": 0}
WHERE = {"model": ["unet"], "level": [90]}
METHODS = ["sobel", "grad_cam"]


@pytest.fixture
def results(make: Callable[..., Results]) -> Results:
    return make(**FIELDS, input_methods=("occlusion",))


def changed(results: Results, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    path = results.folder / "scores" / f"{name}.parquet"
    frame = pd.read_parquet(path)
    change(frame.astype({"layer": str, "image": str})).to_parquet(path)
    return path


def test_each_number_is_in_its_place(results: Results) -> None:
    layers = [layer.name for layer in results.main_layers("unet")][::-1]
    axes = {"method": METHODS, "layer": layers, "seed": None, "image": None}
    found = cube(results, WHERE, axes, ["spread"], optional=["energy_gain", "nothing such"])
    assert found.axes == {"method": METHODS, "layer": layers, "seed": [0, 2], "image": ["cat_1", "cat_3", "dog_2"]}
    assert found.values.keys() == {"spread", "energy_gain"}
    assert found.values["spread"].dtype == np.float32
    assert found.present.all()
    assert found.training_data == "577 real"
    frame = results.scores({**WHERE, "method": METHODS, "layer": layers}).set_index(
        ["method", "layer", "seed", "image"]
    )
    assert len(frame) == found.present.size
    for at in np.ndindex(found.present.shape):
        key = tuple(values[i] for values, i in zip(found.axes.values(), at, strict=True))
        for name, values in found.values.items():
            np.testing.assert_equal(values[at], frame.loc[key, name])


def test_keys_without_rows_are_left_out_where_nobody_asked_for_them(results: Results) -> None:
    axes = {"method": ["occlusion"], "layer": ["Input", "Encoder 1_1"], "seed": None, "image": None}
    found = cube(results, WHERE, axes, ["spread"])
    assert found.axes["image"] == ["cat_1"]
    assert found.present.tolist() == [[[[True], [True]], [[False], [False]]]]
    assert np.isnan(found.values["spread"][0, 1]).all()
    assert there(results, {**WHERE, "method": ["occlusion"]}, ["layer", "image"]) == {
        "layer": ["Input"],
        "image": ["cat_1"],
    }
    nothing = cube(results, {**WHERE, "target": ["none"]}, axes, ["spread"])
    assert nothing.present.size == 0


def test_files_may_lack_columns_and_have_wider_numbers(results: Results) -> None:
    changed(results, "unet-s0-l90", lambda frame: frame.drop(columns="spread"))
    changed(results, "unet-s2-l90", lambda frame: frame.assign(gini=np.float64(1) / 3))
    axes = {"layer": ["Encoder 1_1"], "seed": None, "image": None}
    where = {**WHERE, "method": ["grad_cam"]}
    found = cube(results, where, axes, (), optional=["spread", "gini"])
    assert np.isnan(found.values["spread"][0, 0]).all()
    assert found.values["gini"].dtype == np.float64
    assert found.values["gini"][0].tolist() == [pytest.approx([np.nan] * 3, nan_ok=True), [1 / 3] * 3]
    with pytest.raises(ResultsError, match=r"unet-s0-l90\.parquet: 'spread' is missing"):
        cube(results, where, axes, ["spread"])


def test_a_map_that_is_there_twice_is_refused(results: Results) -> None:
    changed(results, "unet-s0-l90", lambda frame: pd.concat([frame, frame[:1]]))
    axes = {"method": None, "layer": None, "seed": None, "image": None}
    with pytest.raises(ResultsError, match="scores: a row is there twice"):
        cube(results, {**WHERE, "target": list(results.targets)}, axes, ["spread"])


def test_a_file_whose_pages_are_damaged_is_named(results: Results) -> None:
    path = results.folder / "scores" / "unet-s2-l90.parquet"
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"unet-s2-l90\.parquet: cannot be read"):
        cube(results, WHERE, {"method": METHODS, "layer": None, "seed": None, "image": None}, ["spread"])


def test_layers_that_the_manifest_lacks_are_named(results: Results) -> None:
    known_layers(results, "vit", 90, [*results.layers("vit"), results.input_layer("vit")])
    changed(results, "vit-s0-l90", lambda frame: frame.replace({"layer": {"MLP 1": "Bridge", "Mlp 1": "Bridge"}}))
    with pytest.raises(ResultsError, match="layers Bridge are not in manifest"):
        known_layers(results, "vit", 90, [*results.layers("vit"), results.input_layer("vit")])
    known_layers(results, "vit", 30, [*results.layers("vit"), results.input_layer("vit")])


def test_groups_of_rows_are_those_of_pandas(results: Results) -> None:
    rows = Scan(results.required(SCORES), {"level": [30]})
    found = rows.groups(["model", "seed"], {"rows": "count(*)", "mean": "avg(area)"})
    frame = results.scores({"level": [30]}).groupby(["model", "seed"], observed=True)["area"].agg(["size", "mean"])
    assert found == [(*key, *values) for key, values in zip(frame.index, frame.itertuples(index=False), strict=True)]
    assert Scan(results.required(SCORES), {"level": []}).groups(["model"], {}) == []
