"""The networks beside each other."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from analyses.depth import curves, family
from analyses.plots import style
from tests.analyses.checks import assert_on_page, key_of, texts

RUN = {"models": ("unet", "segformer", "vit"), "levels": (90, 100), "seeds": (0, 1), "gallery": 0}
LABELS = {"unet": "U-Net", "segformer": "SegFormer", "vit": "ViT"}


def drawn(results):
    table, *figures = family.analyse(results)
    return table, figures


def test_the_table_has_every_layer_of_every_model_at_its_highest_level(make):
    results = make(**RUN, unreached=frozenset({(0, 90), (0, 100), (1, 100)}))
    frame = drawn(results)[0].frame
    assert set(frame["level"]) == {90}
    assert set(frame["n_seeds"]) == {1}
    counts = frame[frame["metric"] == "energy_gain"].groupby("model").size()
    assert counts.to_dict() == {"unet": 18, "segformer": 29, "vit": 38}
    assert set(frame["metric"]) == set(family.SHOWN)
    ends = frame.groupby("model")["relative_depth"].agg(["min", "max"])
    assert (ends["min"] == 0).all()
    assert (ends["max"] == 1).all()
    last = frame[(frame["model"] == "segformer") & (frame["relative_depth"] == 1)]
    assert set(last["layer"]) == {"Decode head"}


def test_the_means_are_those_of_the_curves(results, items):
    keys = ["model", "level", "layer", "metric"]
    columns = ["estimate", "low", "high", "n_images", "n_undefined"]
    whole = curves.summarise(results)
    whole = whole[whole["method"] == "grad_cam"].set_index(keys)[columns]
    own = items[0].frame.set_index(keys)[columns]
    pd.testing.assert_frame_equal(own, whole.loc[own.index])


@pytest.fixture(scope="module")
def results(make_in, tmp_path_factory):
    return make_in(tmp_path_factory.mktemp("family") / "run", **RUN)


@pytest.fixture(scope="module")
def items(results):
    return drawn(results)


def test_models_are_told_apart_by_more_than_colour():
    looks = list(style.model_lines([f"m{i}" for i in range(7)]).values())
    assert len({look.color for look in looks}) == len({look.marker for look in looks}) == 7
    assert len({look.linestyle for look in looks[:4]}) == 4


def test_undefined_scores_are_said_to_be(make):
    results = make(**{**RUN, "models": ("unet",)}, undefined=("edge_alignment",))
    table, (item,) = drawn(results)
    said = [text.get_text() for axes in item.figure.axes for text in axes.texts]
    assert said[1:] == ["undefined for every map"]
    assert np.isnan(table.frame.loc[table.frame["metric"] == "edge_alignment", "estimate"]).all()


def test_a_column_a_network_and_a_line_a_role(items):
    table, (item,) = items
    assert (table.name, item.name) == ("family", "family")
    assert_on_page(item)
    rows = np.array(item.figure.axes).reshape(2, 3)
    assert [axes.get_ylabel() for axes in rows[:, 0]] == ["Energy gain", "Edge alignment"]
    best = "best, 93.1 to 93.2 %"
    assert [axes.get_title(loc="left") for axes in rows[0]] == [
        f"{name}\n{best}" for name in ("U-Net", "SegFormer", "ViT")
    ]
    frame = table.frame[table.frame["metric"] == "energy_gain"]
    for axes, model in zip(rows[0], RUN["models"], strict=True):
        sizes = frame[frame["model"] == model].groupby("role").size().sort_values().tolist()
        lines = [line for line in axes.lines if line.get_color() != "black"]
        assert sorted(len(line.get_xdata()) for line in lines) == sizes
        (decoder,) = [patch for patch in axes.patches if patch.get_width() > 0]
        first = frame[(frame["model"] == model) & (frame["role"] == "decoder")]["relative_depth"].min()
        assert 0 <= first - decoder.get_x() < 0.1
    assert {"encoder", "before attention", "mlp", "decoder", "95% interval", "chance"} <= set(key_of(item))


def test_the_title_names_the_highest_layer_of_each_network(items):
    table, (item,) = items
    said = item.caption.finding.split("; ")
    assert said[0].startswith("Energy gain is highest at ")
    assert said[1].startswith("edge alignment at ")
    for text, metric in zip(said, ("energy_gain", "edge_alignment"), strict=True):
        rows = table.frame[table.frame["metric"] == metric].set_index("layer")
        for model, of_model in rows.groupby("model"):
            assert re.search(rf"{of_model['estimate'].idxmax()}( and \d others?)? in {LABELS[model]}", text)
            assert of_model["estimate"].idxmax() in texts(item), "ringed and named"


def test_the_main_target_and_the_main_probe_point_alone(make):
    fields = {**RUN, "models": ("unet", "segformer"), "levels": (90,), "seeds": (0,)}
    results = make(**fields, targets=("best_pixel:logit", "truth:margin"), points=("conv", "relu"))
    table, figures = drawn(results)
    assert [item.name for item in figures] == ["family"]
    assert "target: best pixel" in figures[0].caption.details
    assert set(table.frame["target"]) == {"best_pixel:logit", "truth:margin"}
    assert not table.frame["layer"].str.endswith("ReLU").any()
