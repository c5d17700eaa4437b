"""Plain autograd: Grad-CAM of a module's output with a hook of one's own, and a reshape that the test gives."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from segcam import Capture, grad_cam

Lay = Callable[[Tensor], Tensor]
"""From a module's output to feature maps `(b, c, h, w)`, as somebody who knows the network would write it."""


def nchw(output: Tensor) -> Tensor:
    return output


def nhwc(output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)


def tokens(rows: int, columns: int, before: int = 0) -> Lay:
    """Tokens `(b, n, c)`, row by row, behind `before` others."""

    def lay(output: Tensor) -> Tensor:
        own = output[:, before : before + rows * columns]
        return own.transpose(1, 2).reshape(len(own), -1, rows, columns)

    return lay


def logits_of(output: object) -> Tensor:
    if isinstance(output, Tensor):
        return output
    return output["out"] if isinstance(output, dict) and "out" in output else output.logits  # type: ignore[attr-defined]


def agrees(capture: Capture, label: str, wanted: Tensor, rows: slice = slice(None)) -> bool:
    """Return whether a capture's map before and after ReLU is the wanted one."""
    pair = capture.activations[label][rows], capture.gradients[label][rows]
    before = (pair[1].mean((2, 3), keepdim=True) * pair[0]).sum(1)
    size = float(wanted.abs().max())
    assert size > 0
    assert before.shape == wanted.shape
    after = capture.maps(grad_cam, label)[rows]
    return all(
        torch.allclose(found, right, rtol=1e-6, atol=1e-9 * size)
        for found, right in ((before, wanted), (after, wanted.relu()))
    )


def plain_grad_cam(model: nn.Module, module: str, lay: Lay, images: Tensor, *, upsampled: bool = True) -> Tensor:
    """Grad-CAM before ReLU of the mean logit of class 1 over all pixels, upsampled to the input or not, by image."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> object:
        first = output[0] if isinstance(output, tuple) else output
        kept.append(first)
        passed_on = first.clone()  # what follows may write into it
        return (passed_on, *output[1:]) if isinstance(output, tuple) else passed_on

    handle = model.get_submodule(module).register_forward_hook(keep)
    maps = []
    for image in images:
        kept.clear()
        logits = logits_of(model(image[None].clone().requires_grad_()))
        if upsampled and logits.shape[2:] != image.shape[1:]:
            logits = nnf.interpolate(logits, image.shape[1:], mode="bilinear", align_corners=False)
        (gradient,) = torch.autograd.grad(logits[:, 1].mean(), kept)
        activations, weights = lay(kept[0].detach()), lay(gradient).mean((2, 3), keepdim=True)
        maps.append((weights * activations).sum(1))
    handle.remove()
    return torch.cat(maps)
