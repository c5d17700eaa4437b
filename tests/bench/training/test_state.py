"""The saved state of a training: what is not whole, or of another training, is refused before anything is changed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from analyses.reading.manifest import BEST
from bench.training.trainer import Trainer
from segcam import InputError
from segcam.models.weights.checkpoints import pack, unpack
from tests.bench.training.test_trainer import job

Parts = tuple[dict[str, Tensor], dict[str, Any]]


def trainer(**changed: Any) -> Trainer:
    return Trainer(job(levels=(45, 99), **changed))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """The tensors and the header of a state at step 4."""
    going = trainer()
    going._evaluate(0)
    going.advance(4, lambda *_: None)
    going._evaluate(4)
    file = tmp_path_factory.mktemp("state") / "state"
    file.write_bytes(going.state())
    return unpack(file)


def refused(folder: Path, tensors: dict[str, Tensor], header: dict[str, Any], **changed: Any) -> str:
    file = folder / "state"
    file.write_bytes(pack(tensors, header))
    going = trainer(**changed)
    before = {n: t.clone() for n, t in going.model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        going.restore(file)
    assert str(caught.value).startswith(f"{file} cannot be read as the state of this training (")
    assert str(caught.value).endswith("): delete it, and this training starts anew from its first step; no other "
                                      "result is touched")  # fmt: skip
    assert all(torch.equal(t, before[n]) for n, t in going.model.state_dict().items())
    assert (going.step, going.search.history, going.optimiser.state_dict()["state"]) == (0, [], {})
    return str(caught.value)


def test_a_whole_one_is_taken(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "state").write_bytes(pack(*parts))
    going = trainer()
    going.restore(tmp_path / "state")
    assert going.step == 4
    assert [e.step for e in going.search.history] == [0, 4]
    assert set(going.search.nearest) == {45, 99, BEST}


def test_one_of_before_the_first_step_is_taken(tmp_path: Path) -> None:
    going = trainer()
    going._evaluate(0)
    (tmp_path / "state").write_bytes(going.state())
    again = trainer()
    again.restore(tmp_path / "state")
    assert again.step == 0
    assert len(again.search.history) == 1


def at(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets, or with None removes, a value at a place of the header."""

    def change(header: dict[str, Any]) -> None:
        for key in path[:-1]:
            header = header[key]
        header[path[-1]] = value

    return change


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (at("step", value=31), "it is at step 31 of 30"),
        (at("begun", value=5), "its last evaluation is after its step 4"),
        (at("begun", value=True), "'begun' of the header"),
        (at("start", value=-1), "'start' of the header"),
        (at("start", value=1), "it is of start 2 of 1"),
        (at("search", "history", 0, "initial_answer", value="foreground"), "did not begin at the answer 'random'"),
        (at("search", "history", 0, "initial_answer", value=""), "'search.history.0.initial_answer'"),
        (at("search", "earlier", value=[3]), "'search.earlier.0'"),
        (at("search", value=3), "'search' of the header"),
        (at("search", value={}), "'search.interval' of the header: field required"),
        (at("search", "interval", value=0), "'search.interval'"),
        (at("search", "interval", value=True), "'search.interval'"),
        (at("search", "interval", value=5), "its interval of 5 steps is longer than 4"),
        (at("search", "history", value=[3]), "'search.history.0'"),
        (at("search", "history", value={}), "'search.history'"),
        (at("search", "history", value=[]), "its levels are 100, 45, 99, not"),
        (at("search", "history", 0, "miou", value=1.1), "a number from 0 to 1"),
        (at("search", "history", 0, "miou", value=-INF), "a number from 0 to 1"),
        (at("search", "history", 0, "step", value=-1), "'search.history.0.step'"),
        (at("search", "history", 0, "step", value=4), "two evaluations of one step"),
        (at("search", "history", 0, "step", value=2.0), "'search.history.0.step'"),
        (at("search", "history", 0, "iou", value=[0.5]), "not of 2 classes"),
        (at("search", "history", 0, "iou", value="ab"), "'search.history.0.iou'"),
        (at("search", "history", 0, "seconds", value=NAN), "'search.history.0.seconds'"),
        (at("search", "history", 0, "more", value=1), "'search.history.0.more'"),
        (at("search", "nearest", value={}), "its levels are none, not 100, 45, 99"),
        (at("search", "nearest", "x", value={}), "'search.nearest.x"),
        (at("search", "nearest", "45", "miou", value=0.123), "not among all"),
    ],
)
def test_damaged_headers(tmp_path: Path, parts: Parts, change: Callable[[dict[str, Any]], None], words: str) -> None:
    tensors, header = parts[0], copy.deepcopy(parts[1])
    change(header)
    assert words in refused(tmp_path, tensors, header)


