"""A network that knows colours, photographs of coloured squares, and the command line on them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from segcam.errors import SegcamWarning
from tests.bench.harness import Outcome, bench

NETS = '''
import torch
from torch import nn

class Named(nn.Module):
    """Answers with a mapping of two outputs."""

    def __init__(self):
        super().__init__()
        self.net = build()

    def forward(self, images):
        logits = self.net(images)
        return {"aux": [logits, -logits], "note": "not a tensor"}

def build(classes=3, norm=False):
    """Red is class 1, green is class 2; all else is the background."""
    net = nn.Sequential(
        nn.Conv2d(3, 3, 3, 2, 1),
        nn.InstanceNorm2d(3, affine=True) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(3, classes, 1),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for channel in range(3):
            net[0].weight[channel, channel] = 1 / 9
        if norm:
            net[1].weight.fill_(1)
        if classes == 1:
            net[3].weight[0, 0] = 1.0
            net[3].bias[0] = -1.0
        else:
            net[3].weight[1, 0] = net[3].weight[2, 1] = 1.0
            net[3].weight[1, 1] = net[3].weight[2, 0] = -0.5
            net[3].bias[0] = 0.7
    return net

def half():
    return build().half()

def needs(width):
    return build()

def fixed():
    """Takes images of 40 x 40 alone."""
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build()

        def forward(self, images):
            if images.shape[-1] != 40:
                raise RuntimeError("The size of tensor a must match 40")
            return self.net(images)
    return Fixed()

def nothing():
    return 3

def broken():
    raise KeyError("lost")
'''
RED, GREEN, GREY = (230, 20, 20), (20, 230, 20), (90, 90, 90)
LIGHT = (
    "figures.kinds=['png']",
    "figures.dpi=50",
    "figures.images=1",
    "score.methods=['grad_cam', 'layer_cam', 'uniform', 'random', 'sobel', 'mask_oracle', 'captum_saliency']",
    "sanity.depths=2",
    "faithfulness.steps=2",
    "score.parameters={}",
)
"""Settings that draw less and measure less."""


def photograph(squares: dict[tuple[int, int, int], tuple[int, int]], size: tuple[int, int] = (32, 32)) -> np.ndarray:
    """Return grey noise with squares of 12 pixels a side, by colour, at rows and columns."""
    image = np.random.default_rng(len(squares)).integers(-20, 20, (*size, 3)) + np.array(GREY)
    for colour, (row, column) in squares.items():
        image[row : row + 12, column : column + 12] = colour
    return image.astype(np.uint8)


def mask_of(image: np.ndarray) -> np.ndarray:
    """Return the class of each pixel."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for index, colour in enumerate((RED, GREEN), 1):
        mask[(image == colour).all(2)] = index
    return mask


def photographs(folder: Path) -> Path:
    """Write `photos` and `masks`: one of both classes, one of red alone and of another shape, one of neither."""
    (folder / "photos").mkdir(parents=True)
    (folder / "masks").mkdir()
    made = {
        "both": photograph({RED: (2, 2), GREEN: (16, 17)}),
        "red": photograph({RED: (10, 20)}, (24, 40)),
        "plain": photograph({}),
    }
    for name, image in made.items():
        Image.fromarray(image).save(folder / "photos" / f"{name}.png")
        Image.fromarray(mask_of(image)).save(folder / "masks" / f"{name}.png")
    return folder


def weights(folder: Path) -> list[Path]:
    """Write the network's weights of two epochs; after the first one all is shrunk."""
    space: dict[str, object] = {}
    exec(NETS, space)
    files = []
    for epoch, factor in ((5, 0.9), (10, 1.0)):
        network: torch.nn.Module = space["build"]()  # type: ignore[operator]
        torch.save({name: factor * value for name, value in network.state_dict().items()}, folder / f"e{epoch:02d}.pt")
        files.append(folder / f"e{epoch:02d}.pt")
    return files


def explain(place: Path, out: Path, *more: object, source: str = "build", images: object = None) -> Outcome:
    """Call `explain` on a network of `nets.py` in `place`, and the photographs there, at 32 pixels."""
    where = source if ":" in source else f"{place / 'nets.py'}:{source}"
    photos = place / "photos" if images is None else images
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SegcamWarning)  # random weights
        return bench("explain", where, "--images", photos, "--size", 32, "--out", out, *more)


def light(*settings: str) -> list[str]:
    """Return options that draw less and measure less."""
    return [part for setting in (*LIGHT, *settings) for part in ("--set", setting)]
