"""What a perfect, an inverted and a random map score, for every metric: the numbers follow from the definitions alone.

The maps have the image's resolution, so that nothing is upsampled; the object is a rectangle, without a border, whose
area, outline and perimeter are known. A blank map is in `test_metrics.py`: it has no value but being blank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from skimage.filters import sobel

from segcam.metrics import METRICS
from segcam.scoring.reference import Scenery

ROWS, COLUMNS = 40, 48
TALL, WIDE = 12, 16
N, INSIDE = ROWS * COLUMNS, TALL * WIDE
AREA = INSIDE / N
TURNED = (TALL + WIDE, ROWS + COLUMNS)
"""Half the perimeters of the object and of the image."""
REACH = 1
"""Of the band along the outline: 2 % of the diagonal of 62 pixels."""


@dataclass(frozen=True)
class Answers:
    """What a metric gives; the random map's value is a mean over many.

    Attributes:
        perfect: of the mask itself.
        inverted: of all that is not the mask.
        random: of independent uniform numbers.
        close: how near the mean of random maps must come.
    """

    perfect: float
    inverted: float
    random: float
    close: float = 0.01


def _world() -> tuple[np.ndarray, np.ndarray]:
    luminance = np.random.default_rng(7).random((ROWS, COLUMNS))
    foreground = np.zeros((ROWS, COLUMNS), bool)
    foreground[10 : 10 + TALL, 8 : 8 + WIDE] = True
    luminance[foreground] += 0.5
    return luminance, foreground


LUMINANCE, FOREGROUND = _world()
BAND = (maximum_filter(FOREGROUND, 2 * REACH + 1) & maximum_filter(~FOREGROUND, 2 * REACH + 1)).astype(float)
ALIGNED = float(np.corrcoef(FOREGROUND.ravel(), sobel(LUMINANCE, mode="nearest").ravel())[0, 1])

ANSWERS = {
    "energy_inside": Answers(1, 0, AREA),
    "energy_gain": Answers(1, -AREA / (1 - AREA), 0),
    "background_ratio": Answers(0, 1, 0.5),
    "edge_alignment": Answers(ALIGNED, -ALIGNED, 0),
    "edge_alignment_full": Answers(ALIGNED, -ALIGNED, 0),
    "boundary_energy": Answers(
        BAND[FOREGROUND].mean() / BAND.mean(), BAND[~FOREGROUND].mean() / BAND.mean(), 1, close=0.03
    ),
    # twice the area over the perimeter; of noise, half of all pixels are in, and half of all sides are between unlike
    "edge_thickness": Answers(
        INSIDE / TURNED[0], (N - INSIDE) / sum(TURNED), N / (N - TURNED[1] / 2 + TURNED[1]), close=0.02
    ),
    "spread": Answers(
        math.log(INSIDE) / math.log(N), math.log(N - INSIDE) / math.log(N), 1 - (math.log(2) - 0.5) / math.log(N)
    ),
    "gini": Answers(1 - AREA, AREA, 1 / 3),
    "pointing_game": Answers(1, 0, AREA, close=0.06),
    "iou": Answers(1, 0, AREA / (1 + AREA)),  # the threshold of noise is a half
    "average_precision": Answers(1, AREA, AREA, close=0.03),  # the inverted map ranks the whole object last, as one
    "blank": Answers(0, 0, 0),
}

EVERY = pytest.mark.parametrize("name", METRICS.names())


def _value(name: str, maps: np.ndarray) -> np.ndarray:
    def repeated(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.repeat(array[None], len(maps), 0))

    scenery = Scenery(
        repeated(LUMINANCE), repeated(FOREGROUND), repeated(~FOREGROUND), tuple(map(str, range(len(maps))))
    )
    reference = scenery.on((ROWS, COLUMNS))
    return METRICS.get(name).compute(torch.from_numpy(maps)[:, None].double(), reference)[:, 0].numpy()


def _answers(name: str) -> Answers:
    assert name in ANSWERS, f"say in ANSWERS what {name} gives for a perfect, an inverted and a random map"
    return ANSWERS[name]


@EVERY
def test_a_perfect_map(name: str) -> None:
    assert _value(name, FOREGROUND[None].astype(float))[0] == pytest.approx(_answers(name).perfect, abs=1e-6)


@EVERY
def test_an_inverted_map(name: str) -> None:
    assert _value(name, (~FOREGROUND)[None].astype(float))[0] == pytest.approx(_answers(name).inverted, abs=1e-6)


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
