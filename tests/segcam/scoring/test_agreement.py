"""Agreement of two maps: against slow twins, scipy and scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import Tensor

from segcam import InputError
from segcam.scoring.agreement import agreement, ranks, spearman, ssim
from tests.reference.agreement import agreement as slow_agreement
from tests.sceneries import maps

GRIDS = [(9, 8), (5, 4), (3, 11), (16, 16)]


@pytest.mark.parametrize("grid", [(5, 4), (1, 7), (16, 16)])
def test_equals_the_slow_twin(grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    first, second = maps(rng, 3, 4, grid), maps(rng, 3, 4, grid)
    found = agreement(first, second)
    for i in range(3):
        for m in range(4):
            wanted = slow_agreement(first[i, m].numpy(), second[i, m].numpy())
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


def pair(grid: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    first, second = maps(rng, 2, 3, grid), maps(rng, 2, 3, grid)
    second[0] = (first[0] + second[0]) / 2
    return (first - 0.3).relu(), (second - 0.3).relu()  # ties at zero, as behind ReLU


@pytest.mark.parametrize("grid", GRIDS)
def test_similarities_are_those_of_scipy_and_scikit_image(grid: tuple[int, int]) -> None:
    first, second = pair(grid)
    where = torch.from_numpy(np.random.default_rng(1).random((2, *grid)) < 0.6)
    side = min(7, *grid)
    similarities = spearman(first, second), spearman(first, second, where), ssim(first, second)
    for i, m in np.ndindex(2, 3):
        one, two = first[i, m].numpy(), second[i, m].numpy()
        inside = where[i].numpy()
        units = one / one.max(), two / two.max()
        theirs = (
            spearmanr(one.ravel(), two.ravel()).statistic,
            spearmanr(one[inside], two[inside]).statistic,
            structural_similarity(*units, data_range=1, win_size=side - 1 + side % 2),
        )
        assert [values[i, m].item() for values in similarities] == pytest.approx(theirs, abs=1e-12)
    assert similarities[0].unique().numel() == 6


def test_a_map_is_like_itself_and_its_multiples() -> None:
    first, second = pair((9, 9), 3)
    ones = torch.ones(2, 3, dtype=torch.float64)
    for other in (first, 1e-20 * first, 1e20 * first):
        torch.testing.assert_close(spearman(first, other), ones)
        torch.testing.assert_close(ssim(first, other), ones)
    torch.testing.assert_close(spearman(first, first.exp() - 1), ones)  # of the same order
    assert (spearman(first, first.max() - first) < 0).all()
    torch.testing.assert_close(spearman(first, second), spearman(second, first))
    torch.testing.assert_close(ssim(first, second), ssim(second, first))
    assert (ssim(first.float(), second.float()) - ssim(first, second)).abs().max() < 1e-5


def test_ranks_by_hand() -> None:
    found = ranks(torch.tensor([[[[0.0, 0.0, 3.0], [1.0, 0.0, 1.0]]]]))
    assert found.flatten().tolist() == [2, 2, 6, 4.5, 2, 4.5]


def test_where_similarities_are_undefined() -> None:
    plain, blank = torch.rand(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    hole, infinite = plain.clone(), plain.clone()
    hole[0, 0, 1, 2], infinite[0, 0, 1, 2] = math.nan, math.inf
    constant = torch.full((1, 1, 9, 9), 0.7) * (1 + torch.rand(1, 1, 9, 9) * 1e-8)
    for other in (blank, hole, infinite, constant):
        for one, two in ((plain, other), (other, plain), (other, other)):
            assert spearman(one, two).isnan().all()
            assert ssim(one, two).isnan().all()
    assert ssim(plain[..., :2], plain[..., :2]).isnan().all()  # no window of three cells
    assert spearman(plain[..., :1, :1], plain[..., :1, :1]).isnan().all()
    assert spearman(plain, plain, torch.zeros(1, 9, 9, dtype=torch.bool)).isnan().all()
    assert spearman(plain, plain).item() == pytest.approx(1)


def test_wrong_shapes_and_windows_are_refused() -> None:
    one = torch.rand(1, 2, 9, 9)
    for function in (agreement, spearman, ssim):
        with pytest.raises(InputError, match="cannot be compared"):
            function(one, one[:, :1])
        with pytest.raises(InputError, match="cannot be compared"):
            function(one[0], one[0])
    with pytest.raises(InputError, match="window of SSIM is 4"):
        ssim(one, one, 4)


COMPARED = pytest.mark.parametrize("compare", [lambda a, b: agreement(a, b).correlation, spearman, ssim])


@COMPARED
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.uint8, torch.int64, np.float16, float])
def test_maps_of_any_kind_are_compared_as_their_numbers_are(compare, kind) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(11)
    first, second = ((maps(rng, 2, 3, (9, 8)) * 40).round() for _ in range(2))
    given = first.to(kind) if isinstance(kind, torch.dtype) else first.numpy().astype(kind)
    np.testing.assert_allclose(compare(given, second), compare(first, second), atol=1e-6)
    np.testing.assert_allclose(compare(second, given), compare(second, first), atol=1e-6)


@COMPARED
def test_signed_maps_and_maps_of_nothing_are_refused(compare) -> None:  # type: ignore[no-untyped-def]
    positive = maps(np.random.default_rng(12), 1, 1, (9, 8))
    for first, second in ((positive, positive - 0.5), (positive - 0.5, positive)):
        with pytest.raises(InputError, match="are compared by what speaks for the target"):
            compare(first, second)
    for wrong in ("maps", None, positive[0], positive[..., :0]):
        with pytest.raises(InputError, match="maps"):
            compare(wrong, wrong)


def test_cells_compared_are_booleans_of_the_maps_cells() -> None:
    first, second = (maps(np.random.default_rng(seed), 2, 1, (5, 4)) for seed in (13, 14))
    where = np.random.default_rng(15).random((2, 5, 4)) > 0.4
    expected = spearman(first, second, torch.from_numpy(where))
    torch.testing.assert_close(spearman(first, second, where.astype(np.uint8)), expected)
    with pytest.raises(InputError, match="where is"):
        spearman(first, second, where[0])
    with pytest.raises(InputError, match="where hold 255"):
        spearman(first, second, np.full((2, 5, 4), 255))
