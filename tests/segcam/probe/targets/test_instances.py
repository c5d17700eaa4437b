"""Instances and errors at other resolutions, and of networks whose output is the input's middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from segcam import Probe, Target, grad_cam
from tests.reference import targets as slow
from tests.reference.metrics import area_average


def blobs(size: tuple[int, int], seed: int = 0, count: int = 2) -> torch.Tensor:
    """Masks of a few classes in blobs, some of them ignored."""
    generator = torch.Generator().manual_seed(seed)
    found = nn.functional.interpolate(torch.randn(count, 4, 5, 5, generator=generator), size, mode="bicubic").argmax(1)
    return torch.where(found == 3, 255, found)


class Fixed(nn.Module):
    """A network that answers at a stride what is asked of it, and leads back to its input."""

    def __init__(self, classes: torch.Tensor, stride: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, stride, stride=stride)
        self.head = nn.Conv2d(4, 3, 1)
        self.answer = nn.functional.one_hot(classes, 3).permute(0, 3, 1, 2).float()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of which the wanted class's is the largest."""
        z: torch.Tensor = 0.01 * self.head(self.layer(images)) + self.answer
        return z


POINT = (6, 21)
SETS = ["instance(6,21)", "largest", "smallest", "instance_truth(6,21)", "largest_truth", "smallest_truth"]


@pytest.mark.parametrize("pixels", [*SETS, "hit", "false_positive", "false_negative"])
def test_at_the_resolution_of_the_output(pixels: str) -> None:
    size, stride = (24, 36), 4
    grid = (6, 9)
    classes, masks = blobs(grid, 3).clamp(max=2), blobs(size, 1)
    capture = Probe(Fixed(classes, stride), "layer")(
        torch.rand(2, 3, *size), Target(1, pixels, at="output"), masks=masks
    )
    cell = (POINT[0] // stride, POINT[1] // stride)
    for i in range(2):
        here, mask = (classes[i] == 1).numpy(), masks[i].numpy()
        true = area_average((mask == 1).astype(float), *grid) > 0.5 + 1e-9
        which, _, of_truth = pixels.partition("(")[0].partition("_")
        if which == "false":
            wanted = here & slow.beside(mask, 1, grid) if of_truth == "positive" else true & ~here
        elif which == "hit":
            wanted = here & true
        elif of_truth:  # connected as the masks have it, then brought to the grid
            part = slow.part(mask == 1, which, POINT)
            wanted = area_average(part.astype(float), *grid) > 0.5 + 1e-9
        else:
            wanted = slow.part(here, which, cell)
        assert np.array_equal(capture.explained.chosen[i].numpy(), wanted)
    assert capture.explained.chosen.any() or pixels == "smallest_truth"  # which is thinner than a cell
    assert torch.equal(capture.maps(grad_cam).isnan().flatten(1).all(1), capture.target_pixels == 0)


MIDDLE = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()
"""Without padding: its output is the input's middle, three pixels from each side."""


@pytest.mark.parametrize("at", ["input", "output"])
@pytest.mark.parametrize(
    "pixels",
    ["truth", "largest_truth", "false_negative", "false_positive", "hit", "instance_truth(10,12)", "box(2,5,9,20)"],
)
def test_an_output_of_the_middle_is_compared_with_the_middle_of_the_masks(pixels: str, at: str) -> None:
    masks, x = blobs((20, 26), 5), torch.rand(2, 3, 20, 26, generator=torch.Generator().manual_seed(0))
    capture = Probe(MIDDLE, "0")(x, Target(1, pixels, at=at), masks=masks)  # type: ignore[arg-type]
    middle = np.s_[3:-3, 3:-3]
    here = MIDDLE(x).argmax(1).numpy() == 1
    for i in range(2):
        mask = masks[i].numpy()[middle]
        box = np.zeros((20, 26), bool)
        box[2:9, 5:20] = True
        whole = mask if at == "input" else masks[i].numpy()  # parts are cut by what the network speaks of, or are not
        cut = np.s_[:, :] if at == "input" else middle
        shift = (7, 9) if at == "input" else (10, 12)
        wanted = {
            "truth": lambda mask=mask: mask == 1,
            "hit": lambda mask=mask, i=i: here[i] & (mask == 1),
            "false_negative": lambda mask=mask, i=i: ~here[i] & (mask == 1),
            "false_positive": lambda mask=mask, i=i: here[i] & (mask != 1) & (mask != 255),
            "largest_truth": lambda whole=whole, cut=cut: slow.part(whole == 1, "largest")[cut],
            "instance_truth(10,12)": lambda whole=whole, cut=cut, at=shift: slow.part(whole == 1, "instance", at)[cut],
            "box(2,5,9,20)": lambda box=box: box[middle],
        }[pixels]()
        chosen = capture.explained.chosen[i].numpy()
        assert np.array_equal(chosen[middle] if at == "input" else chosen, wanted)
        assert chosen.sum() == wanted.sum()  # and nothing in the frame


def test_a_point_of_which_the_network_does_not_speak() -> None:
    x = torch.rand(1, 3, 20, 26)
    for at in ("input", "output"):
        capture = Probe(MIDDLE, "0")(x, Target(1, "instance(1,12)", at=at))  # type: ignore[arg-type]
        assert capture.target_pixels.tolist() == [0]
        assert capture.maps(grad_cam).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_padding(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).to(dtype)
    valid = torch.zeros(2, 16, 16, dtype=torch.bool)
    valid[:, :10] = True
    masks = blobs((16, 16), 2).to(torch.uint8)
    x = torch.rand(2, 3, 16, 16)
    for pixels in ("largest", "smallest_truth", "false_positive", "border(0)", "instance(12,3)"):
        for at in ("input", "output"):
            capture = Probe(net, "0")(x, Target({1, 2}, pixels, "margin", at), masks=masks, valid=valid)  # type: ignore[arg-type]
            assert not bool((capture.explained.chosen & ~valid).any())
            assert torch.isfinite(capture.scores).all()
    assert capture.target_pixels.tolist() == [0, 0]  # the point lies in the padding
