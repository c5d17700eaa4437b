"""The networks beside each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analyses.depth import curves, family
from analyses.plots import style
from tests.analyses.checks import assert_on_page, key_of

RUN = {"models": ("unet", "segformer", "vit"), "levels": (90, 100), "seeds": (0, 1), "gallery": 0}


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


def test_a_line_a_model_and_faint_dots_for_attention(items):
    table, (item,) = items
    assert (table.name, item.name) == ("family", "family-best_pixel-logit")
    gain, edges = item.figure.axes
    assert (gain.get_ylabel(), edges.get_ylabel()) == ("Energy gain", "Edge alignment")
    lines = [line for line in gain.lines if line.get_linestyle() != "None" and line.get_color() != "black"]
    looks = style.model_lines(RUN["models"])
    wanted = {look.color: n for look, n in zip(looks.values(), (18, 13, 14), strict=True)}
    assert {line.get_color(): len(line.get_xdata()) for line in lines} == wanted
    faint = [dots for dots in gain.collections if dots.get_alpha() == 0.4]
    assert [len(dots.get_offsets()) for dots in faint] == [16, 24]
    assert [to_hex(dots.get_facecolor()[0]) for dots in faint] == [looks[m].color for m in ("segformer", "vit")]


def test_the_key_names_model_level_and_seeds(items):
    _, (item,) = items
    key = key_of(item)
    assert key[0] == "U-Net: best, 93.1 to 93.2 % mean IoU (2 seeds)"
    assert {"hollow: decoder", "faint: before or after attention", "95% interval", "chance"} <= set(key)
    assert_on_page(item)


def test_one_model_without_attention_will_do(make):
    _, (item,) = drawn(make(stages=2, seeds=(0,), gallery=0))
    key = key_of(item)
    assert key[0] == "U-Net: 90 % mean IoU (1 seed)"
    assert not any("faint" in text for text in key)


def test_a_figure_a_target_and_the_main_probe_point_alone(make):
    fields = {**RUN, "models": ("unet", "segformer"), "levels": (90,), "seeds": (0,)}
    results = make(**fields, targets=("best_pixel:logit", "truth:margin"), points=("conv", "relu"))
    table, figures = drawn(results)
    assert [item.name for item in figures] == ["family-best_pixel-logit", "family-truth-margin"]
    assert not table.frame["layer"].str.endswith("ReLU").any()


def test_models_are_told_apart_by_more_than_colour():
    looks = list(style.model_lines([f"m{i}" for i in range(7)]).values())
    assert len({look.color for look in looks}) == len({look.marker for look in looks}) == 7
    assert len({look.linestyle for look in looks[:4]}) == 4


def test_undefined_scores_are_said_to_be(make):
    results = make(**{**RUN, "models": ("unet",)}, undefined=("edge_alignment",))
    table, (item,) = drawn(results)
    said = [text.get_text() for axes in item.figure.axes for text in axes.texts]
    assert said == ["undefined for every map"]
    assert np.isnan(table.frame.loc[table.frame["metric"] == "edge_alignment", "estimate"]).all()


@pytest.mark.parametrize(("name", "count"), [("unet", 18), ("segformer", 13)])
def test_layers_before_the_decoder_are_filled_and_its_own_hollow(make, name, count):
    _, (item,) = drawn(make(**{**RUN, "models": (name,), "levels": (90,)}))
    filled, hollow = [line for line in item.figure.axes[0].lines if line.get_linestyle() == "None"]
    assert hollow.get_markerfacecolor() == "white"
    assert len(filled.get_xdata()) + len(hollow.get_xdata()) == count
