"""Faithfulness: paired differences from blind orders, and the figure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analyses import ResultsError
from analyses.plots.areas import Panel
from analyses.trust import faithfulness
from tests.analyses.checks import assert_on_page, rewrite, row

IMAGES = tuple(f"cat_{i}" for i in range(7))
METHODS = ("grad_cam", "hires_cam", "random", "sobel", "mask_oracle")
LAYERS = ("Encoder 1_1", "Encoder 5_2", "Decoder 1_2")
RUN = {"methods": METHODS, "levels": (50, 90), "gallery": 0, "images": IMAGES}
TARGET = "best_pixel:logit"
KINDS = ("deletion", "insertion", "context_deletion")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
CURVE = "faithfulness_curves"


def rows_of_areas() -> Iterator[tuple[str, str, str, str, str, str, float]]:
    """Layer, method, measure, imputation, outcome, order and mean of what a study measures."""
    places = [(layer, method, n) for layer in LAYERS for n, method in enumerate(METHODS)]
    kinds = [(kind, "blur") for kind in KINDS] + [(kind, "noisy_linear") for kind in KINDS[:2]]
    for (kind, imputation), outcome in itertools.product(kinds, ("probability", "dice")):
        yield "", "", kind, imputation, outcome, "random", 0.6
        for layer, method, n in places:
            yield layer, method, kind, imputation, outcome, "map", 0.4 + 0.05 * n
            if imputation == "blur" and not kind.startswith("context"):
                yield layer, method, kind, imputation, outcome, "area_matched", 0.5
    for layer, method, n in places:
        yield layer, method, "infidelity", "blur", "probability", "map", 0.7
        yield layer, method, "sensitivity_n", "blur", "probability", "map", 0.2
        if n < 2:
            yield layer, method, "max_sensitivity_frozen", "", "", "map", 0.1
            yield layer, method, "max_sensitivity_repicked", "", "", "map", 0.4


def tables(level: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a study writes for one checkpoint; in the last image nothing is predicted."""
    rng = np.random.default_rng([level, seed])
    names = ["layer", "method", "measure", "imputation", "outcome", "order", "value"]
    areas = pd.DataFrame(rows_of_areas(), columns=names).merge(pd.DataFrame({"image": IMAGES}), how="cross")
    areas["value"] += rng.normal(0, 0.03, len(areas))
    areas.loc[areas["image"] == IMAGES[-1], "value"] = np.nan
    curves = areas[areas["measure"].isin(KINDS) & (areas["outcome"] == "probability")]
    curves = curves.merge(pd.DataFrame({"share": SHARES}), how="cross").rename(columns={"measure": "kind"})
    curves["value"] = 1 - 2 * curves["share"] * (1 - curves["value"])
    same = {"dataset": "shapes", "model": "unet", "level": level, "seed": seed, "training_data": "577 real"}
    same |= {"target": TARGET}
    return areas.assign(**same), curves.assign(**same)


def examined(make, seeds=(0, 1), **fields):
    results = make(**RUN | {"seeds": seeds} | fields)
    for checkpoint in results.checkpoints:
        found = tables(checkpoint.level, checkpoint.seed)
        for name, frame in zip(("faithfulness", CURVE), found, strict=True):
            (results.folder / "scores" / name).mkdir(exist_ok=True)
            path = results.folder / "scores" / name / f"unet-s{checkpoint.seed}-l{checkpoint.level}.parquet"
            frame.astype({"value": np.float32, "layer": "category"}).to_parquet(path, index=False)
    return results


