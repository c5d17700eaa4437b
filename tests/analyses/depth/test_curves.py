from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, ResultsError
from analyses.depth import curves
from analyses.statistics import bootstrap
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import edit_manifest, rewrite, row

COLUMNS = ["model", "level", "layer", "depth", "method", "target", "metric", "estimate", "low", "high", "chance"]
COLUMNS += ["n_images", "n_seeds", "n_undefined", "training_data"]


def test_each_row_is_the_bootstrap_of_its_matrix(make):
    results = make(seeds=(0, 1, 2))
    table, *_ = curves.analyse(results)
    assert list(table.frame.columns) == COLUMNS
    assert len(table.frame) == 4 * 18 * 5 * 7
    found = row(table.frame, level=70, layer="Encoder 3_2", method="grad_cam", metric="spread")
    raw = results.scores({"level": [70], "layer": ["Encoder 3_2"], "method": ["grad_cam"]})
    matrix = raw.astype({"image": str}).pivot(index="seed", columns="image", values="spread").to_numpy(dtype=float)
    wanted = bootstrap_interval(
        matrix, np.random.default_rng(bootstrap.SEED), bootstrap.RESAMPLES, bootstrap.CONFIDENCE
    )
    np.testing.assert_allclose(found[["estimate", "low", "high"]].astype(float), wanted, atol=1e-6)
    assert (found["n_images"], found["n_seeds"], found["n_undefined"]) == (3, 3, np.isnan(matrix).sum())
    assert found["training_data"] == "577 real"


def test_chance_is_a_number_the_area_or_nothing(make):
    frame = curves.summarise(make(levels=(30,)))
    chance = frame.groupby("metric")["chance"].first()
    assert chance["energy_inside"] == 0.25
    assert chance["background_ratio"] == 0.5
    assert np.isnan(chance["spread"])


def test_a_level_reached_by_some_seeds_counts_those(make):
    frame = curves.summarise(make(seeds=(0, 1, 2), unreached=frozenset({(1, 90), (0, 50), (1, 50), (2, 50)})))
    assert frame.groupby("level")["n_seeds"].first().to_dict() == {30: 3, 70: 3, 90: 2}


def test_a_level_that_no_seed_reached_is_named_in_the_key_and_keeps_its_colour(make):
    whole = list(curves.analyse(make(seeds=(0,), stages=1)))[-1]
    part = list(curves.analyse(make(seeds=(0,), stages=1, unreached=frozenset({(0, 50)}))))[-1]
    keys = [next(axes.get_legend() for axes in item.figure.axes if axes.get_legend()) for item in (whole, part)]
    assert "50 %: not reached" in [text.get_text() for text in keys[1].get_texts()]
    colours = [[line.get_color() for line in key.get_lines()] for key in keys]
    assert colours[0] == colours[1]


def test_a_panel_a_metric_with_a_line_a_level_and_named_controls(make):
    _, item = curves.analyse(make(seeds=(0, 1, 2), unreached=frozenset({(1, 90)})))
    panels = [axes for axes in item.figure.axes if axes.axison]
    assert len(panels) == 7
    gain = next(axes for axes in panels if axes.get_ylabel() == "Energy gain ↑")
    assert sum(line.get_marker() != "None" for line in gain.lines) == 4
    assert {text.get_text() for text in gain.texts} == {"Uniform", "Random", "Sobel", "Mask oracle"}
    assert any(axes.get_ylabel() == "Blank maps (share) ↓" for axes in panels)
    labels = [label.get_text() for label in panels[-1].get_xticklabels()]
    assert (labels[0], labels[-1], len(labels)) == ("Encoder 1_1", "Decoder 1_2", 18)
    key = [text.get_text() for axes in item.figure.axes if axes.legend_ for text in axes.legend_.get_texts()]
    assert "30 % mean IoU (3 seeds)" in key
    assert "90 % mean IoU (2 seeds)" in key
    assert item.name == "curves-unet-best_pixel-logit"


def test_a_figure_for_each_model_target_and_probe_point(make):
    results = make(
        models=("unet", "net2"),
        targets=("best_pixel:logit", "truth:margin"),
        points=("conv", "relu"),
        seeds=(0,),
        levels=(30,),
        stages=2,
    )
    names = [item.name for item in curves.analyse(results) if isinstance(item, Figure)]
    targets = ("best_pixel-logit", "truth-margin")
    assert names == [f"curves-{m}-{t}{p}" for m in ("unet", "net2") for t in targets for p in ("", "-relu")]


