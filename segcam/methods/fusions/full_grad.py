"""FullGrad: what the input and every bias add to the score."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam.arrays import at_least_float32
from segcam.errors import NotApplicableError
from segcam.methods import method
from segcam.methods.material.channels import editing
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer
from segcam.scoring.grids import upsample

COMPLETE = 1e-3
"""How far the pieces' sum may be from the score, as a share of the pieces' sizes together."""
BIASED = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)


@method("run", label="FullGrad", family="cam", scope="input", passes=1)
def full_grad(subject: Subject, _layer: Layer) -> Float[Tensor, "b H W"]:
    """Sizes of what the input and all biases add to the score, each layer's scaled to 0..1, summed.

    `S = sum_c psi(x G_x) + sum_l sum_c psi(b_l G_l)`, `G_x` and `G_l` the score's derivatives by the input and by the
    output of the module with bias `b_l`. `psi` takes absolute values, scales them to 0..1 over all channels and cells
    of a layer, and upsamples them bilinearly. A batch norm's bias is what it adds in all, `beta - gamma mean / sigma`.

    In a network that is linear but for ReLU and max pooling, these pieces add up to the score. That is checked: where
    they do not, pieces are missing (GELU, attention, layer norms), and there is no FullGrad.

    Returns:
        `S` on the input's pixels, `(b, H, W)`, not negative, without a unit; NaN for images whose pixel set is empty.

    Raises:
        NotApplicableError: the pieces do not add up to the score, or no module has a bias.

    Source: Srinivas and Fleuret, NeurIPS 2019 (Full-Gradient Representation), the decomposition and its saliency;
    scaling a layer at a time as in the authors' code.
    """
    biased: list[nn.Module] = [m for m in subject.model.modules() if isinstance(m, BIASED) and _bias(m) is not None]
    if not biased:
        raise NotApplicableError("no convolution or batch norm of the network has a bias")
    images = subject.images.detach().clone().requires_grad_()
    outputs: list[tuple[nn.Module, Tensor]] = []
    with ExitStack() as stack, torch.enable_grad():
        for module in biased:

            def keep(output: Tensor, module: nn.Module = module) -> Tensor:
                outputs.append((module, output))
                return output.clone()  # what follows may write into it

            stack.enter_context(editing(module, keep))
        scores = subject.objective(images, *subject.extra)
        tensors = [images, *(output for _, output in outputs)]
        gradients = torch.autograd.grad(scores.sum(), tensors, allow_unused=True)
    pieces = [at_least_float32(images.detach() * _known(gradients[0], images))]
    for (module, output), gradient in zip(outputs, gradients[1:], strict=True):
        bias = _bias(module)
        assert bias is not None  # it is one of the biased
        pieces.append(at_least_float32(bias.view(1, -1, 1, 1) * _known(gradient, output)))
    _see_complete(pieces, scores.detach(), subject)
    size = (int(images.shape[2]), int(images.shape[3]))
    maps = torch.stack([upsample(_scaled(piece).sum(1, keepdim=True), size)[:, 0] for piece in pieces]).sum(0)
    return undefined_where_empty(maps, subject)


@torch.no_grad()
def _bias(module: nn.Module) -> Float[Tensor, " c"] | None:
    """Return what a module adds to each channel whatever its input; None where that is nothing."""
    if isinstance(module, nn.BatchNorm2d):
        if module.running_mean is None or module.running_var is None:
            return None
        scale = (module.running_var + module.eps).rsqrt()
        scale = scale if module.weight is None else scale * module.weight
        own = -module.running_mean * scale
        return own if module.bias is None else own + module.bias
    bias = module.bias
    return bias.detach() if isinstance(bias, Tensor) else None


def _known(gradient: Tensor | None, like: Tensor) -> Tensor:
    """Return a gradient, 0 where the tensor takes no part in the score."""
    return torch.zeros_like(like) if gradient is None else gradient


def _scaled(piece: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    sizes = piece.abs()
    low, high = sizes.amin((1, 2, 3), keepdim=True), sizes.amax((1, 2, 3), keepdim=True)
    return (sizes - low) / (high - low).masked_fill(high == low, torch.inf)


def _see_complete(pieces: list[Tensor], scores: Float[Tensor, " b"], subject: Subject) -> None:
    total = torch.stack([piece.flatten(1).sum(1) for piece in pieces]).sum(0)
    sizes = torch.stack([piece.flatten(1).abs().sum(1) for piece in pieces]).sum(0)
    explained = subject.capture.target_pixels > 0
    off = ((total - scores).abs() / sizes.clamp(min=torch.finfo(sizes.dtype).tiny))[explained]
    if len(off) and float(off.amax()) > COMPLETE:
        raise NotApplicableError(
            "what the input and the biases add does not sum to the score: something but ReLU and max pooling is not "
            "linear, or a bias is not of a convolution or batch norm"
        )
