"""What a network predicts, in the data's words and in the place of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.networks.given import Given
from bench.networks.predictions import PredictedMasks, lookup
from bench.planning import profile as profiles
from bench.planning.data import open_data
from bench.planning.profile import Profile
from segcam.errors import SegcamWarning
from segcam.samples import IGNORE
from tests.bench.explaining.material import GREEN, NETS, RED, photographs

pytestmark = pytest.mark.filterwarnings(f"ignore::{SegcamWarning.__module__}.SegcamWarning")


@pytest.mark.parametrize(
    ("classes", "named", "explained", "class_id", "wanted"),
    [
        (["b", "cat"], ["b", "cat"], {1}, 1, None),
        (["x", "y"], ["b", "cat"], {1}, 1, None),
        (["b", "cat", "sofa", "dog"], ["b", "pet"], {1, 3}, 1, (0, 1, 0, 1)),
        (["sky", "dog", "cat"], ["b", "cat", "dog", "cow"], {2}, 1, (0, 2, 1)),
        (["b", "car", "bus"], ["b", "cat", "dog", "cow"], {1, 2}, frozenset({2, 3}), (0, 2, 2)),
    ],
)
def test_classes_in_the_words_of_the_data(
    classes: list[str], named: list[str], explained: set[int], class_id: int, wanted: tuple[int, ...] | None
) -> None:
    assert lookup(classes, named, explained, class_id) == wanted


def profile(place: Path, network: dict[str, object]) -> Profile:
    """Return a profile of one network, for the photographs in `place` without masks."""
    values = {
        "name": "p",
        "data": {
            "dataset": "photographs",
            "size": 32,
            "resize": "pad",
            "root": str(place / "photos"),
            "classes": ["background", "cat", "dog"],
        },
        "networks": {"mine": {"source": f"{place / 'nets.py'}:build", **network}},
    }
    return profiles.of_values(values, "p", [])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = photographs(tmp_path / "place")
    (folder / "nets.py").write_text(NETS)
    return folder


def predicted(read: Profile) -> tuple[PredictedMasks, Given]:
    data = open_data(read, root=None, download=False)
    given = Given(read, data, torch.device("cpu"))
    (cell,) = given.cells
    return PredictedMasks(data.test, given.network(cell, 1), given.request(cell, read.score)), given


def test_masks_are_what_the_network_answers(place: Path) -> None:
    """Red is class 1 and green class 2; padding is nobody's."""
    masks, _ = predicted(profile(place, {"classes": ["background", "cat", "dog"]}))
    both, plain, red = (masks[i] for i in range(3))
    assert set(np.unique(both.mask)) == {0, 1, 2}
    assert both.mask[8, 8] == 1
    assert both.mask[22, 22] == 2
    for colour, index in ((RED, 1), (GREEN, 2)):
        inside = (both.image == colour).all(2)
        assert (both.mask == index)[inside].mean() > 0.6
        assert (both.mask == index)[~inside].mean() < 0.05
    assert set(np.unique(plain.mask)) == {0}
    assert red.valid is not None
    assert (red.mask[~red.valid] == IGNORE).all()
    assert set(np.unique(red.mask[red.valid])) == {0, 1}


def test_other_names_of_classes(place: Path) -> None:
    """Of a network of one logit the class has the data's index that it is said to be."""
    settings = {"arguments": {"classes": 1}, "classes": ["tomcat"], "explained": "tomcat"}
    masks, _ = predicted(profile(place, settings))
    assert set(np.unique(masks[0].mask)) == {0, 1}
    assert masks[0].mask[8, 8] == 1
    assert masks[0].mask[22, 22] == 0


def test_a_prediction_is_made_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks, _ = predicted(profile(place, {}))
    first = masks[0].mask
    monkeypatch.setattr(PredictedMasks, "_predicted", None)
    assert (masks[0].mask == first).all()


def test_weights_are_told_apart_by_their_hash(place: Path) -> None:
    """And the same ones are opened once, with the run's normalisation in front."""
    given = predicted(profile(place, {"levels": "mine"}))[1]
    (cell,) = given.cells
    assert given.network(cell, 1) is given.network(cell, 1)
    (entry,) = given.entries()
    assert entry.name == "mine"
    assert entry.sha256 == given.weights(cell)[1]
    assert isinstance(given.network(cell, 1), nn.Sequential), "the user's own module"
