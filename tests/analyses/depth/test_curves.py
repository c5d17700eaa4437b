from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, ResultsError
from analyses.depth import curves
from analyses.plots import layer_axis
from analyses.statistics import bootstrap
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import assert_labels_apart, assert_on_page, edit_manifest, key_of, rewrite, row, texts

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


def test_a_layer_that_the_manifest_lacks_is_refused(make):
    results = make(levels=(30,), seeds=(0,))
    path = results.folder / "scores" / "unet-s0-l30.parquet"
    frame = pd.read_parquet(path).astype({"layer": str})
    frame.loc[0, "layer"] = "Bridge"
    frame.to_parquet(path)
    with pytest.raises(ResultsError, match="layers Bridge are not in manifest"):
        curves.summarise(results)


NETWORKS = {"models": ("unet", "segformer", "vit"), "levels": (90, 100), "seeds": (0,), "gallery": 0}
NETWORKS |= {"extra_metrics": ("edge_thickness",), "targets": ("best_pixel:logit", "truth:margin")}
SHOWN = ["Energy gain ↑", "Edge alignment", "Edge thickness (px)", "Blank maps (share) ↓"]


@pytest.fixture(scope="module")
def drawn(make_in, tmp_path_factory):
    results = make_in(tmp_path_factory.mktemp("curves") / "run", **NETWORKS)
    _, figure = curves.analyse(results)
    assert_on_page(figure)
    return results, figure


def test_one_figure_has_a_row_a_metric_and_a_column_a_network(drawn):
    _, figure = drawn
    assert figure.name == "curves"
    rows = np.array(figure.figure.axes).reshape(4, 3)
    assert [one.replace("\n", " ").removesuffix(" ↑") for one in (axes.get_ylabel() for axes in rows[:, 0])] == [
        one.removesuffix(" ↑") for one in SHOWN
    ]
    assert [axes.get_title(loc="left") for axes in rows[0]] == ["U-Net", "SegFormer", "ViT"]
    assert all(sum(line.get_marker() != "None" for line in axes.lines) == 2 for axes in rows[0])
    assert all(len({axes.get_ylim() for axes in row}) == 1 for row in rows), "one axis a row"


def test_the_key_names_levels_and_blind_controls_alone(drawn):
    _, figure = drawn
    key = key_of(figure)
    assert key[:2] == ["90 % mean IoU", "best mean IoU"]
    assert {"Sobel", "Random", "chance"} <= set(key)
    assert not {"Uniform", "Mask oracle"} & set(key)


def test_the_title_says_which_layer_changes_most(drawn):
    results, figure = drawn
    frame = curves.summarise(results)
    gain = frame[(frame["metric"] == "energy_gain") & (frame["method"] == "grad_cam")]
    gain = gain[gain["target"] == "best_pixel:logit"].set_index(["model", "layer", "level"])["estimate"].unstack()
    model, layer = (gain[100] - gain[90]).abs().idxmax()
    assert f"{layer} in {results.label('models', model)}" in figure.caption.finding
    assert figure.caption.finding.startswith("Energy gain changes most at")


def test_a_level_that_no_seed_reached_is_named_in_the_key_and_keeps_its_colour(make):
    _, whole = curves.analyse(make(seeds=(0,), stages=1))
    _, part = curves.analyse(make(seeds=(0,), stages=1, unreached=frozenset({(0, 50)})))
    assert "50 % mean IoU: not reached" in key_of(part)
    colours = [[line.get_color() for line in item.figure.legends[0].get_lines()] for item in (whole, part)]
    assert colours[0] == colours[1]


def test_a_metric_undefined_everywhere_says_so(make):
    table, item = curves.analyse(make(undefined=("energy_gain",), levels=(30,), seeds=(0,)))
    rows = table.frame[table.frame["metric"] == "energy_gain"]
    assert rows["estimate"].isna().all()
    assert (rows["n_undefined"] == 3).all()
    assert "undefined for every map" in texts(item)
    assert item.caption.finding == ""


def test_many_layers_stand_role_by_role_and_their_labels_apart(drawn):
    results, figure = drawn
    for model, axes in zip(NETWORKS["models"], figure.figure.axes[-3:], strict=True):
        layers = layer_axis.by_role(results.layers(model))
        roles = [layer.role for layer in layers]
        assert [role for role, other in pairwise([*roles, ""]) if role != other] == list(dict.fromkeys(roles))
        assert sum(bool(label.get_text()) for label in axes.get_xticklabels()) >= len(layers) / 3
    assert_labels_apart(figure)
    assert "role by role" in figure.caption.reading


def test_lines_break_where_a_role_starts_over(drawn):
    _, figure = drawn
    lines = [line for line in figure.figure.axes[1].lines if line.get_marker() != "None"]
    gaps = [np.flatnonzero(np.isnan(line.get_xdata())) for line in lines]
    pieces = [np.diff([-1, *found, len(line.get_xdata())]) - 1 for found, line in zip(gaps, lines, strict=True)]
    assert [lengths.tolist() for lengths in pieces] == 2 * [[8, 8, 8, 5]]  # the decode head follows the last stage


def test_many_networks_take_more_than_one_figure(make):
    results = make(models=tuple(f"net{i}" for i in range(5)), seeds=(0,), levels=(30,), stages=1)
    assert [item.name for item in curves.analyse(results) if isinstance(item, Figure)] == ["curves", "curves-2"]


def test_the_best_level_is_named_with_its_value(make):
    _, item = curves.analyse(make(levels=(90, 100), seeds=(0,), stages=1))
    assert key_of(item)[:2] == ["90 % mean IoU", "best, 93.1 % mean IoU"]


def test_the_head_is_in_the_table_and_no_figure_of_its_own(make):
    table, *figures = curves.analyse(make(seeds=(0,), levels=(30,), stages=2, points=("conv", "head")))
    assert "Decoder 1_2 ReLU" in set(table.frame["layer"])
    assert len(figures) == 1


def test_the_main_method_and_controls_alone_have_curves_and_not_on_the_input(make):
    fields = {"methods": ("grad_cam", "hires_cam", "uniform", "sobel"), "input_methods": ("saliency", "occlusion")}
    results = make(seeds=(0,), levels=(30,), stages=2, **fields)
    frame = curves.summarise(results)
    assert set(frame["method"]) == {"grad_cam", "uniform", "sobel"}
    assert set(frame["layer"]) == {layer.name for layer in results.layers("unet")}
    assert (frame["n_images"] == 3).all()


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
