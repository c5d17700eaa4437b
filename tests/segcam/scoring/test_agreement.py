"""Agreement between the maps of two targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segcam import InputError
from segcam.scoring.agreement import agreement
from tests.reference.agreement import agreement as slow
from tests.sceneries import maps


@pytest.mark.parametrize("grid", [(5, 4), (1, 7), (16, 16)])
def test_equals_the_slow_twin(grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    first, second = maps(rng, 3, 4, grid), maps(rng, 3, 4, grid)
    found = agreement(first, second)
    for i in range(3):
        for m in range(4):
            wanted = slow(first[i, m].numpy(), second[i, m].numpy())
            assert (found.correlation[i, m].item(), found.difference[i, m].item()) == pytest.approx(wanted, abs=1e-12)
    assert found.correlation.unique().numel() == 12


def test_by_hand() -> None:
    first = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    second = torch.tensor([[[[0.0, 2.0], [0.0, 0.0]]]])
    assert agreement(first, second).correlation.item() == pytest.approx(-1 / 3)
    assert agreement(first, second).difference.item() == 1
    assert agreement(first, 7 * first).correlation.item() == pytest.approx(1)
    assert agreement(first, 7 * first).difference.item() == 0


def test_where_it_is_undefined() -> None:
    plain, blank = torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    undefined, constant = torch.full((1, 1, 4, 4), math.nan), torch.full((1, 1, 4, 4), 0.7)
    one = torch.rand(1, 1, 1, 1)
    for other in (blank, undefined):
        for pair in ((plain, other), (other, plain), (other, other)):
            assert all(values.isnan().all() for values in agreement(*pair))
    assert agreement(plain, constant).correlation.isnan()
    assert 0 < agreement(plain, constant).difference <= 1
    assert agreement(constant, constant).difference == 0
    assert agreement(one, one).correlation.isnan()
    hole = plain.clone()
    hole[0, 0, 1, 2] = math.nan
    assert all(values.isnan().all() for values in agreement(plain, hole))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e30]), swap=st.booleans())
def test_free_of_scale_and_order(seed: int, scale: float, swap: bool) -> None:
    rng = np.random.default_rng(seed)
    first, second = (maps(rng, 2, 3, (6, 5)).float() for _ in range(2))
    before = first.clone()
    found = agreement(first, second)
    again = agreement(second, scale * first) if swap else agreement(scale * first, second)
    for one, other in zip(found, again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert (found.correlation.abs() <= 1).all()
    assert torch.equal(first, before)
    torch.testing.assert_close(agreement(first.flip(3), second.flip(3)), found, rtol=1e-4, atol=1e-5)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        agreement(torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 4))
