from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses.paper import levels
from analyses.statistics import bootstrap
from tests.analyses.checks import assert_on_page, edit_manifest, key_of


def test_the_table_shows_each_checkpoint_beside_the_baseline(make):
    frame = levels.tabulate(make(seeds=(1, 0), unreached=frozenset({(0, 90)})))
    assert list(zip(frame["seed"], frame["level"], strict=True)) == [(s, lv) for s in (0, 1) for lv in (30, 50, 70, 90)]
    first = frame.iloc[0]
    assert (first["val_miou"], first["baseline_miou"], first["predicted_share"]) == (0.301, 0.34, 0.4)
    assert (first["step"], first["images_seen"], first["n_test_images"]) == (5, 80, 3)
    missed = frame[~frame["reached"]].squeeze()
    assert (missed["level"], missed["best_miou"], missed["training_data"]) == (90, 0.84, "577 real")
    assert missed[["val_miou", "step", "images_seen", "test_miou", "predicted_share"]].isna().all()
    assert not any("time" in name or "second" in name for name in frame.columns)


def test_the_test_mean_iou_is_that_of_the_summed_counts(make):
    results = make(levels=(70,), seeds=(0,))
    counts = results.predictions()
    bb, bp, pb, pp = (int(counts[f"n_{t}_{p}"].sum()) for t in (0, 1) for p in (0, 1))
    row = levels.tabulate(results).iloc[0]
    assert row["test_iou_background"] == pytest.approx(bb / (bb + bp + pb), abs=1e-6)
    assert row["test_miou"] == pytest.approx((bb / (bb + bp + pb) + pp / (pp + bp + pb)) / 2, abs=1e-6)
    assert row["test_baseline_miou"] == pytest.approx((bb + bp) / (bb + bp + pb + pp) / 2, abs=1e-6)


def test_classes_absent_from_the_truth_do_not_count():
    counts = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(bootstrap.class_iou(counts), [0.75, 4 / 6, np.nan])
    assert bootstrap.mean_iou(counts) == pytest.approx((0.75 + 4 / 6) / 2)
    assert np.isnan(bootstrap.mean_iou(np.zeros((2, 2), dtype=int)))


def test_the_figure_shows_runs_marks_and_baseline(make):
    table, item = levels.analyse(make(seeds=(0, 1, 2), unreached=frozenset({(0, 90)})))
    (axes,) = item.figure.axes
    key = key_of(item)
    assert {"seed 0", "seed 1", "seed 2", "'background' everywhere", "a level, with tolerance"} <= set(key)
    assert "90 %: reached by 2 of 3 (nearest 0.84)" in key
    assert item.caption.finding == "11 of 12 checkpoints reached their level; the highest mean IoU is 0.90 in U-Net."
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in marks] == [3, 3, 3, 2]
    assert axes.get_xscale() == "log"
    assert (table.name, item.name) == ("levels", "levels")


def test_a_model_without_a_log_says_so(make):
    results = make(models=("unet", "net2"), seeds=(0,), levels=(30,), stages=1)
    path = results.folder / "scores" / "training" / "training.parquet"
    log = pd.read_parquet(path)
    log[log["model"] == "unet"].to_parquet(path, index=False)
    item = list(levels.analyse(results))[-1]
    assert "no training recorded" in [text.get_text() for text in item.figure.axes[1].texts]
    item.render("png", 60)


def test_scores_and_manifest_alone_make_the_table(make):
    results = make(seeds=(0,), levels=(30, 90))
    whole = levels.tabulate(results)
    (results.folder / "scores" / "training" / "training.parquet").unlink()
    for path in (results.folder / "scores" / "predictions").glob("*.parquet"):
        path.unlink()
    (table,) = levels.analyse(results)
    assert table.frame["val_miou"].tolist() == whole["val_miou"].tolist()
    assert table.frame[["test_miou", "n_test_images"]].isna().all(axis=None)
    assert list(table.frame.columns) == list(whole.columns)


