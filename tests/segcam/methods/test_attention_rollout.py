"""Attention rollout: right by the product of its matrices and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from segcam import InputError, Probe, Target
from segcam.methods.attention_rollout import attention_rollout
from segcam.probe.attention import Attention
from tests.attentions import NETWORKS, attention, images, network, twin
from tests.reference import attention as slow


def hierarchy(rng: np.random.Generator, b: int, prefix: int = 0) -> list[Attention]:
    """Three stages of an odd image: two blocks, one, two; the first with cells of no key."""
    shapes = [((9, 7), 4), ((9, 7), 4), ((5, 4), 2), ((3, 2), 1), ((3, 2), 1)]
    return [attention(rng, b, grid, reduction, prefix) for grid, reduction in shapes]


def chosen(rng: np.random.Generator, b: int, size: tuple[int, int] = (18, 14)) -> Tensor:
    return torch.from_numpy(rng.random((b, *size)) < 0.2)


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("size", [(18, 14), (9, 7), (37, 25)])
def test_rollout_equals_the_product_of_its_matrices(prefix: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    blocks, pixels = hierarchy(rng, 2, prefix), chosen(rng, 2, size)
    found = attention_rollout(blocks, pixels)
    assert found.shape == (2, 5, 9, 7)
    for i in range(2):
        for maps, wanted in zip(found[i], slow.rollout([twin(b, i) for b in blocks], pixels[i].numpy()), strict=True):
            np.testing.assert_allclose(maps.numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("prefix", [0, 1])
def test_rollouts_are_shares(prefix: int) -> None:
    rng = np.random.default_rng(7)
    found = attention_rollout(hierarchy(rng, 3, prefix), chosen(rng, 3))
    assert (found >= 0).all()
    assert torch.allclose(found.sum((2, 3)), torch.ones(3, 5, dtype=torch.float64))


def test_an_empty_pixel_set_has_no_rollout() -> None:
    rng = np.random.default_rng(8)
    blocks, pixels = hierarchy(rng, 2), chosen(rng, 2)
    pixels[0] = False
    found = attention_rollout(blocks, pixels)
    assert found[0].isnan().all()
    alone = attention_rollout([Attention(b.weights[1:], b.grid, b.reduction) for b in blocks], pixels[1:])
    torch.testing.assert_close(found[1:], alone)


def test_rollout_needs_attention() -> None:
    with pytest.raises(InputError, match="at least one block"):
        attention_rollout([], torch.ones(1, 2, 2, dtype=torch.bool))


def test_rollout_by_hand() -> None:
    """One block of two tokens: half stays, half follows the heads' mean; then half of both again."""
    weights = torch.tensor([[[[1.0, 0.0], [0.6, 0.4]], [[0.0, 1.0], [0.2, 0.8]]]], dtype=torch.float64)
    pixels = torch.tensor([[[True, False]]])
    found = attention_rollout([Attention(weights, (1, 2))] * 2, pixels)
    first = [0.5 + 0.25, 0.25]
    second = [0.75 * first[0] + 0.25 * 0.2, 0.75 * first[1] + 0.25 * 0.8]
    torch.testing.assert_close(found[0, :, 0], torch.tensor([first, second], dtype=torch.float64))


def test_rollout_of_attention_to_oneself_is_the_pixel_set() -> None:
    eye = Attention(torch.eye(12, dtype=torch.float64).expand(1, 2, -1, -1), (3, 4))
    pixels = torch.zeros(1, 6, 8, dtype=torch.bool)
    pixels[0, :2, :4] = True
    found = attention_rollout([eye, eye], pixels)
    wanted = torch.zeros(3, 4, dtype=torch.float64)
    wanted[0, :2] = 0.5
    assert torch.equal(found, wanted.expand(1, 2, 3, 4))


@pytest.mark.parametrize("axis", [1, 2])
def test_rollout_flips_with_the_image(axis: int) -> None:
    rng = np.random.default_rng(9)
    blocks, pixels = (
        [attention(rng, 1, grid, r) for grid, r in (((8, 12), 4), ((4, 6), 2), ((2, 3), 1))],
        chosen(rng, 1),
    )
    turned = []
    for block in blocks:
        six = block.weights.reshape(1, 2, *block.grid, *block.keys).flip(axis + 1, axis + 3)
        turned.append(Attention(six.reshape(block.weights.shape), block.grid, block.reduction))
    found, mirrored = attention_rollout(blocks, pixels), attention_rollout(turned, pixels.flip(axis))
    torch.testing.assert_close(found.flip(axis + 1), mirrored)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(64, 96), (72, 40)])
def test_rollout_of_networks(name: str, size: tuple[int, int]) -> None:
    model, layers, places = network(name)
    found = Probe(model, layers, attention=places)(images(*size), Target(1))
    maps = attention_rollout(list(found.attentions.values()), found.explained.chosen)
    assert maps.shape == (2, len(places), *found.attentions[places[0].label].grid)
    assert torch.allclose(maps.sum((2, 3)), torch.ones(2, len(places)), atol=1e-5)
    blocks = [twin(attention, 0) for attention in found.attentions.values()]
    if size == (72, 40):
        wanted = slow.rollout(blocks, found.explained.chosen[0].numpy())
        np.testing.assert_allclose(maps[0].numpy(), np.stack(wanted), atol=1e-6)
