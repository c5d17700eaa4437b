"""What other tools give for the layers of a network, as plain tensors on each layer's own grid.

They are run as their documents say, a batch at a time. What they do to a map afterwards is left out where it is only a
change of scale: pytorch-grad-cam scales every map to 0..1 and enlarges it, and averages the layers (see
test_peer_traps.py); here its maps are taken before that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segcam import Layer

Score = Callable[[Tensor], Tensor]


def package(name: str) -> Any:
    """A peer's package; the test is skipped where it, or a library of the system that it needs, is not installed."""
    return pytest.importorskip(name, reason=f"{name} cannot be imported: pip install -e .[peers]", exc_type=ImportError)


def best_pixels(logits: Tensor, class_id: int = 1) -> list[tuple[int, int]]:
    """Row and column of each image's best pixel."""
    return [divmod(int(at), logits.shape[3]) for at in logits[:, class_id].flatten(1).argmax(1)]


def scores(pixels: Sequence[tuple[int, int]], class_id: int = 1, scale: float = 1.0) -> list[Score]:
    """A function of one image's logits for each image: that of its pixel, times `scale`."""
    return [lambda out, y=y, x=x: out[class_id, y, x] * scale for y, x in pixels]


def on_grid(size: tuple[int, int], layers: Sequence[Layer]) -> Callable[[Tensor], Tensor]:
    """Lay tokens on the grid of the layer with as many cells; feature maps stay as they are."""
    grids = [(-(-size[0] // layer.stride), -(-size[1] // layer.stride)) for layer in layers]
    by_count = {rows * columns: (rows, columns) for rows, columns in grids}

    def lay(output: Tensor) -> Tensor:
        if output.ndim == 4:
            return output
        return output.transpose(1, 2).unflatten(2, by_count[output.shape[1]])

    return lay


def of_grad_cam(
    name: str, model: nn.Module, layers: Sequence[Layer], images: Tensor, targets: list[Score], **more: Any
) -> list[Tensor]:
    """pytorch-grad-cam's maps `(b, h, w)` after ReLU, one of each layer, without its scaling and averaging."""
    tool = getattr(package("pytorch_grad_cam"), name)
    modules = [model.get_submodule(layer.module) for layer in layers]
    reshape = on_grid((images.shape[2], images.shape[3]), layers)
    with (
        mock.patch("pytorch_grad_cam.base_cam.scale_cam_image", lambda maps, _size=None: np.asarray(maps)),
        mock.patch.object(tool, "aggregate_multi_layers", lambda _self, maps: maps),
        tool(model, modules, reshape_transform=reshape, **more) as peer,
    ):
        return [torch.from_numpy(maps[:, 0]) for maps in peer(images, targets)]


def of_torchcam(
    tool: Any, model: nn.Module, layers: Sequence[Layer], images: Tensor, targets: list[Score]
) -> list[Tensor]:
    """torch-cam's maps `(b, h, w)`, one of each layer, not normalised; `tool` is one of its classes."""
    reshape = on_grid((images.shape[2], images.shape[3]), layers)
    with tool(model, [layer.module for layer in layers], reshape_transform=reshape) as peer:
        found: list[Tensor] = peer(scores=model(images.clone().requires_grad_()), targets=targets, normalized=False)
    return [maps.detach() for maps in found]


def off_by(found: Tensor, wanted: Tensor) -> float:
    """The largest difference of maps `(b, h, w)`, as a share of the larger map's maximum; the largest of all maps."""
    assert wanted.shape == found.shape
    difference = (found - wanted).abs().amax((1, 2))
    top = torch.maximum(found.abs(), wanted.abs()).amax((1, 2))
    return float((difference / top.where(top > 0, 1)).max())
