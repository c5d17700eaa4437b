"""Effective receptive fields: by closed form where weights are even, and of cells that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from segcam import InputError, Probe
from segcam.probe.placement.fields import places, width


def even(kernel: int, stride: int) -> nn.Sequential:
    """A network whose first layer answers to all pixels of a square alike."""
    net = nn.Sequential(nn.Conv2d(3, 4, kernel, stride), nn.Conv2d(4, 2, 1))
    nn.init.ones_(net[0].weight)  # type: ignore[arg-type]
    return net


@pytest.mark.parametrize("kernel", [1, 2, 5, 8])
def test_even_weights_on_a_square_have_its_side(kernel: int) -> None:
    found = Probe(even(kernel, kernel), "0").receptive_fields(torch.rand(2, 3, 40, 40))["0"]
    assert found.shape == (2, 4)
    assert found.flatten().tolist() == pytest.approx([kernel] * 8)


def test_all_of_an_oblong_image() -> None:
    gradients = torch.full((1, 3, 30, 50), -2.0)
    assert width(gradients).item() == pytest.approx(math.sqrt((30**2 + 50**2) / 2))
    spots = torch.zeros(2, 1, 9, 9)
    spots[:, 0, 4, 2] = 1
    spots[1, 0, 4, 6] = 1  # two pixels, each two from the middle
    assert width(spots).tolist() == pytest.approx([1, 5])
    assert width(torch.zeros(1, 3, 4, 4)).isnan().all()


def test_the_cells_are_spread_evenly() -> None:
    assert places((8, 12), 2) == [(2, 3), (2, 9), (6, 3), (6, 9)]
    assert places((7, 1), 3) == [(1, 0), (3, 0), (5, 0)]
    assert places((1, 1), 4) == [(0, 0)]
    assert len(places((5, 5), 16)) == 25


def test_a_later_layer_sees_more_and_a_dead_one_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2), nn.Conv2d(4, 2, 1))
    fields = Probe(net, ["0", "1"]).receptive_fields(torch.rand(1, 3, 32, 48), cells=3)
    assert fields["0"].shape == fields["1"].shape == (1, 9)
    assert (fields["0"] <= 3 * math.sqrt(1.5)).all()
    assert (fields["1"] > fields["0"]).all()
    nn.init.zeros_(net[0].weight)  # type: ignore[arg-type]
    assert Probe(net, "1").receptive_fields(torch.rand(1, 3, 32, 48))["1"].isnan().all()


def test_images_do_not_mix_and_the_network_is_left_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 2, 3, padding=1)).train()
    images = torch.rand(2, 3, 24, 24)
    both = Probe(net, "2").receptive_fields(images)["2"]
    # the channels' weights are drawn for the batch: the first image's come first
    assert both[0].tolist() != both[1].tolist()
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(both, Probe(net, "2").receptive_fields(images)["2"])
    changed = torch.cat([images[:1], torch.zeros(1, 3, 24, 24)])
    assert torch.equal(both[0], Probe(net, "2").receptive_fields(changed)["2"][0])


@pytest.mark.parametrize("cells", [0, -1, 1.5, "two"])
def test_a_number_of_cells_that_cannot_be(cells: object) -> None:
    with pytest.raises(InputError, match="cells"):
        Probe(even(2, 2), "0").receptive_fields(torch.rand(1, 3, 8, 8), cells=cells)  # type: ignore[arg-type]
