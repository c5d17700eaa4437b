"""The recipes of CONTRIBUTING.md run as they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segcam import Batch
from segcam.datasets import DATASETS, DatasetOptions
from segcam.methods import METHODS
from segcam.metrics import METRICS, measure
from segcam.models import MODELS, create
from tests.contract import test_methods as contracts
from tests.reference import cams
from tests.sceneries import scene, scenery

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE))
TWIN = TEXT.split("Its twin in `tests/reference/cams.py`")[1].split("```python\n")[1].split("```")[0]


@pytest.fixture(autouse=True)
def registries_as_before() -> Iterator[None]:
    kept = [(r, [r.names(), dict(r._items)][1]) for r in (METRICS, METHODS, MODELS, DATASETS)]
    yield
    for registry, items in kept:
        registry._items.clear()
        registry._items.update(items)


def run(title: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(RECIPES[title], names)
    return names


def test_there_are_five() -> None:
    assert list(RECIPES) == ["A metric", "A method", "A network", "A data set", "An analysis"]


def test_metric() -> None:
    run("A metric")
    reference = scenery([scene(np.random.default_rng(0), (16, 16))]).on((2, 2))
    maps = torch.tensor([[[[1.0, 2.0], [4.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]], dtype=torch.float64)
    found = measure(maps, reference, [METRICS.get("middle")])["middle"][0]
    assert found[0] == 0.5
    assert found[1].isnan()


def test_method(monkeypatch: pytest.MonkeyPatch) -> None:
    run("A method")
    monkeypatch.setattr(cams, "SIGNED", dict(cams.SIGNED))
    exec(TWIN, {})
    method, contract = METHODS.get("mean_activation"), contracts.TestGradientMethods()
    contracts.test_metadata(method)
    monkeypatch.setitem(contracts.TWINS, method.name, lambda a, g: cams.maps(method.name, a, g))
    for shape in contracts.SHAPES.values():
        contract.test_equals_its_slow_twin(method, shape, signed=True)
        contract.test_before_relu_equals_the_twin_too(method, shape)
        contract.test_flips_with_its_input(method, shape, axis=2)
    contract.test_samples_do_not_mix(method)
    monkeypatch.setitem(cams.SIGNED, method.name, lambda a, g: a.max(0))  # a wrong twin does not pass
    with pytest.raises(AssertionError):
        contract.test_equals_its_slow_twin(method, contracts.SHAPES["more cells"], signed=True)
    found = METHODS.get("mean_activation").gradient(torch.tensor([[[[2.0]], [[-4.0]]]]), torch.zeros(1, 2, 1, 1))
    assert found.tolist() == [[[0.0]]]


def test_network() -> None:
    run("A network")
    model = create("tiny", 3, {"width": 4})
    assert model(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert MODELS.get("tiny").layers(model, "conv")[0].label == "Only"


def test_data_set() -> None:
    run("A data set")
    opened = DATASETS.get("noise").open(DatasetOptions(size=16))
    assert Batch.of([opened.splits["test"][i] for i in range(4)]).images.shape == (4, 3, 16, 16)


def test_analysis() -> None:
    names = run("An analysis")

    class Rows:
        def scores(self, columns: list[str]) -> Any:
            import pandas as pd

            return pd.DataFrame({"method": ["a", "b", "a"], "level": [1, 1, 1]})

        def caption_note(self) -> str:
            return ""

    (table,) = names["analyse"](Rows())
    assert table.frame["maps"].tolist() == [2, 1]