BIAS = "model.0.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({BIAS: None}, f"tensor '{BIAS}' is absent in the file and (6,) of float32 in the training"),
        ({BIAS: torch.zeros(5)}, f"tensor '{BIAS}' is (5,) of float32 in the file"),
        ({BIAS: torch.zeros(6).double()}, f"tensor '{BIAS}' is (6,) of float64 in the file"),
        ({BIAS: torch.full((6,), NAN)}, f"tensor '{BIAS}' holds NaN or infinity"),
        ({"average.module.0.bias": torch.full((6,), INF)}, "'average.module.0.bias' holds NaN or infinity"),
        ({"nearest.45.0.bias": None}, "tensor 'nearest.45.0.bias' is absent in the file"),
        ({"nearest.46.0.bias": torch.zeros(6)}, "'nearest.46.0.bias' is (6,) of float32 in the file and absent"),
        ({"optimiser.0.exp_avg": None}, "'optimiser.0.exp_avg' is absent in the file"),
        ({"optimiser.0.exp_avg_sq": torch.zeros(2)}, "'optimiser.0.exp_avg_sq' is (2,)"),
        ({"optimiser.0.step": torch.zeros(1)}, "'optimiser.0.step' is (1,)"),
        ({"optimiser.x.step": torch.tensor(0.0)}, "'optimiser.x.step' is ()"),
        ({"optimiser.9.step": torch.tensor(0.0)}, "'optimiser.9.step' is ()"),
        ({"losses": None}, "'losses' is absent in the file and (4,) of float32"),
        ({"losses": torch.zeros(3)}, "'losses' is (3,) of float32 in the file and (4,)"),
        ({"snapshots.2.0.bias": None}, "'snapshots.2.0.bias' is absent in the file"),
        ({"snapshots.5.0.bias": torch.zeros(6)}, "'snapshots.5.0.bias' is (6,) of float32 in the file and absent"),
        ({"hints.maps.0.bias": torch.zeros(6)}, "'hints.maps.0.bias' is (6,)"),
        ({"stray": torch.zeros(1)}, "'stray' is (1,)"),
    ],
)
def test_damaged_tensors(tmp_path: Path, parts: Parts, change: dict[str, Tensor | None], words: str) -> None:
    tensors = {n: t for n, t in (parts[0] | change).items() if t is not None}
    assert words in refused(tmp_path, tensors, parts[1])


def test_a_state_of_another_training(tmp_path: Path, parts: Parts) -> None:
    assert "it is at step 4 of 3" in refused(tmp_path, *parts, steps=3)


def test_what_is_no_state(tmp_path: Path, parts: Parts) -> None:
    file = tmp_path / "state"
    for data, words in [
        (b"half", "delete it, and this training starts anew"),
        (pack(parts[0], {"step": 4}), "the header lacks 'start'"),
        (pack(parts[0], {**parts[1], "search": {"interval": 10**400}}), "'search."),
    ]:
        file.write_bytes(data)
        with pytest.raises(InputError) as caught:
            trainer().restore(file)
        assert words in str(caught.value)
        assert "delete it, and this training starts anew from its first step" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    ("search",),
    *(("search", key) for key in ("interval", "history", "nearest")),
    *(("search", "history", n, key) for n in (0, 1) for key in ("step", "loss", "iou", "miou", "seconds", "other")),
    *(("search", "nearest", key) for key in ("45", "99", "x")),
    ("search", "nearest", "45", "step"),
]


@settings(max_examples=80, deadline=None)
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_header_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, parts: Parts, place: tuple[Any, ...], value: Any
) -> None:
    header = copy.deepcopy(parts[1])
    at(*place, value=value)(header)
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(pack(parts[0], header))
    with contextlib.suppress(InputError):
        trainer().restore(file)
