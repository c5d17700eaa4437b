"""What is handed in: numbers of any kind become the tensors that formulas need, and all else is refused in words."""

import numpy as np
import pytest
import torch

from segcam.arrays import booleans, integers, real, whole
from segcam.errors import InputError

VALUES = [[0, 1, 2], [3, 4, 5]]
read_only = np.array(VALUES, float)
read_only.flags.writeable = False

KINDS = [
    *(
        torch.tensor(VALUES).to(kind)
        for kind in (torch.float16, torch.bfloat16, torch.float32, torch.int16, torch.uint8)
    ),
    *(np.array(VALUES, kind) for kind in ("f2", ">f4", "i1", "u2", ">u8")),
    np.array(VALUES, np.float64).T.copy().T,
    np.array(VALUES, float)[::-1][::-1],
    read_only,
    VALUES,
    [torch.tensor(row) for row in VALUES],
    torch.tensor(VALUES, dtype=torch.float32).to_sparse(),
    torch.tensor(VALUES, dtype=torch.float32, requires_grad=True),
]


@pytest.mark.parametrize("values", KINDS)
def test_numbers_of_any_kind_are_taken(values):
    one = real(values, "maps")
    assert one.dtype in (torch.float32, torch.float64)
    assert one.detach().tolist() == VALUES
    assert integers(values, "labels").tolist() == VALUES


def test_what_is_right_is_passed_on_itself():
    for kind in (torch.float32, torch.float64):
        values = torch.ones(2, dtype=kind)
        assert real(values, "maps") is values


@pytest.mark.parametrize(
    "values",
    [
        *("abc", None, {1: 2}, [[1, 2], [3]], np.array(["a"]), np.array([1, None]), np.array([1j]), torch.ones(2) * 1j),
        [torch.ones(2), torch.ones(3)],
        np.ma.masked_array([1.0, 2.0], [True, False]),
    ],
)
def test_what_is_no_number_is_refused_by_name(values):
    with pytest.raises(InputError, match=r"^maps are"):
        real(values, "maps")


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_labels_are_whole(value):
    with pytest.raises(InputError, match=f"labels hold {value}: whole numbers"):
        integers(np.array([1.0, value]), "labels")


def test_a_mask_of_other_numbers_than_0_and_1_is_refused():
    assert booleans(np.array([0.0, 1.0]), "foreground").tolist() == [False, True]
    for mask in (torch.tensor([0, 255], dtype=torch.uint8), np.array([0, np.nan])):
        with pytest.raises(InputError, match=r"foreground hold (255|nan)"):
            booleans(mask, "foreground")


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), np.array([2]), torch.tensor(2), torch.tensor([2])])
def test_whole_numbers_of_any_kind(value):
    assert whole(value, "the class") == 2


@pytest.mark.parametrize(
    "value", [True, np.True_, torch.tensor(True), 2.0, np.float32(2), torch.tensor([1, 2]), "2", None]
)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(InputError, match=r"the class is .*: a whole number is needed"):
        whole(value, "the class")
