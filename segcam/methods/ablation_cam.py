"""Ablation-CAM: a channel counts by the share of the score that falls away without it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segcam.methods import method
from segcam.methods.material import channels as budget
from segcam.methods.material.pair import combined
from segcam.methods.material.passes import score_each
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer
from segcam.probe.layouts import Layout


@method("run", label="Ablation-CAM", family="perturbation", needs_gradients=False, passes=budget.passes)
def ablation_cam(subject: Subject, layer: Layer, channels: int = budget.BUDGET) -> Float[Tensor, "b h w"]:
    """Channels weighted by the share of the score that is lost without each, positive part.

    `L = ReLU(sum_k w_k A_k)`, `w_k = (y - y_k) / |y|`. `y` is the mean score of the pixels that were chosen in the
    unchanged image, `y_k` the same with channel `k` of the layer set to zero and all else as it was. The paper divides
    by `y`, a classifier's score, which it takes to be positive; a logit may be negative, and dividing by it would turn
    every weight round, so that channels that speak against the class lit up. Here `|y|` divides; where `y` is 0 the
    weights are 0.

    Of each image's channels the `channels` most varied, by the rule of `channels.choose`, are taken out, one at a time
    (0 for all); the others weigh 0. Of tokens those that belong to no place (class, registers) stay as they are.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of `A`; zero everywhere (blank) where no
        channel speaks for the target; NaN for images whose pixel set is empty.

    Raises:
        InputError: the budget is negative.
        NotApplicableError: the layer's module runs more than once in a pass, or on windows of the images.

    Source: Desai and Ramaswamy, WACV 2020, eq. 3-4; the budget and `|y|` are segcam's.
    """
    activations = budget.activations_of(subject, layer)
    maps = combined(activations, weights(subject, layer, channels)[:, None])[:, 0]
    return undefined_where_empty(maps.relu(), subject)


@torch.no_grad()
def weights(subject: Subject, layer: Layer, channels: int = budget.BUDGET) -> Float[Tensor, "b c"]:
    """Return `w_k`, the share of the score's size that is lost without the channel; negative where it is gained."""
    module = subject.module(layer)
    activations = budget.activations_of(subject, layer)
    indices = budget.choose(activations, channels)
    pixels, class_ids = subject.extra
    layout = subject.layout(layer)

    def ablated(rows: Tensor, of: Tensor) -> Tensor:
        with budget.editing(module, lambda output: _without(output, of, layout)):
            scores: Tensor = subject.objective(subject.images[rows], pixels[rows], class_ids[rows])
        return scores

    # Not the capture's scores: a probe may have run at another precision, and small differences count here.
    intact = subject.once("score", lambda: subject.objective(subject.images.clone(), pixels, class_ids))
    scores = score_each(subject, indices, ablated)
    size = intact.abs()[:, None]
    shares = torch.where(size > 0, (intact[:, None] - scores) / size, 0)
    return budget.spread(shares, indices, activations)


def _without(output: Float[Tensor, "n ..."], channels: Int[Tensor, " n"], layout: Layout) -> Tensor:
    """Return a copy of a layer's output in which one channel of each sample is zero on the layer's grid."""
    left = output.clone()
    maps = layout.maps(left)  # a view
    maps[torch.arange(len(maps), device=left.device), channels] = 0
    return left
