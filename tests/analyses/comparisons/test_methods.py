"""Every method against the controls."""

from __future__ import annotations

from itertools import takewhile

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PatchCollection, PathCollection

from analyses import Figure, Table
from analyses.comparisons import methods, methods_summary
from analyses.plots.cells import SMALL as SMALL_CELL
from analyses.plots.method_heatmaps import draw_layers, pages
from analyses.reading.catalogue import AGAINST, BLIND, FEWEST, entries
from analyses.statistics.bootstrap import CONFIDENCE, RESAMPLES, SEED
from analyses.statistics.intervals import bootstrap_interval
from tests import method_runs
from tests.analyses.checks import assert_labels_apart, assert_on_page, edit_manifest, key_of, rewrite, row
from tests.method_runs import IMAGES, METHODS, enrich

SMALL = {"stages": 2, "seeds": (0, 1), "levels": (30, 90), "methods": METHODS, "images": IMAGES, "gallery": 0}
LAST = "Decoder 1_2 ReLU"


@pytest.fixture
def run(make):
    """Return a function that makes a run of many methods; what is no field of the plan goes to `enrich`."""

    def build(**fields):
        extra = {name: fields.pop(name) for name in ("skipped", "own_pass_ids", "counter") if name in fields}
        return enrich(make(**{**SMALL, **fields}), **extra)

    return build


@pytest.fixture(scope="module")
def results(make_in, tmp_path_factory):
    return enrich(make_in(tmp_path_factory.mktemp("methods") / "run", **SMALL))


@pytest.fixture(scope="module")
def tables(results):
    return tabled(results)


def made(results):
    items = [*methods.analyse(results), *methods_summary.analyse(results)]
    tables = {item.name: item.frame for item in items if isinstance(item, Table)}
    return tables, {item.name: item for item in items if isinstance(item, Figure)}


def tabled(results):
    """Make the tables alone: no figure is drawn before it is asked for."""
    made = (methods.analyse(results), methods_summary.analyse(results))
    items = [item for one in made for item in takewhile(lambda item: isinstance(item, Table), one)]
    return {item.name: item.frame for item in items}


def matrix(results, method, layer, metric, level=90, target="best_pixel:logit"):
    """Seeds x images of one method and layer, over the images that the method has maps of."""
    rows = results.scores({"method": [method], "layer": [layer], "level": [level], "target": [target]})
    return rows.astype({"image": str}).pivot(index="seed", columns="image", values=metric).astype(float)


def test_methods_stand_by_family_and_those_of_the_input_behind(results):
    names = [entry.name for entry in entries(results)]
    assert names == [*METHODS[:9], "attention_rollout", *method_runs.CONTROLS]
    assert [entry.scope for entry in entries(results)][6:9] == ["layer", "input", "input"]


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "sobel"])
def test_means_are_bootstraps_over_the_methods_own_images(results, tables, method):
    found = row(tables["methods"], level=90, layer="Encoder 2_1", method=method, target="best_pixel:logit")
    values = matrix(results, method, "Encoder 2_1", "energy_gain").to_numpy()
    wanted = bootstrap_interval(values, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE)
    numbers = [found["energy_gain"], found["energy_gain_low"], found["energy_gain_high"]]
    np.testing.assert_allclose(numbers, wanted, atol=1e-6)
    assert found["energy_gain_n"] == (~np.isnan(values)).any(axis=0).sum()
    assert (found["n_images"], found["n_seeds"]) == (6 if method == "score_cam" else 12, 2)
    blank = matrix(results, method, "Encoder 2_1", "blank").to_numpy()
    assert found["blank_share"] == pytest.approx((blank == 1).mean(), abs=1e-6)
    assert found["undefined_share"] == pytest.approx(np.isnan(blank).mean(), abs=1e-6)
    assert (found["undefined_share"] > 0) == (method == "grad_cam")


def test_all_levels_and_targets_have_means_and_the_highest_one_contrasts(run):
    targets = ("best_pixel:logit", "predicted:logit")
    tables = tabled(run(targets=targets, unreached=frozenset({(0, 90), (1, 90)}), levels=(30, 50, 90)))
    assert set(tables["methods"]["level"]) == {30, 50}
    assert set(tables["methods"]["target"]) == set(targets)
    for name in ("methods_contrasts", "methods_summary"):
        assert set(tables[name]["level"]) == {50}
        assert set(tables[name]["target"]) == {targets[0]}


def test_the_target_that_most_methods_explain_is_shown(run):
    results = run(targets=("best_pixel:logit", "predicted:logit"))
    own_passes = results.own_passes

    def change(frame):
        return frame[~frame["method"].isin(own_passes) | (frame["target"] == "predicted:logit")]

    tables, figures = made(rewrite(results, change))
    assert set(tables["methods_summary"]["target"]) == {"predicted:logit"}
    assert all("target: predicted, logit" in str(figure.caption) for figure in figures.values())