def test_a_metric_undefined_everywhere_says_so(make):
    table, item = curves.analyse(make(undefined=("spread",), levels=(30,), seeds=(0,)))
    rows = table.frame[table.frame["metric"] == "spread"]
    assert rows["estimate"].isna().all()
    assert (rows["n_undefined"] == 3).all()
    panel = next(axes for axes in item.figure.axes if axes.get_ylabel() == "Spread")
    assert "undefined for every map" in [text.get_text() for text in panel.texts]


def test_a_layer_that_the_manifest_lacks_is_refused(make):
    results = make(levels=(30,), seeds=(0,))
    path = results.folder / "scores" / "unet-s0-l30.parquet"
    frame = pd.read_parquet(path).astype({"layer": str})
    frame.loc[0, "layer"] = "Bridge"
    frame.to_parquet(path)
    with pytest.raises(ResultsError, match="layers Bridge are not in manifest"):
        curves.summarise(results)


TRANSFORMERS = {"models": ("segformer", "vit"), "levels": (90, 100), "seeds": (0,), "gallery": 0}


@pytest.mark.parametrize("model", ["segformer", "vit"])
def test_many_layers_stand_role_by_role_and_their_labels_apart(make, model):
    results = make(**TRANSFORMERS)
    layers = curves.by_role(results.layers(model))
    roles = [layer.role for layer in layers]
    assert [role for role, other in pairwise([*roles, ""]) if role != other] == list(dict.fromkeys(roles))
    item = next(item for item in curves.analyse(results) if item.name.startswith(f"curves-{model}"))
    item.figure.draw_without_rendering()
    panels = [axes for axes in item.figure.axes if axes.axison]
    labels = [label for label in panels[-1].get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert len(labels) >= len(layers) / 2 - len(set(roles))
    assert all(one.x1 <= two.x0 for one, two in pairwise(boxes))
    assert "Layers stand role by role" in str(item.caption)


def test_lines_break_where_a_role_starts_over(make):
    item = next(item for item in curves.analyse(make(**TRANSFORMERS)) if item.name.startswith("curves-segformer"))
    gain = next(axes for axes in item.figure.axes if axes.get_ylabel() == "Energy gain ↑")
    lines = [line for line in gain.lines if line.get_marker() != "None"]
    gaps = [np.flatnonzero(np.isnan(line.get_xdata())) for line in lines]
    pieces = [np.diff([-1, *found, len(line.get_xdata())]) - 1 for found, line in zip(gaps, lines, strict=True)]
    assert [lengths.tolist() for lengths in pieces] == 2 * [[8, 8, 8, 5]]  # the decode head follows the last stage
    whole = next(item for item in curves.analyse(make(levels=(90,), seeds=(0,))) if isinstance(item, Figure))
    assert "role by role" not in str(whole.caption)


def test_the_best_level_is_named_with_its_value(make):
    item = list(curves.analyse(make(levels=(90, 100), seeds=(0,), stages=1)))[-1]
    key = next(axes.get_legend() for axes in item.figure.axes if axes.get_legend())
    assert [text.get_text() for text in key.get_texts()][:2] == [
        "90 % mean IoU (1 seed)",
        "best, 93.1 % mean IoU (1 seed)",
    ]


def test_the_main_method_and_controls_alone_have_curves_and_not_on_the_input(make):
    fields = {"methods": ("grad_cam", "hires_cam", "uniform", "sobel"), "input_methods": ("saliency", "occlusion")}
    results = make(seeds=(0,), levels=(30,), stages=2, **fields)
    frame = curves.summarise(results)
    assert set(frame["method"]) == {"grad_cam", "uniform", "sobel"}
    assert set(frame["layer"]) == {layer.name for layer in results.layers("unet")}
    assert (frame["n_images"] == 3).all()


def test_the_head_is_in_the_table_and_no_figure_of_its_own(make):
    table, *figures = curves.analyse(make(seeds=(0,), levels=(30,), stages=2, points=("conv", "head")))
    assert "Decoder 1_2 ReLU" in set(table.frame["layer"])
    assert [figure.name for figure in figures] == ["curves-unet-best_pixel-logit"]


def test_intervals_end_at_the_metric_s_bounds(make):
    inside = {"lower": 0.4, "upper": 0.45}
    results = edit_manifest(make(seeds=(0, 1)), lambda m: m["metrics"]["energy_inside"].update(inside))
    results = rewrite(results, lambda rows: rows.assign(energy_inside=rows["energy_inside"].clip(0.4, 0.45)))
    frame = curves.summarise(results)
    cut, free = frame[frame["metric"] == "energy_inside"], frame[frame["metric"] == "energy_gain"]
    assert len(cut)
    assert cut["low"].min() == 0.4
    assert cut["high"].max() == 0.45
    assert (free["high"] > free["low"]).any()
