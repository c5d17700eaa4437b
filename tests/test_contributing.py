"""The recipes that CONTRIBUTING.md links work as they stand, under the contracts that a contributor's file meets."""

from __future__ import annotations

import re
import runpy
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from segcam import Batch, registry
from segcam.datasets import DATASETS, DatasetOptions
from segcam.methods import METHODS
from segcam.metrics import METRICS
from segcam.models import MODELS, create
from tests.contract import test_methods as methods
from tests.contract import test_metric_answers as answers
from tests.contract import test_metrics as metrics
from tests.reference import cams
from tests.reference import metrics as slow
from tests.segcam.metrics import test_metrics as twins

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "examples" / "recipes"


@pytest.fixture(autouse=True)
def registries_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (METRICS, METHODS, MODELS, DATASETS):
        known.names()
        monkeypatch.setattr(known, "_items", dict(known._items))
    monkeypatch.setattr(slow, "TWINS", dict(slow.TWINS))
    monkeypatch.setattr(slow, "ANSWERS", dict(slow.ANSWERS))


def run(name: str) -> dict[str, Any]:
    return runpy.run_path(str(RECIPES / f"{name}.py"))


def test_contributing_links_every_recipe() -> None:
    linked = re.findall(r"\(examples/recipes/(\w+)\.py\)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    files = {file.stem for file in RECIPES.glob("*.py")}
    assert files - {"metric_twin", "method_twin"} <= set(linked)


def test_contributing_shows_the_recipes_as_they_are() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- (examples/recipes/\w+\.py) -->\n```python\n(.*?)```\n", text, re.DOTALL))
    assert len(shown) == text.count("```python") > 0
    for name, code in shown.items():
        assert code == (ROOT / name).read_text(encoding="utf-8"), name


def test_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    run("metric")
    with pytest.raises(LookupError, match=r"metric 'coverage' has no slow twin: write `def coverage\(...\)` in tests/"):
        answers.test_a_perfect_map("coverage")
    monkeypatch.setattr(slow, "coverage", run("metric_twin")["coverage"], raising=False)
    for size, grid in twins.SIZES:
        twins.test_metric_equals_its_slow_twin("coverage", size, grid, torch.float64, 1e-9)
    for contract in (answers.test_a_perfect_map, answers.test_an_inverted_map, answers.test_a_random_map):
        contract("coverage")
    answers.test_a_perfect_map_is_the_better_one("coverage")
    metrics.test_it_says_what_it_is("coverage")
    metrics.test_an_undefined_map_has_no_value("coverage")
    metrics.test_a_blank_map_has_no_value_but_being_blank("coverage")


def test_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    run("method")
    method, contract = METHODS.get("positive_grad_cam"), methods.TestGradientMethods()
    methods.test_metadata(method)
    shape = methods.SHAPES["more cells"]
    with pytest.raises(LookupError, match="method 'positive_grad_cam' has no slow twin"):
        contract.test_equals_its_slow_twin(method, shape, signed=True)
    monkeypatch.setattr(cams, "positive_grad_cam", run("method_twin")["positive_grad_cam"], raising=False)
    for shape in methods.SHAPES.values():
        contract.test_equals_its_slow_twin(method, shape, signed=True)
        contract.test_flips_with_its_input(method, shape, axis=2)
    contract.test_samples_do_not_mix(method)
    contract.test_proportional_to_gradients_and_to_activations(method)
    monkeypatch.setattr(cams, "positive_grad_cam", lambda a, g: a.max(0))  # a wrong twin does not pass
    with pytest.raises(AssertionError):
        contract.test_equals_its_slow_twin(method, shape, signed=True)


def test_a_network() -> None:
    run("network")
    model = create("tiny", 3, {"width": 4})
    assert model(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert [MODELS.get("tiny").layers(model, point)[0].module for point in ("conv", "relu")] == ["0", "1"]


def test_a_data_set() -> None:
    run("dataset")
    opened = DATASETS.get("noise").open(DatasetOptions(size=16))
    assert Batch.of([opened.splits["test"][i] for i in range(4)]).images.shape == (4, 3, 16, 16)


def test_an_analysis() -> None:
    rows = [("a", "low", 0.1), ("a", "high", 0.4), ("a", "high", 0.2), ("b", "low", 0.3), ("b", "high", float("nan"))]
    frame = pd.DataFrame(rows, columns=["method", "layer", "energy_gain"]).assign(model="unet", level=90)
    metrics = [SimpleNamespace(name="energy_gain")]
    analyse = run("analysis")["analyse"]
    table, figure = analyse(SimpleNamespace(scores=lambda columns: frame[columns], metrics=metrics))
    assert table.frame[["method", "layer", "energy_gain"]].values.tolist() == [["a", "high", 0.3], ["b", "low", 0.3]]
    assert [bar.get_width() for bar in figure.figure.axes[0].patches] == [1, 1]
    assert str(figure.caption).startswith("high has the highest energy gain for 1 of 2 methods ")
    assert list(analyse(SimpleNamespace(metrics=[]))) == []


def test_a_package_of_ones_own_adds_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ROOT / "examples" / "plugin"
    groups = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]

    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group) for name, value in groups.get(group, {}).items()]

    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(registry, "entry_points", points)
    monkeypatch.setattr(METRICS, "_loaded", False)
    assert METRICS.get("lit_area").summary == "Share of cells of at least half the map's maximum"
