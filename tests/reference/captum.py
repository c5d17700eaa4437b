"""Slow twins of what captum computes, written from the papers: one image, one point, one set of a sum at a time.

`score` takes an image `(1, ch, h, w)` in float64 and gives the number explained, as a tensor of one element. None of it
calls captum.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from math import factorial

import numpy as np
import torch
from torch import Tensor, nn

Score = Callable[[Tensor], Tensor]
Array = np.ndarray


def quadrature(points: int) -> list[tuple[float, float]]:
    """Places and weights of Gauss-Legendre on 0..1."""
    places, weights = np.polynomial.legendre.leggauss(points)
    return [((place + 1) / 2, weight / 2) for place, weight in zip(places, weights, strict=True)]


def gradient(score: Score, image: Tensor) -> Tensor:
    """`dY/dx`, `(ch, h, w)`."""
    image = image.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(score(image).sum(), image)
    return found[0]


def integrated_gradients(score: Score, image: Tensor, points: int) -> Array:
    """`sum_c (x_c - x'_c) sum_i w_i dY/dx_c(x' + t_i (x - x'))` with `x' = 0`."""
    total = torch.zeros_like(image[0])
    for place, weight in quadrature(points):
        total += weight * gradient(score, place * image)
    return (image[0] * total).sum(0).numpy()


def at_layer(score: Score, module: nn.Module, image: Tensor, replaced: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A layer's output, or what is put in its place, and the score's gradient by it, `(c, h, w)` each."""
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        seen.append((output if replaced is None else replaced[None]).detach().clone().requires_grad_())
        return seen[0].clone()

    handle = module.register_forward_hook(hook)
    value = score(image.detach())
    handle.remove()
    (found,) = torch.autograd.grad(value.sum(), seen[0])
    return seen[0].detach()[0], found[0]


def layer_integrated_gradients(score: Score, module: nn.Module, image: Tensor, points: int) -> Array:
    """`sum_k (A_k - A'_k) sum_i w_i dY/dA_k(A' + t_i (A - A'))`: the path is one of the layer's outputs."""
    end, _ = at_layer(score, module, image)
    start, _ = at_layer(score, module, torch.zeros_like(image))
    total = torch.zeros_like(end)
    for place, weight in quadrature(points):
        total += weight * at_layer(score, module, image, start + place * (end - start))[1]
    return ((end - start) * total).sum(0).numpy()


def conductance(score: Score, module: nn.Module, image: Tensor, differences: int) -> Array:
    """`sum_k sum_i G_k(t_i) (A_k(t_{i+1}) - A_k(t_i))` along the input's path from zero, at Gauss-Legendre's places."""
    places = [place for place, _ in quadrature(differences + 1)]
    total = 0.0
    for one, two in pairwise(places):
        here, slope = at_layer(score, module, one * image)
        there, _ = at_layer(score, module, two * image)
        total = total + slope * (there - here)
    return total.sum(0).numpy()


def internal_influence(score: Score, module: nn.Module, image: Tensor, points: int) -> Array:
    """`sum_k sum_i w_i G_k(t_i)` along the input's path from zero."""
    return sum(w * at_layer(score, module, t * image)[1] for t, w in quadrature(points)).sum(0).numpy()


def smooth_grad(score: Score, image: Tensor, noises: Tensor) -> Array:
    """`max_c |mean_i dY/dx_c(x + e_i)|`; `noises` are the `e_i`, `(n, ch, h, w)`."""
    total = torch.zeros_like(image[0])
    for noise in noises:
        total += gradient(score, image + noise[None])
    return (total / len(noises)).abs().amax(0).numpy()


def occlusion(score: Score, image: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> Array:
    """The mean, over the windows that cover a pixel, of the score's fall when a window is zero in all channels.

    Windows start at multiples of the stride, until one reaches the end; what is beyond the end is cut off.
    """
    height, width = image.shape[2:]
    falls, covered = np.zeros((height, width)), np.zeros((height, width))
    full = float(score(image))
    for top in range(0, height, stride[0]):
        for left in range(0, width, stride[1]):
            within = np.s_[top : min(top + window[0], height), left : min(left + window[1], width)]
            changed = image.clone()
            changed[0][(slice(None), *within)] = 0
            falls[within] += full - float(score(changed))
            covered[within] += 1
            if left + window[1] >= width:
                break
        if top + window[0] >= height:
            break
    return falls / covered


def feature_ablation(score: Score, image: Tensor, regions: Array) -> Array:
    """The score's fall when a region is zero in all channels, at each of its pixels."""
    found = np.zeros(regions.shape)
    for region in np.unique(regions):
        changed = image.clone()
        changed[0, :, torch.from_numpy(regions == region)] = 0
        found[regions == region] = float(score(image)) - float(score(changed))
    return found


def shapley(score: Score, image: Tensor, regions: Array) -> Array:
    """Shapley values of regions, over all sets of them: what is not in a set is zero."""
    names = [int(name) for name in np.unique(regions)]

    def value(kept: tuple[int, ...]) -> float:
        mask = torch.from_numpy(np.isin(regions, kept))
        return float(score(image * mask))

    found = np.zeros(regions.shape)
    for region in names:
        others = [name for name in names if name != region]
        total = 0.0
        for size in range(len(names)):
            weight = factorial(size) * factorial(len(names) - size - 1) / factorial(len(names))
            for kept in combinations(others, size):
                total += weight * (value((*kept, region)) - value(kept))
        found[regions == region] = total
    return found


def deep_lift(weights: list[tuple[Array, Array]], pixel: Array) -> Array:
    """DeepLift's attributions of a pixel's channels in a chain of linear maps `(W, b)` with ReLU between, from zero.

    The rescale rule: through a ReLU the multiplier is `(relu(z) - relu(z')) / (z - z')`.
    """
    seen, value, baseline = [], pixel, np.zeros_like(pixel)
    for n, (matrix, bias) in enumerate(weights):
        before = matrix @ value + bias, matrix @ baseline + bias
        last = n + 1 == len(weights)
        value, baseline = before if last else tuple(np.maximum(z, 0) for z in before)
        seen.append((before, (value, baseline)))
    multipliers = np.ones(len(value))
    for n in reversed(range(len(weights))):
        (z, z0), (y, y0) = seen[n]
        if n + 1 < len(weights):
            multipliers = multipliers * (y - y0) / (z - z0)
        multipliers = weights[n][0].T @ multipliers
    return multipliers * pixel


class _Rule(torch.autograd.Function):
    """ReLU, with the gradient of guided backpropagation or of a deconvolutional network."""

    @staticmethod
    def forward(ctx, values: Tensor, guided: bool) -> Tensor:
        ctx.save_for_backward(values)
        ctx.guided = guided
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx, given: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        passed = torch.where(given > 0, given, 0.0)
        return (torch.where(values > 0, passed, 0.0) if ctx.guided else passed), None


class RuledReLU(nn.Module):
    """A ReLU that passes `R` back as `(f > 0) (R > 0) R` (guided) or as `(R > 0) R` (deconvolution)."""

    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        self.guided = guided

    def forward(self, x: Tensor) -> Tensor:
        return _Rule.apply(x, self.guided)