@pytest.mark.parametrize("method", ["layer_cam", "ablation_cam"])
def test_contrasts_are_paired_on_common_images(results, tables, method):
    found = row(tables["methods_contrasts"], layer="Decoder 1_1", method=method, control="sobel")
    one, two = (matrix(results, name, "Decoder 1_1", "edge_alignment") for name in (method, "sobel"))
    difference = (one - two[one.columns]).to_numpy()
    wanted = bootstrap_interval(difference, np.random.default_rng(SEED), RESAMPLES, CONFIDENCE)
    numbers = [found["edge_alignment"], found["edge_alignment_low"], found["edge_alignment_high"]]
    np.testing.assert_allclose(numbers, wanted, atol=1e-6)
    assert found["edge_alignment_n"] == (~np.isnan(difference)).any(axis=0).sum() <= len(one.columns)
    assert set(tables["methods_contrasts"]["control"]) == set(AGAINST)
    assert not set(tables["methods_contrasts"]["method"]) & set(method_runs.CONTROLS)


def test_the_summary_gives_each_layer_the_same_weight(tables):
    means = tables["methods"]
    means = means[(means["level"] == 90) & (means["method"] == "grad_cam")]
    found = row(tables["methods_summary"], method="grad_cam", metric="energy_gain", scope="layer")
    assert found["estimate"] == pytest.approx(means["energy_gain"].mean(), abs=2e-6)
    assert found["low"] < found["estimate"] < found["high"]
    assert found["high"] - found["low"] < (means["energy_gain_high"] - means["energy_gain_low"]).mean()
    pairs = tables["methods_contrasts"]
    for control in AGAINST:
        part = pairs[(pairs["method"] == "grad_cam") & (pairs["control"] == control)]
        assert found[f"minus_{control}"] == pytest.approx(part["energy_gain"].mean(), abs=2e-6)
        assert found[f"layers_tested_{control}"] == (part["energy_gain_n"] >= FEWEST).sum() == found["n_layers"]
        assert found[f"layers_above_{control}"] == (part["energy_gain_low"] > 0).sum()
        assert found[f"layers_below_{control}"] == (part["energy_gain_high"] < 0).sum()
    assert found["layers_above_sobel"] > 0


def test_too_few_images_count_for_no_layer(run):
    tables = tabled(run(own_pass_ids=IMAGES[: FEWEST - 1]))
    found = row(tables["methods_summary"], method="score_cam", metric="energy_gain", scope="layer")
    assert found["layers_tested_sobel"] == found["layers_above_sobel"] == found["layers_below_sobel"] == 0
    assert found["minus_sobel"] > 0.1


def test_controls_are_there_for_layers_and_for_the_input_but_not_against_each_other(tables):
    sobel = tables["methods_summary"].query("method == 'sobel' and metric == 'energy_gain'")
    assert dict(zip(sobel["scope"], sobel["n_layers"], strict=True)) == {"layer": 6, "input": 1}
    assert sobel["minus_random"].isna().all()
    saliency = tables["methods_summary"].query("method == 'captum_saliency'")
    assert set(saliency["scope"]) == {"input"}
    assert saliency["minus_activation"].isna().all()
    assert saliency["minus_sobel"].notna().all()


def test_the_layer_behind_the_last_relu_is_the_only_one_of_its_point(run):
    results = run(points=("conv", "relu"))
    tables, figures = made(results)
    layers = set(tables["methods"]["layer"]) - {"Input"}
    assert layers == {layer.name for layer in results.main_layers("unet")} | {LAST}
    assert f"{LAST}: behind the last ReLU" in figures["methods"].caption.details
    assert "behind" not in figures["methods_summary"].caption.details


def test_text_is_legible_and_on_the_page_and_labels_apart(run):
    gaps = [{"model": "unet", "layer": "", "method": "attention_rollout", "reason": "no attention", "cells": 1}]
    _, figures = made(run(stages=5, seeds=(0,), levels=(90,), points=("conv", "relu"), skipped=gaps))
    for item in figures.values():
        assert_on_page(item)
        assert_labels_apart(item)
    rows = [label.get_text() for label in figures["methods"].figure.axes[0].get_yticklabels()]
    assert {"CAM family", "Perturbation (n = 6)", "Captum, on the input (n = 6)", "Controls", "Score cam"} <= set(rows)
    columns = [label.get_text() for label in figures["methods"].figure.axes[0].get_xticklabels()]
    assert (columns[0], columns[-1]) == ("Input", LAST)
    assert not {"Attention rollout"} & set(rows), "skipped throughout"
    key = key_of(figures["methods"])
    assert "fewer than 10 images" in key
    assert "no maps" not in key


