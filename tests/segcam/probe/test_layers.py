"""What names no layer is told in words; a module may have several names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcam import Layer, Probe, ProbeError, Target, grad_cam
from tests.small_networks import seeded

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)
        self.other = self.one

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.other(x))


@pytest.mark.parametrize("wanted", [None, 5, [None], ["one", 5]])
def test_what_names_no_layer(wanted: Any) -> None:
    with pytest.raises(ProbeError, match=r"(None|5) names no layer: give paths of modules"):
        Probe(Tied(), wanted)


def test_a_class_is_not_a_layer() -> None:
    kind: Any = nn.Conv2d
    with pytest.raises(ProbeError, match="all of a class '\\*' with kind=Conv2d"):
        Probe(Tied(), kind)
    assert len(Probe(Tied(), "*", kind=nn.Conv2d).layers) == 2


def test_a_module_of_two_names_has_the_same_maps_by_both() -> None:
    model = seeded(Tied).float()
    wanted = Probe(model, "one")(IMAGES, Target(1)).maps(grad_cam, "one")
    capture = Probe(model, ["one", "other", Layer("other", "described")])(IMAGES, Target(1))
    for label in ("one", "other", "described"):
        assert torch.equal(capture.maps(grad_cam, label), wanted)
    with pytest.raises(ProbeError, match=r"several layers were probed: name one, .* of one, other, described"):
        capture.maps(grad_cam)