@pytest.fixture(scope="module")
def results(make_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faithfulness") / "run"
    return examined(lambda **fields: make_in(folder, **fields))


@pytest.fixture(scope="module")
def items(results):
    return list(faithfulness.analyse(results))


def test_nothing_for_a_run_that_did_not_examine_it(make):
    assert list(faithfulness.analyse(make(**RUN, seeds=(0,)))) == []


def test_means_and_paired_differences_are_those_of_the_rows(results):
    areas = results.table("faithfulness")
    frame = faithfulness.tabulate(results, areas)
    assert list(frame.columns) == faithfulness.COLUMNS
    assert set(frame["level"]) == {50, 90}
    own = areas[(areas["level"] == 90) & (areas["layer"] == "Encoder 5_2") & (areas["method"] == "hires_cam")]
    for measure, imputation, against in (
        ("deletion", "blur", "area_matched"),
        ("context_deletion", "blur", "random"),
        ("insertion", "noisy_linear", "blur_matched"),
    ):
        rows = own[(own["measure"] == measure) & (own["imputation"] == imputation) & (own["outcome"] == "dice")]
        where = {"level": 90, "layer": "Encoder 5_2", "method": "hires_cam", "outcome": "dice", "order": "map"}
        found = row(frame, measure=measure, imputation=imputation, **where)
        values = rows[rows["order"] == "map"].set_index(["seed", "image"])["value"]
        at = (areas["level"] == 90) & (areas["measure"] == measure) & (areas["imputation"] == imputation)
        at &= areas["outcome"] == "dice"
        smooth = (areas["layer"] == "Encoder 5_2") & (areas["method"] == "random") & (areas["order"] == "map")
        other = {
            "area_matched": rows[rows["order"] == "area_matched"],
            "random": areas[at & (areas["order"] == "random")],
            "blur_matched": areas[at & smooth],
        }[against]
        paired = values - other.set_index(["seed", "image"])["value"]
        assert found["against"] == against
        assert found["mean"] == pytest.approx(values.mean(), abs=2e-6)
        assert found["difference"] == pytest.approx(paired.mean(), abs=2e-6)
        assert found["low"] < found["mean"] < found["high"]
        assert found["difference_low"] < found["difference"] < found["difference_high"]
        assert (found["n_images"], found["n_seeds"], found["n_pairs"]) == (6, 2, 6)  # of one nothing is predicted
        assert found["depth"] == 9
    assert (frame.loc[frame["order"] != "map", "against"] == "").all()
    assert frame.loc[frame["measure"] == "infidelity", "difference"].isna().all()


def test_figures_are_legible_and_not_clipped(items):
    for item in items[1:]:
        assert_on_page(item)


def test_a_run_where_nothing_is_predicted_has_a_table_of_gaps(make):
    results = examined(make, seeds=(0,), levels=(90,))
    for name in ("faithfulness", CURVE):
        rewrite(results, lambda frame: frame.assign(value=np.float32(np.nan)), name)
    table, *rest = faithfulness.analyse(results)
    assert table.frame["mean"].isna().all()
    assert (table.frame["n_images"] == 0).all()
    for item in rest:
        item.render("png", 50)


def test_an_image_twice_is_refused(results):
    areas = results.table("faithfulness")
    with pytest.raises(ResultsError, match="a row is there twice"):
        faithfulness.tabulate(results, pd.concat([areas, areas]))


def test_the_items_and_what_they_show(items, results):
    table, areas = items
    assert (table.name, areas.name) == ("faithfulness", "faithfulness_areas")
    assert table.csv() == next(iter(faithfulness.analyse(results))).csv()
    assert "6 images" in areas.caption.details
    assert "90 %" in areas.caption.details
    assert len(areas.figure.axes) == 3 * 5
    labels = [tick.get_text() for tick in areas.figure.axes[0].get_yticklabels()]
    assert labels == ["Grad-CAM", "Hires cam", "Random (blur-matched)", "Sobel", "Mask oracle"]
    of_road = areas.figure.axes[2 * 5 + 3]
    assert of_road.get_xlabel() == "← ROAD\ndeletion"
    assert len([line for line in of_road.lines if len(line.get_xdata()) == 1 and line.get_marker() != "None"]) == 4


def test_the_title_counts_the_areas_in_which_the_main_method_is_more_faithful(items):
    table, areas = items
    rows = table.frame[(table.frame["method"] == "grad_cam") & (table.frame["level"] == 90)]
    rows = rows[(rows["outcome"] == "probability") & rows["difference"].notna()]
    sign = np.where(rows["measure"].str.endswith("insertion"), 1, -1)
    low, high = sign * rows["difference_low"], sign * rows["difference_high"]
    more, less = ((low > 0) & (high > 0)).sum(), ((low < 0) & (high < 0)).sum()
    said = areas.caption.finding
    assert said.startswith(f"Grad-CAM is more faithful than its reference in {more} of {len(rows)} areas in U-Net")
    assert re.search(rf", less in {less}; (the control|no blind control)", said)
    assert more + less > 0


def test_the_title_names_the_layer_with_most_and_the_best_blind_control(results):
    def rows(method, layer, *intervals):
        return [
            {
                "model": "unet",
                "layer": layer,
                "method": method,
                "estimate": 0.0,
                "low": low,
                "high": high,
                "n_images": 6,
            }
            for low, high in intervals
        ]

    own = rows("grad_cam", "Encoder 1_1", (0.1, 0.2), (0.1, 0.3)) + rows("grad_cam", "Encoder 1_2", (-0.2, -0.1))
    blind = rows("sobel", "Encoder 1_1", (0.1, 0.2)) + rows("mask_oracle", "Encoder 1_1", (0.1, 0.2), (0.1, 0.2))
    panels = [Panel("Insertion →", pd.DataFrame(own + blind), 1)]
    assert faithfulness.finding(results, panels) == (
        "Grad-CAM is more faithful than its reference in 2 of 3 areas in U-Net (2 of them at Encoder 1_1), less in 1; "
        "the control Sobel is so in 1."
    )
    few = [replace(panels[0], rows=panels[0].rows.assign(n_images=5))]
    assert faithfulness.finding(results, few) == (
        "Grad-CAM is more faithful than its reference in none of 3 areas in U-Net for sure, nor less (5 images)."
    )


def test_of_many_networks_a_title_has_the_numbers_alone(make):
    models = ("unet", "segformer", "vit")
    row = {"layer": "Encoder 1_1", "estimate": 0.0, "low": 0.1, "high": 0.2, "n_images": 6}
    own = [row | {"model": model, "method": "grad_cam"} for model in models]
    blind = [row | {"model": model, "method": "sobel", "low": low} for model, low in (("segformer", -1), ("vit", 0.1))]
    panels = [Panel("Insertion →", pd.DataFrame(own + blind), 1)]
    assert faithfulness.finding(make(models=models, gallery=0), panels) == (
        "Grad-CAM is more faithful than its reference in 1 of 1 areas in U-Net, 1 of 1 areas in SegFormer and "
        "1 of 1 areas in ViT; the best blind control in 0, 0 and 1."
    )
    fewer = [replace(panels[0], rows=panels[0].rows[panels[0].rows["method"] == "grad_cam"])]
    assert "control" not in faithfulness.finding(make(models=models, gallery=0), fewer), "of none nothing is said"


def test_of_many_layers_a_few_are_drawn_and_of_many_networks_one_each(make, results):
    assert faithfulness.spread([f"l{i}" for i in range(10)]) == ["l0", "l4", "l9"]
    frame = next(iter(faithfulness.analyse(results))).frame
    several = make(models=("unet", "net2"), levels=(90,), seeds=(0,))
    both = pd.concat([frame, frame.assign(model="net2")])
    roles = {layer.name: layer.role for layer in several.layers("unet")}
    deepest = [name for name in dict.fromkeys(frame.sort_values("depth")["layer"]) if name and roles[name] != "decoder"]
    assert faithfulness.shown_layers(several, both) == [("unet", deepest[-1]), ("net2", deepest[-1])]
