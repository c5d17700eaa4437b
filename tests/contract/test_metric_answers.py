"""What a perfect, an inverted and a random map score, for every metric: `@answers` beside its slow twin says it.

A blank map is in `test_metrics.py`: it has no value but being blank.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcam.metrics import METRICS
from segcam.scoring.reference import Scenery
from tests.reference import metrics as slow
from tests.reference import twin
from tests.reference.metrics import AREA, COLUMNS, KNOWN, OBJECT, ROWS, Answers

EVERY = pytest.mark.parametrize("name", METRICS.names())


def _value(name: str, maps: np.ndarray) -> np.ndarray:
    def repeated(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.repeat(array[None], len(maps), 0))

    scenery = Scenery(repeated(KNOWN.luminance), repeated(OBJECT), repeated(~OBJECT), tuple(map(str, range(len(maps)))))
    reference = scenery.on((ROWS, COLUMNS))
    return METRICS.get(name).compute(torch.from_numpy(maps)[:, None].double(), reference)[:, 0].numpy()


def _answers(name: str) -> Answers:
    twin(slow, "metric", name)
    assert name in slow.ANSWERS, (
        f"say what {name} scores with `@answers(perfect, inverted, random)` above its slow twin in "
        "tests/reference/metrics.py"
    )
    return slow.ANSWERS[name]


@EVERY
def test_a_perfect_map(name: str) -> None:
    value = _value(name, OBJECT[None].astype(float))[0]
    assert value == pytest.approx(_answers(name).perfect, abs=1e-6, nan_ok=True)


@EVERY
def test_an_inverted_map(name: str) -> None:
    value = _value(name, (~OBJECT)[None].astype(float))[0]
    assert value == pytest.approx(_answers(name).inverted, abs=1e-6, nan_ok=True)


@EVERY
def test_a_random_map(name: str) -> None:
    noise = np.random.default_rng(0).random((60, ROWS, COLUMNS))
    assert _value(name, noise).mean() == pytest.approx(_answers(name).random, abs=_answers(name).close)


@EVERY
def test_a_perfect_map_is_the_better_one(name: str) -> None:
    metric, answers = METRICS.get(name), _answers(name)
    if metric.direction == "none" or name == "blank":
        pytest.skip("the metric does not judge")
    better = answers.perfect > max(answers.inverted, answers.random)
    worse = answers.perfect < min(answers.inverted, answers.random)
    assert better if metric.direction == "higher" else worse


@EVERY
def test_what_it_says_of_chance_is_what_noise_scores(name: str) -> None:
    chance = METRICS.get(name).chance
    if chance is None:
        pytest.skip("the metric has no chance value")
    assert _answers(name).random == pytest.approx(AREA if chance == "area" else chance)
