"""Score-CAM: a channel counts by the score that is left of the image seen through it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.methods import method
from segcam.methods.material import channels as budget
from segcam.methods.material.pair import combined
from segcam.methods.material.passes import score_each
from segcam.methods.material.subject import Subject, undefined_where_empty
from segcam.probe.layers import Layer
from segcam.scoring.grids import Grid, upsample


@method("run", label="Score-CAM", family="perturbation", needs_gradients=False, passes=budget.passes)
def score_cam(subject: Subject, layer: Layer, channels: int = budget.BUDGET) -> Float[Tensor, "b h w"]:
    """Channels weighted by softmax of the score of the image seen through each, positive part.

    `L = ReLU(sum_k w_k A_k)`, `w = softmax_k(y(X H_k) - y(X_b))`. `H_k` is `A_k` upsampled bilinearly to the input and
    scaled to 0..1 in each image; `X H_k` is the input as the network gets it times this mask, so that what is masked
    fades to the input's zero, the mean colour under the usual normalisation. `y` is the mean score of the pixels that
    were chosen in the unchanged image: of a sum over many pixels the softmax would leave next to nothing but its
    largest channel. The baseline's score `y(X_b)` is the same for all channels, so softmax cancels it, whatever the
    baseline, and it is not computed.

    Softmax runs over each image's `channels` most varied channels (0 for all), by the rule of `channels.choose`, less
    those that are constant, upsampled, up to rounding: they have no mask. All others weigh 0.

    Returns:
        `L` on the layer's grid, `(b, h, w)`, not negative, in the units of `A`; zero everywhere (blank) where all
        channels are constant, as on a grid of one cell; NaN for images whose pixel set is empty.

    Raises:
        InputError: the budget is negative.

    Source: Wang et al., CVPR Workshops 2020, eq. 6-10 and algorithm 1; the budget is segcam's.
    """
    activations = budget.activations_of(subject, layer)
    maps = combined(activations, weights(subject, layer, channels)[:, None])[:, 0]
    return undefined_where_empty(maps.relu(), subject)


@torch.no_grad()
def weights(subject: Subject, layer: Layer, channels: int = budget.BUDGET) -> Float[Tensor, "b c"]:
    """Return `w_k`, not negative, of sum 1 in each image that has a channel which is not constant."""
    activations = budget.activations_of(subject, layer)
    indices = budget.choose(activations, channels)
    pixels, class_ids = subject.extra

    def masked(rows: Tensor, of: Tensor) -> Tensor:
        images = subject.images[rows]
        masks, flat = _masks(activations[rows, of], (images.shape[2], images.shape[3]))
        seen = images * masks[:, None].to(images.dtype)
        scores: Tensor = subject.objective(seen, pixels[rows], class_ids[rows])
        return scores.masked_fill(flat, -torch.inf)

    scores = score_each(subject, indices, masked)
    shares = scores.softmax(1).masked_fill(scores == -torch.inf, 0)  # 0, not NaN, where there is no mask at all
    return budget.spread(shares, indices, activations)


def _masks(maps: Float[Tensor, "n h w"], size: Grid) -> tuple[Float[Tensor, "n H W"], Bool[Tensor, " n"]]:
    """Upsample each map and scale it to 0..1, and tell which are constant up to rounding, whose masks are 0."""
    noise = 8 * torch.finfo(maps.dtype).eps * maps.abs().amax((1, 2))
    large = upsample(maps[:, None], size)[:, 0]
    large = large - large.amin((1, 2), keepdim=True)
    range_ = large.amax((1, 2))
    flat = range_ <= noise
    return large / range_.masked_fill(flat, torch.inf).view(-1, 1, 1), flat
