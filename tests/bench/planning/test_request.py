"""Requests: targets of a profile fit the run's images and classes, and masks that number classes otherwise."""

from __future__ import annotations

import pytest
import torch

from bench.measurements.material.selection import targets_called
from bench.planning.request import Request, check_target
from bench.planning.sections import Score
from segcam import InputError, Layer, Target

FITS = ["box(0,0,64,64):logit", "pixel(63,63):margin", "instance(63,0):logit", "border(2):pair", "truth:logit@output"]


@pytest.mark.parametrize("name", FITS)
def test_targets_that_fit(name: str) -> None:
    check_target(Target.parse(name, 1), 3, 64)


@pytest.mark.parametrize(
    ("name", "class_id", "message"),
    [
        ("box(0,0,65,64):logit", 1, r"box\(0,0,65,64\):logit' does not fit images of 64 x 64 pixels: .*rows 0 to 64"),
        ("pixel(0,64):logit@output", 1, "columns 64 to 64 reach out"),
        ("instance(64,0):logit", 1, r"point \(64, 0\) of target 'instance\(64,0\):logit' lies outside"),
        ("border(3):pair", 1, "class 3 does not exist: the network has classes 0 to 2"),
        ("predicted:pair(1)", {1, 2}, "compares a class with itself"),
        ("border(dog):pair", 1, "class 'dog' is a name"),
        ("predicted:logit", {0, 1, 2}, "holds all 3 classes"),
    ],
)
def test_targets_that_do_not_fit_are_told_before_a_run(name: str, class_id: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_target(Target.parse(name, class_id), 3, 64)  # type: ignore[arg-type]


def test_masks_have_the_classes_of_the_data_and_logits_those_of_the_network() -> None:
    settings = Score(
        targets=("hit:logit", "false_positive:margin"), own_pass_targets=("false_negative:logit",), class_id=1
    )
    request = Request.of_layers(settings, (Layer("a", "a"),), explained=frozenset({8, 12}), lookup=(0,) * 21)
    named = targets_called(("truth:logit",), request.targets[0])
    logits = torch.zeros(1, 21, 2, 2)
    logits[:, 8, 0], logits[:, 3, 1] = 1, 1  # one of the set in the first row, another class in the second
    masks = torch.tensor([[[1, 0], [1, 0]]])
    found = [t.explain(logits, (2, 2), masks).chosen[0].int().tolist() for t in (*request.targets, *named)]
    assert found == [[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[1, 0], [1, 0]]]
    (own,) = request.own_pass_targets
    assert own.explain(logits, (2, 2), masks).chosen[0].int().tolist() == [[0, 0], [1, 0]]
    same = Request.of_layers(settings, (Layer("a", "a"),))
    assert [target.true_class for target in same.targets] == [None, None]
