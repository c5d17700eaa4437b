"""Scores of classes: against the sum written out, and where products of float64 underflow."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segcam.networks.queries import class_scores
from segcam.networks.queries.scores import resized


def plain(classes: Tensor, masks: Tensor) -> Tensor:
    """The sum as the paper writes it, with nothing done for small numbers."""
    return torch.log(torch.einsum("bqc,bqhw->bchw", classes.softmax(-1)[..., :-1], masks.sigmoid()))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 4), st.floats(0, 8), st.integers(0, 2**31))
def test_scores_are_the_sum_over_queries(queries: int, classes: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(2, queries, classes + 1, generator=generator, dtype=torch.float64)
    masks = scale * torch.randn(2, queries, 3, 4, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    masks.requires_grad_()
    found, wanted = class_scores(logits, masks), plain(logits, masks)
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-12)
    weights = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for mine, right in zip(
        torch.autograd.grad((found * weights).sum(), (logits, masks)),
        torch.autograd.grad((wanted * weights).sum(), (logits, masks)),
        strict=True,
    ):
        assert torch.allclose(mine, right, rtol=1e-7, atol=1e-9)


def test_nothing_underflows() -> None:
    """One query has the class and no mask here, the other the mask and not the class: all terms are tiny."""
    logits = torch.tensor([[[3000.0, 0.0, 0.0], [0.0, 0.0, 2000.0]]], requires_grad=True)
    masks = torch.tensor([[[[-1500.0]], [[1000.0]]]], requires_grad=True)
    scores = class_scores(logits, masks)[0, :, 0, 0]
    # Class 0: 1 * e^-1500 + e^-2000; class 1: e^-3000 * e^-1500 + e^-2000, so the first term is lost beside the second.
    assert scores.tolist() == pytest.approx([-1500.0, -2000.0])
    gradients = torch.autograd.grad(scores[1], (logits, masks))
    assert all(bool(torch.isfinite(one).all()) for one in gradients)
    assert gradients[0][0, 1].tolist() == pytest.approx([0.0, 1.0, -1.0])


def test_scores_are_upsampled_as_probabilities() -> None:
    scores = torch.tensor([[[[0.0, -3.0]], [[-700.0, -710.0]]]], dtype=torch.float64)
    found = resized(scores, (2, 4))
    right = torch.nn.functional.interpolate(scores.exp(), (2, 4), mode="bilinear").log()
    assert torch.allclose(found[:, 0], right[:, 0])
    assert found[0, 1, 0, 1].item() == pytest.approx(-700 + torch.tensor(0.75 + 0.25 * torch.e**-10).log().item())
    assert resized(scores, (1, 2)) is scores
    deep = resized(torch.tensor([[[[0.0, -5000.0]]]], dtype=torch.float64), (1, 4))
    assert bool(torch.isfinite(deep).all())
