"""Attention by block and head: a table and a figure from the files of a run, and nothing for runs without any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analyses import Figure, ResultsError, Table
from analyses.depth import attention
from analyses.statistics import bootstrap
from analyses.statistics.intervals import bootstrap_interval
from tests.analyses.checks import assert_on_page, edit_manifest, key_of, row

METRICS = {
    "attention_background_ratio": {"label": "Attention background ratio", "unit": "", "chance": 1.0},
    "attention_distance": {"label": "Attention distance", "unit": "px", "chance": None},
}
BLOCKS = [("Attention 1_1", 1, 1), ("Attention 1_2", 1, 1), ("Attention 2_1", 2, 2), ("Attention 3_1", 3, 5)]


def with_attention(results, models=("net1",), undefined="cat_1"):
    """Add made-up attention to a made-up run."""
    blocks = [{"block": b, "label": b, "stage": s, "depth": d} for d, (b, s, _) in enumerate(BLOCKS)]
    attended = {"blocks": dict.fromkeys(models, blocks), "metrics": METRICS}
    results = edit_manifest(results, lambda manifest: manifest.update(attention=attended))
    (results.folder / "scores" / "attention").mkdir()
    for point in results.checkpoints:
        if point.reached and point.model in models:
            rng = np.random.default_rng([point.level, point.seed])
            rows = [
                {"image": image, "block": block, "stage": stage, "depth": depth, "head": head + 1}
                for image in ("cat_1", "dog_2", "cat_3")
                for depth, (block, stage, heads) in enumerate(BLOCKS)
                for head in range(heads)
            ]
            frame = pd.DataFrame(rows).assign(dataset="shapes", model=point.model, level=point.level, seed=point.seed)
            frame["attention_distance"] = (20 + 3 * frame["depth"] + rng.random(len(frame))).astype(np.float32)
            frame["attention_background_ratio"] = (0.5 + rng.random(len(frame))).astype(np.float32)
            frame.loc[frame["image"] == undefined, "attention_background_ratio"] = np.nan
            frame["training_data"] = "577 real"
            frame = frame.astype(dict.fromkeys(["block", "model", "image", "dataset"], "category"))
            name = f"{point.model}-s{point.seed}-l{point.level}-000.parquet"
            frame.to_parquet(results.folder / "scores" / "attention" / name, index=False)
    return type(results)(results.folder)


def test_nothing_for_a_run_without_attention(make):
    results = make()
    assert results.attention() is None
    assert not results.manifest.attention.metrics
    assert list(attention.analyse(results)) == []


def test_each_row_is_the_bootstrap_of_its_matrix(make):
    results = with_attention(make(models=("unet", "net1"), seeds=(0, 1, 2), levels=(30, 90)))
    table, figure = attention.analyse(results)
    assert isinstance(table, Table)
    assert isinstance(figure, Figure)
    frame = table.frame
    assert set(frame["model"]) == {"net1"}
    assert len(frame) == 2 * 2 * sum(heads + 1 for *_, heads in BLOCKS)
    raw = results.attention()
    raw = raw[(raw["level"] == 90) & (raw["block"] == "Attention 3_1")].astype({"image": str})
    for head, part in ((4, raw[raw["head"] == 4]), (0, raw)):
        for metric, undefined in (("attention_distance", 0), ("attention_background_ratio", 3)):
            found = row(frame, level=90, block="Attention 3_1", head=head, metric=metric)
            means = part.groupby(["seed", "image"])[metric].mean().unstack().to_numpy(dtype=float)
            wanted = bootstrap_interval(means, np.random.default_rng(bootstrap.SEED), bootstrap.RESAMPLES)
            np.testing.assert_allclose(found[["estimate", "low", "high"]].astype(float), wanted, atol=1e-5)
            assert (found["n_images"], found["n_seeds"], found["n_undefined"]) == (3, 3, undefined)
            assert found["training_data"] == "577 real"
            assert found["chance"] == 1 or metric == "attention_distance"


def test_a_row_of_panels_a_model(make):
    results = with_attention(make(models=("unet", "net1", "net2"), seeds=(0,), levels=(30, 90)), ("net1", "net2"))
    _, item = attention.analyse(results)
    panels = item.figure.axes
    assert len(panels) == 2 * 2
    assert [axes.get_title(loc="left") for axes in panels] == ["net1", "net1", "net2", "net2"]
    labels = ["Attention background ratio", "Attention distance (px)"]
    assert [axes.get_ylabel() for axes in panels] == labels * 2
    assert all(axes.get_xlabel().startswith("Attention block") for axes in panels[2:])
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["1_1", "1_2", "2_1", "3_1"]
    assert len(panels[1].lines) == 2, "a line a level"
    assert len(panels[0].lines) == 3, "and chance"
    assert panels[0].lines[-1].get_ydata()[0] == 1
    dots = [len(c.get_offsets()) for c in panels[0].collections if len(c.get_offsets()) > 1]
    assert dots == [sum(heads for *_, heads in BLOCKS)] * 2
    key = key_of(item)
    assert key == ["30 % mean IoU", "90 % mean IoU", "95% interval of the mean", "a head", "chance"]


def test_chance_that_depends_on_the_grid_is_told_and_drawn(make):
    results = with_attention(make(models=("net1",), seeds=(0,), levels=(30, 90)))
    of_depth = [61.5, 61.5, 60.0, 57.25]
    for path in (results.folder / "scores" / "attention").glob("*.parquet"):
        frame = pd.read_parquet(path)
        frame["attention_distance_by_chance"] = np.array(of_depth, np.float32)[frame["depth"]]
        frame.to_parquet(path, index=False)
    told = {**METRICS, "attention_distance": METRICS["attention_distance"] | {"chance": "uniform"}}
    results = edit_manifest(results, lambda manifest: manifest["attention"].update(metrics=told))
    table, item = attention.analyse(results)
    rows = table.frame[table.frame["metric"] == "attention_distance"]
    assert rows["chance"].tolist() == [of_depth[depth] for depth in rows["depth"]]
    drawn = item.figure.axes[1].lines[-1]
    assert drawn.get_ydata().tolist() == of_depth
    assert drawn.get_linestyle() == ":"


def test_text_is_legible_and_on_the_page(make):
    _, item = attention.analyse(with_attention(make(models=("unet", "net1"))))
    assert_on_page(item)


def test_the_same_head_twice_is_refused(make):
    results = with_attention(make(models=("net1",), levels=(30,), seeds=(0,)))
    folder = results.folder / "scores" / "attention"
    (folder / "copy.parquet").write_bytes((folder / "net1-s0-l30-000.parquet").read_bytes())
    with pytest.raises(ResultsError, match="a row is there twice"):
        attention.summarise(results)


def test_a_file_without_its_keys_is_named(make):
    results = with_attention(make(models=("net1",), levels=(30,), seeds=(0,)))
    path = results.folder / "scores" / "attention" / "net1-s0-l30-000.parquet"
    pd.read_parquet(path).drop(columns="head").to_parquet(path)
    with pytest.raises(ResultsError, match="'head' is missing"):
        attention.summarise(results)