def panel(results, model="unet"):
    """Draw the first panel of a model's heat map, and return its axes and the row and column of each label."""
    tables = tabled(results)
    means = tables["methods"].query(f"level == 90 and model == '{model}'")
    metric = next(metric for metric in results.metrics if metric.name == "energy_gain")
    axes = draw_layers(results, [model], means, tables["methods_contrasts"], metric).axes[0]
    names = {label.get_text(): y for label, y in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    return axes, names


@pytest.mark.parametrize("gaussian", [0.4, 0.99])
def test_a_dot_is_where_a_method_beats_every_blind_control(run, gaussian):
    def change(frame):
        gain = frame["energy_gain"].mask(frame["method"].isin(BLIND), 0.4).mask(frame["method"] == "gaussian", gaussian)
        values = np.where(frame["layer"] == "Encoder 1_2", 0.99, -0.5)
        return frame.assign(energy_gain=gain.mask(frame["method"] == "layer_cam", values))

    axes, rows = panel(rewrite(run(), change))
    dots = [tuple(at) for c in axes.collections if isinstance(c, PathCollection) for at in c.get_offsets()]
    of_row = [x for x, y in dots if y == rows["Layer cam"]]
    assert of_row == ([axes.get_xticks()[2]] if gaussian < 0.5 else [])  # the input, Encoder 1_1, Encoder 1_2


@pytest.mark.parametrize(("share", "lines"), [(0.4, 0), (0.7, 1), (1.0, 2)])
def test_blank_maps_are_marked(run, share, lines):
    def change(frame):
        at = (frame["method"] == "hires_cam") & (frame["layer"] == "Decoder 1_1")
        blank = at & frame["image"].isin(IMAGES[: round(share * len(IMAGES))])
        frame.loc[at, "blank"] = blank[at].astype(np.float32)
        names = ["energy_gain", "edge_alignment", "background_ratio"]
        frame.loc[at, names] = frame.loc[at, names].fillna(0.5)
        frame.loc[blank, names] = np.nan
        return frame

    axes, rows = panel(rewrite(run(), change))
    drawn = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    of_row = [s for s in drawn if abs(s[:, 1].mean() - rows["Hires cam"]) < 0.01]
    assert len(of_row) == lines


def test_skipped_layers_are_hatched_and_missing_ones_grey(run):
    gaps = [{"model": "unet", "layer": "Encoder 1_1", "method": "hires_cam", "reason": "none", "cells": 1}]
    results = run(skipped=gaps)
    frame = rewrite(results, lambda f: f[(f["method"] != "hires_cam") | (f["layer"] != "Encoder 1_2")])
    axes, _ = panel(frame)
    looks = {c.get_hatch(): len(c.get_paths()) for c in axes.collections if len(c.get_paths()) == 1}
    assert looks.pop("////////") == 1
    assert looks == {None: 1}
    assert "Hatched: skipped (Hires cam: none)." in made(frame)[1]["methods"].caption.details
    key = key_of(axes)
    assert {"skipped", "no maps"} <= set(key)


def test_runs_without_some_metrics_or_odd_names_are_drawn(run):
    results = run(seeds=(0,), levels=(90,), classes=("back$ground", "big_<cat>^2"), models=("net$1_",))

    def change(manifest):
        for name in ("blank", "edge_alignment"):
            del manifest["metrics"][name]
        manifest["methods"]["grad_cam"] |= {"label": "my$method_^", "family": "new"}

    results = edit_manifest(results, change)
    tables, figures = made(rewrite(results, lambda frame: frame.drop(columns=["blank", "edge_alignment"])))
    assert tables["methods"]["blank_share"].isna().all()
    assert "edge_alignment" not in tables["methods"]
    for item in figures.values():
        assert item.render("svg", 50)


def test_one_figure_has_the_networks_beside_each_other(run):
    tables, figures = made(run(models=("timm:a.b", "segformer"), levels=(90,), seeds=(0,)))
    assert list(figures) == ["methods", "methods_summary"]
    for item in figures.values():
        assert_on_page(item)
    axes = figures["methods"].figure.axes
    assert [panel.get_title(loc="left") for panel in axes[:2]] == ["timm:a.b", "SegFormer"]
    pairs = tables["methods_contrasts"]
    for model, name in (("timm:a.b", "timm:a.b"), ("segformer", "SegFormer")):
        rows = pairs[(pairs["model"] == model) & (pairs["method"] == "grad_cam") & pairs["control"].isin(BLIND)]
        kept = 4 * 0.04 * (rows["energy_gain"] - rows["energy_gain_low"])  # that other resamples agree
        lows = (rows["energy_gain_low"] - kept).where(rows["energy_gain_n"] >= FEWEST, np.inf)
        better = lows.groupby(rows["layer"]).min() > 0
        assert f" {better.sum()} of {len(better)} layers in {name}" in figures["methods"].caption.finding


def test_networks_with_more_layers_than_a_page_has_columns_take_another(run):
    results = run(models=tuple(f"segformer:{i}" for i in range(8)), levels=(90,), seeds=(0,), stages=5)
    means = tabled(results)["methods"]
    found = list(pages(results, means))
    assert [ending for ending, _ in found] == ["", "-2"]
    assert [model for _, models in found for model in models] == list(results.models)


def test_cells_of_few_images_are_small_and_in_their_own_colour(run):
    axes, rows = panel(rewrite(run(), lambda frame: frame.assign(energy_gain=np.float32(0.5))))
    (cells,) = [c for c in axes.collections if isinstance(c, PatchCollection) and len(c.get_paths()) > 20]
    looks = {}
    for path, colour in zip(cells.get_paths(), cells.get_facecolor(), strict=True):
        ends = path.vertices[:, 1]
        looks[round(float(ends.min() + ends.max()) / 2, 6)] = (float(np.ptp(ends)), tuple(colour[:3]))
    full, small = (looks[round(rows[name], 6)] for name in ("Hires cam", "Score cam"))
    assert (full[0], small[0]) == (pytest.approx(1), pytest.approx(SMALL_CELL))
    assert full[1] == small[1]


def test_a_title_names_the_ends_of_those_that_beat_the_controls_and_those_that_do_not(run):
    gains = {"grad_cam": 0.6, "grad_cam_pp": 0.5, "hires_cam": 0.4, "xgrad_cam": -0.2}

    def change(frame):
        jitter = frame["image"].map({name: 0.01 * i for i, name in enumerate(IMAGES)}).astype(np.float32)
        return frame.assign(energy_gain=frame["method"].map(gains).fillna(0.0).astype(np.float32) + jitter)

    _, figures = made(rewrite(run(), change))
    said = figures["methods_summary"].caption.finding
    assert "(Grad-CAM 0.66 to Hires cam 0.46; not " in said, said


def test_the_dots_are_sorted_and_those_of_less_hollow(run):
    gaps = [
        {"model": "unet", "layer": name, "method": "hires_cam", "reason": "none", "cells": 1}
        for name in ("Encoder 1_1", "Encoder 1_2")
    ]
    tables, figures = made(run(skipped=gaps))
    figure = figures["methods_summary"]
    axes = figure.figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [row.get_title(loc="left") for row in axes.figure.axes[::2]] == [
        "Methods of layers",
        f"Methods of layers, fewer than 10 images; controls of {len(IMAGES)}",
        f"Methods of the input, fewer than 10 images; controls of {len(IMAGES)}",
    ]
    assert not any(", n " in label for label in labels)
    assert all(", n " in label.get_text() for label in figure.figure.axes[2].get_yticklabels())
    rows = tables["methods_summary"].query("metric == 'energy_gain' and scope == 'layer' and family != 'control'")
    rows = rows[rows["n_images"] >= 10].sort_values("estimate", ascending=False)
    assert [label.lower().replace("-", " ") for label in labels] == [name.replace("_", " ") for name in rows["method"]]
    hollow = [line for line in axes.lines if line.get_marker() != "None" and line.get_markerfacecolor() == "white"]
    assert [labels[int(line.get_ydata()[0])] for line in hollow] == ["Hires cam"]
    every = rows[rows["n_layers"] == rows["n_layers"].max()]
    above = (every[[f"minus_{name}_low" for name in ("sobel", "gaussian", "random")]] > 0).all(axis=1)
    named = [f"{run().label('methods', row['method'])} {row['estimate']:.2f}" for row in every.to_dict("records")]
    better, others = ([name for name, is_above in zip(named, above, strict=True) if is_above == one] for one in (1, 0))
    assert (len(better), len(others)) == (0, len(every)), "of few layers and images none is told from a control"
    few = f"not {', '.join(others)}" if len(others) <= methods_summary.MOST_NAMED else f"the best: {others[0]}"
    assert figure.caption.finding == (
        "Methods whose energy gain over layers is better than every blind control's: "
        f"0 of {len(every)} in U-Net ({few})."
    )
    key = key_of(figure)
    assert {"control: Sobel", "control: Gaussian", "CAM family", "fewer layers or maps", "chance"} <= set(key)
    assert not {"control: Mask oracle", "control: Uniform"} & set(key)
