"""The figure and table of the sanity checks."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest

from analyses import Results, ResultsError, Table, printing
from analyses.plots import style
from analyses.trust import sanity
from tests.analyses.checks import assert_on_page, split

METHODS = ("grad_cam", "layer_cam")
IMAGES = ("cat_1", "cat_2", "dog_3", "dog_4")
STEPS = ((0, 0.25, "head"), (1, 0.5, "up"), (3, 1.0, "conv"))
LAYERS = ("Encoder 1_1", "Decoder 1_2")
TARGET = "best_pixel:logit"
SMALL = {"stages": 2, "seeds": (0, 1), "levels": (50, 90), "methods": METHODS, "gallery": 0, "images": IMAGES}
FLOOR = {"grad_cam": 0.0, "layer_cam": 0.8}


def frame(seeds=(0, 1), levels=(50, 90), draws=(0,), shuffled=True):
    """Grad-CAM's maps lose all likeness along the way, LayerCAM's keep most of it."""
    rng, rows = np.random.default_rng(0), []
    changes = [(kind, *step) for kind in ("cascading", "independent") for step in STEPS]
    changes += [("shuffled_masks", 0, 1.0, "")] if shuffled else []
    for level, seed, draw, image, layer, method in product(levels, seeds, draws, IMAGES, LAYERS, METHODS):
        for kind, step, share, module in changes if draw == 0 else changes[:6]:
            value = 1 - (1 - FLOOR[method]) * share
            values = value + rng.uniform(-0.05, 0.05, 3)
            rows.append(
                {"dataset": "shapes", "model": "unet", "level": level, "seed": seed, "training_data": "577 real"}
                | {"image": image, "target": TARGET, "layer": layer, "method": method, "kind": kind, "draw": draw}
                | {"step": step, "share": np.float32(share), "module": module, "reached": np.float32(0.5)}
                | {"randomised": layer == "Decoder 1_2" or share == 1}
                | dict(zip(sanity.MEASURES, values.astype(np.float32), strict=True))
            )
    return pd.DataFrame(rows)


def trained():
    same = {"dataset": "shapes", "model": "unet", "training_data": "577 real", "steps": 300, "loss": 0.6}
    numbers = {"miou_shuffled": 0.41, "miou_own": 0.43, "miou_validation": 0.42}
    return pd.DataFrame([same | numbers | {"level": 90, "seed": seed} for seed in (0, 0, 1)])


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(sanity, "RESAMPLES", 200)


@pytest.fixture
def run(make):
    def build(table, training=None, **fields):
        results = make(**{**SMALL, **fields})
        for name, rows in (("sanity", table), ("sanity_training", training)):
            if rows is not None:
                (results.folder / "scores" / name).mkdir()
                rows.to_parquet(results.folder / "scores" / name / "all.parquet", index=False)
        return Results(results.folder)

    return build


def made(results):
    return split(item for item in sanity.analyse(results) if item.name != "sanity_random")


def test_nothing_for_runs_without(make):
    assert list(sanity.analyse(make(**SMALL))) == []


def test_the_small_table_has_what_is_left_of_a_map_where_all_is_random_and_who_fails(run):
    (whole, small, *_) = sanity.analyse(run(frame()))
    assert (small.name, len(small.frame)) == ("sanity_random", 4)  # two levels, two methods
    assert dict(zip(small.frame["method"], small.frame["fails"], strict=True)) == {"grad_cam": False, "layer_cam": True}
    of_all = whole.frame[(whole.frame["layer"] == "all") & (whole.frame["kind"] == "cascading")]
    last = of_all[of_all["share"] == 1].set_index(["level", "method"])["spearman_high"]
    assert small.frame.set_index(["level", "method"])["spearman_high"].equals(last)


def test_means_are_over_images_of_their_means_over_draws_and_layers(run):
    raw = frame(draws=(0, 1))
    raw.loc[(raw["image"] == "cat_2") & (raw["layer"] == "Encoder 1_1"), "spearman"] = np.nan
    table, _ = made(run(raw))
    assert len(table.frame) == 2 * 7 * 2 * (2 + 1)
    where = {"level": 90, "kind": "cascading", "step": 1, "method": "layer_cam"}
    part = raw[(raw[list(where)] == pd.Series(where)).all(axis=1)]
    found = table.frame[(table.frame[list(where)] == pd.Series(where)).all(axis=1)].set_index("layer")
    assert list(found.index) == ["all", *LAYERS]  # by depth, the mean first
    for layer in LAYERS:
        own = part[part["layer"] == layer].groupby(["seed", "image"])["spearman"].mean().mean()
        assert found.loc[layer, "spearman"] == pytest.approx(own, abs=1e-6)
    cells = part.groupby(["seed", "image", "layer"])["spearman"].mean()
    assert found.loc["all", "spearman"] == pytest.approx(cells.groupby(["seed", "image"]).mean().mean(), abs=1e-6)
    assert (found["spearman_low"] < found["spearman"]).all()
    assert (found["spearman"] < found["spearman_high"]).all()
    assert found["n_images"].tolist() == [4] * 3
    assert found["n_seeds"].tolist() == [2] * 3
    assert found["n_undefined"].tolist() == [2, 2, 0]  # the mean over layers is then of the other one alone
    assert found["randomised"].tolist() == [0.5, 0, 1]
    assert (found["module"] == "up").all()
    assert (found["reached"] == 0.5).all()


def test_a_method_that_stays_as_it_was_is_named_with_its_numbers(run):
    table, (figure,) = made(run(frame(), trained()))
    rows = table.frame.query("kind == 'cascading' and share == 1 and layer == 'all' and level == 90")
    low = rows.set_index("method")["spearman_low"]
    assert low["layer_cam"] > 0.5 > low["grad_cam"]
    assert "Fail (the interval" in str(figure.caption)
    value = rows.set_index("method")["spearman"]["layer_cam"]
    assert f"Layer cam ({value:.2f} [" in str(figure.caption)
    assert "Grad-CAM (" not in str(figure.caption)
    assert "300 steps" in str(figure.caption)
    assert "41.0 % on training images with the masks it was given, 43.0 %" in str(figure.caption)
    lower = frame()
    lower[["spearman", "spearman_reached"]] -= 0.4
    _, (figure,) = made(run(lower))
    assert "No method fails" in str(figure.caption)


def test_the_figure_shows_the_numbers_of_the_highest_level(run):
    table, (figure,) = made(run(frame(), trained()))
    assert figure.name == "sanity"
    assert "U-Net at its highest level (90 % mean IoU); layers: Encoder 1_1, Decoder 1_2; 4 images" in str(
        figure.caption
    )
    axes = figure.figure.axes
    assert len(axes) == 2
    rows = table.frame.query("layer == 'all' and level == 90 and method == 'grad_cam'")
    for panel, kind in zip(axes, ("cascading", "independent"), strict=True):
        lines = [line for line in panel.lines if len(line.get_xdata()) == 4]
        assert len(lines) == len(METHODS)
        own = rows[rows["kind"] == kind].sort_values("share")
        np.testing.assert_allclose(lines[0].get_ydata(), [1, *own["spearman"]])
        np.testing.assert_allclose(lines[0].get_xdata(), [0, 0.25, 0.5, 1])
    marks = [line for line in axes[0].lines if len(line.get_xdata()) == 1]
    assert [mark.get_xdata()[0] > 1 for mark in marks] == [True, True]
    assert not [line for line in axes[1].lines if len(line.get_xdata()) == 1]
    last = rows[(rows["kind"] == "cascading") & (rows["share"] == 1)].iloc[0]["spearman"]
    other = table.frame.query("layer == 'all' and level == 90 and kind == 'cascading' and share == 1")
    values = {"grad_cam": last} | {"layer_cam": other.set_index("method")["spearman"]["layer_cam"]}
    values = {name: printing.short(value) for name, value in values.items()}
    assert figure.caption.finding == (
        "Methods whose maps stay alike with all weights random: 1 of 2 in U-Net (Layer cam "
        f"{values['layer_cam']}; not Grad-CAM {values['grad_cam']}), 1 over the cells with a gradient."
    )
    assert len({(line.get_color(), line.get_marker()) for line in axes[0].lines if len(line.get_xdata()) == 4}) == 2


def test_a_title_says_that_zeros_alone_make_maps_alike(run):
    raw = frame()
    raw.loc[raw["method"] == "layer_cam", "spearman_reached"] = 0.1
    _, (figure,) = made(run(raw, trained()))
    assert figure.caption.finding.endswith("), none over the cells with a gradient.")


def test_without_shuffled_masks_and_with_undefined_maps(run):
    raw = frame(shuffled=False)
    raw.loc[raw["method"] == "layer_cam", list(sanity.MEASURES)] = np.nan
    table, (figure,) = made(run(raw))
    assert "Markers at the right" not in str(figure.caption)
    assert "masks" not in "".join(label.get_text() for label in figure.figure.axes[0].get_xticklabels())
    assert table.frame.loc[table.frame["method"] == "layer_cam", "ssim"].isna().all()
    assert figure.render("svg", 50)


def test_text_is_legible_and_on_the_page(run):
    _, (figure,) = made(run(frame(), trained()))
    assert_on_page(figure)


def test_the_same_bytes_in_any_order_of_rows(run):
    first = list(sanity.analyse(run(frame(), trained())))
    again = list(sanity.analyse(run(frame().sample(frac=1, random_state=1), trained())))
    for one, two in zip(first, again, strict=True):
        assert one.caption == two.caption
        assert one.csv() == two.csv() if isinstance(one, Table) else one.render("svg", 50) == two.render("svg", 50)


def test_a_map_that_is_there_twice_is_refused(run):
    raw = frame()
    with pytest.raises(ResultsError, match="a row is there twice"):
        list(sanity.analyse(run(pd.concat([raw, raw.head(1)]))))


def test_the_networks_stand_beside_each_other_and_nine_methods_look_different(run):
    looks = style.method_lines([f"m{i}" for i in range(9)]).values()
    assert len({look.color for look in looks}) == len({look.marker for look in looks}) == 9
    results = run(pd.concat([frame(), frame().assign(model="net2")]), models=("unet", "net2"))
    _, (figure,) = made(results)
    assert [axes.get_title(loc="left") for axes in figure.figure.axes] == ["U-Net, 4 images", "net2, 4 images"]
    assert re.search(
        r": 1 of 2 in U-Net \(Layer cam \S+; not Grad-CAM \S+\), 1 over the cells with a gradient and 1 of 2 in net2",
        figure.caption.finding,
    )
    assert_on_page(figure)