def test_the_best_level_has_its_value_and_no_band(make):
    table, item = levels.analyse(make(levels=(30, 100), seeds=(0, 1)))
    (axes,) = item.figure.axes
    assert key_of(item)[:2] == ["30 %", "best, 93.1 to 93.2 %"]
    _, alone = levels.analyse(make(levels=(100,), seeds=(0,)))
    assert "a level, with tolerance" not in key_of(alone), "the best level has no band"
    assert len(axes.patches) == 1
    assert set(table.frame["level"]) == {30, 100}


def test_mean_iou_takes_many_matrices_at_once():
    counts = np.random.default_rng(0).integers(0, 9, (4, 5, 3, 3))
    counts[0, 0] = 0
    alone = [[bootstrap.mean_iou(matrix) for matrix in row] for row in counts]
    np.testing.assert_allclose(bootstrap.mean_iou(counts), alone)
    assert bootstrap.class_iou(counts).shape == (4, 5, 3)


def test_the_networks_stand_in_one_row_with_one_axis(make):
    results = make(models=("unet", "segformer", "vit", "net4"), seeds=(0,), levels=(30, 90), stages=1)
    _, item = levels.analyse(results)
    assert_on_page(item)
    panels = item.figure.axes
    assert len({round(axes.get_position().y0, 6) for axes in panels}) == 1
    assert len({axes.get_ylim() for axes in panels}) == len({axes.get_xlim() for axes in panels}) == 1
    assert [axes.get_title(loc="left") for axes in panels] == ["U-Net", "SegFormer", "ViT", "net4"]


def test_a_log_that_starts_at_none_seen_begins_at_the_first_evaluation(make):
    results = make(seeds=(0,))
    path = results.folder / "scores" / "training" / "training.parquet"
    log = pd.read_parquet(path)
    pd.concat([log.iloc[[0]].assign(step=0, images_seen=0), log]).to_parquet(path, index=False)
    (axes,) = list(levels.analyse(results))[-1].figure.axes
    assert axes.get_xscale() == "log"
    assert list(axes.lines[0].get_xdata()) == log["images_seen"].tolist()


def test_seeds_of_which_no_training_was_recorded_are_named(make):
    results = make(models=("unet", "vit"), seeds=(0, 1), levels=(30,), stages=1)
    path = results.folder / "scores" / "training" / "training.parquet"
    log = pd.read_parquet(path)
    log[(log["model"] == "unet") | (log["seed"] == 0)].to_parquet(path, index=False)
    item = list(levels.analyse(results))[-1]
    assert item.caption.details == "No course of training was recorded of ViT, seed 1."


def test_a_low_levels_start_is_a_line_of_its_own(make):
    results = make(seeds=(0,), levels=(30, 90))
    path = results.folder / "scores" / "training" / "training.parquet"
    log = pd.read_parquet(path)
    first = log.iloc[:3].assign(miou=[0.16, 0.2, 0.3], initial_answer="foreground")
    pd.concat([first, log.assign(initial_answer="random")]).to_parquet(path, index=False)

    def started(manifest):
        for point in manifest["checkpoints"]:
            point |= {"initial_answer": "foreground" if point["level"] == 30 else "random", "sha256": "ab" * 32}

    results = edit_manifest(results, started)
    table, item = levels.analyse(results)
    lines = [line for line in item.figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert [len(line.get_xdata()) for line in lines] == [3, len(log)]
    assert "a short one from the start that its low levels need" in item.caption.reading
    other, one_start = levels.analyse(make(seeds=(0,)))
    assert "short one" not in one_start.caption.reading
    assert ("initial_answer" in table.shown, "initial_answer" in other.shown) == (True, False)
    rows = table.frame.set_index("level")
    assert rows["initial_answer"].to_dict() == {30: "foreground", 90: "random"}
    assert set(rows["sha256"]) == {"ab" * 32}
