"""A report takes the memory of one model's arrays, however many models, levels, targets and metrics a run has."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analyses import Results
from analyses.artifacts import Table
from analyses.depth import heatmap
from analyses.reading import cubes, grids
from analyses.reading.choices import main_target
from bench.output.drawing import Files, draw_all
from tests.analyses.report_costs import family, held, measured
from tests.analyses.simulated_run import simulate

IMAGES, SEEDS = 24, 2
MANY = ["grad_cam", "hires_cam", "layer_cam", "eigen_cam"]
ANALYSES = ("heatmap", "levels", "reliability", "skipped", "target_agreement")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "run"
    simulate(folder, IMAGES, SEEDS, ["segformer"])
    return folder


@pytest.fixture(scope="module")
def all_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all") / "run"
    simulate(folder, 5 * IMAGES, SEEDS)
    return folder


def test_a_simulated_run_is_whole_and_is_drawn(one: Path) -> None:
    results = Results(one)
    results.check()
    assert not results.left_out()
    scores = results.scores()
    layers, shared = len(results.layers("segformer")), 17  # the methods that share passes, and two at the eight blocks
    few = scores["method"].isin(results.own_passes) | (scores["layer"] == "Input")
    assert (~few).sum() == IMAGES * SEEDS * len(results.targets) * (layers * shared + 2 * 8)
    assert not scores.duplicated(["seed", "image", "target", "layer", "method"]).any()
    for metric in results.metrics:
        assert 0.5 < scores[metric.name].notna().mean() < (1 if metric.name != "blank" else 1.1)
    sections = draw_all(one, ANALYSES, Files(("png",), 30), lambda _: None, 1)
    assert [section.name for section in sections] == list(ANALYSES)
    tables = {item.name: item.frame for section in sections for item in section.items if isinstance(item, Table)}
    assert (tables["heatmap"]["n_images"] == IMAGES).any()
    assert (tables["reliability"]["n_seeds"] == SEEDS).all()
    assert len(tables["target_agreement"]) == 10 * layers


def test_the_same_numbers_come_of_a_plain_reading(one: Path) -> None:
    results = Results(one)
    scores = results.scores().astype({"method": str, "layer": str, "target": str, "image": str})
    main = scores[(scores["method"] == results.main_method) & (scores["target"] == main_target(results))]
    table = heatmap.analyse(results).__next__().frame
    by_image = main.groupby(["layer", "image"])[["spread", "gini"]].mean().groupby("layer").mean()
    for name in ("spread", "gini"):
        found = table[table["metric"] == name].set_index("layer")["mean"]
        pd.testing.assert_series_equal(
            found, by_image[name].loc[found.index], check_names=False, rtol=1e-5, check_dtype=False
        )


def by_columns(results: Results) -> Iterator[object]:
    names = [metric.name for metric in results.metrics]
    for model, target in product(results.models, results.targets):
        layers = [layer.name for layer in results.main_layers(model)]
        axes = {"method": None, "layer": layers, "seed": None, "image": None}
        for level in results.levels(model):
            where = {"model": [model], "level": [level], "target": [target], "method": MANY}
            yield from cubes.by_column(results, where, axes, names)


def by_methods(results: Results) -> Iterator[object]:
    names = [metric.name for metric in results.metrics]
    for model, target in product(results.models, results.targets):
        layers = [layer.name for layer in results.main_layers(model)]
        for level in results.levels(model):
            where = {"model": [model], "level": [level], "target": [target]}
            yield from cubes.by_method(results, where, MANY, layers, names)


def by_models(results: Results) -> Iterator[object]:
    yield from grids.read(results, results.metrics)


@pytest.mark.parametrize("read", [by_columns, by_methods, by_models])
def test_a_run_of_four_models_is_read_in_the_memory_of_a_part_of_one(
    all_models: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Results], Iterator[object]]
) -> None:
    monkeypatch.setattr(cubes, "MOST", 1 << 20)
    results = Results(all_models)
    deque(read(results), maxlen=0)  # what files say of themselves is kept from here on
    gc.collect()
    tracemalloc.start()
    try:
        deque(read(results), maxlen=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    rows = sum(pq.read_metadata(path).num_rows for path in results.parts("scores"))
    of_all = 4 * rows * len(results.metrics)
    assert of_all > 50e6
    assert peak < 8e6, "arrays of a few columns, and a portion of the rows"


def test_what_is_read_at_once_is_bounded(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(one)
    layers = [layer.name for layer in results.main_layers("segformer")]
    of_one = 4 * len(layers) * SEEDS * IMAGES
    held_at_once = []
    plain = cubes.cube

    def counted(*args: object, **options: object) -> cubes.Cube:
        maps = plain(*args, **options)  # type: ignore[arg-type]
        held_at_once.append(sum(values.nbytes for values in maps.values.values()))
        return maps

    monkeypatch.setattr(cubes, "cube", counted)
    where = {"model": ["segformer"], "level": [100], "target": [results.targets[0]]}
    shared = [name for name in results.methods if name not in results.own_passes]
    whole = dict(cubes.by_method(results, where, shared, layers, ["spread", "gini"]))
    monkeypatch.setattr(cubes, "MOST", 5 * of_one)
    parts = dict(cubes.by_method(results, where, shared, layers, ["spread", "gini"]))
    assert held_at_once[0] == 2 * len(shared) * of_one
    assert max(held_at_once[1:]) == 4 * of_one
    assert list(parts) == list(whole) == shared
    for name, maps in whole.items():
        for column in ("spread", "gini"):
            pd.testing.assert_frame_equal(*(pd.DataFrame(m.values[column][3]) for m in (maps, parts[name])))


def test_memory_of_a_process_and_its_children_is_counted_together() -> None:
    child = "import time; kept = bytearray(b'1') * 64_000_000; time.sleep(1.5)"
    both = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    costs = measured([sys.executable, "-c", both], pause=0.05)
    assert costs.processes == 2
    assert 64e6 < costs.peak < 64e6 + 2 * 40e6
    assert costs.seconds > 1.5 > costs.cpu
    with pytest.raises(subprocess.CalledProcessError):
        measured([sys.executable, "-c", "raise SystemExit(3)"], pause=0.05)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert family(process.pid) == [process.pid]
        process.communicate(b"\n")
    assert held(process.pid) == 0
