"""Scores: what queries say of each class at each pixel, as logarithms that do not underflow."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor


def class_scores(
    class_logits: Float[Tensor, "b q k1"], mask_logits: Float[Tensor, "b q h w"]
) -> Float[Tensor, "b k h w"]:
    """Return `log sum_q p_q(c) m_q(x)`: the logarithm of a class's score at a pixel, in nats.

    `p_q` is the softmax over the query's class logits, of which the last, for no object, is left out; `m_q` the
    sigmoid of its mask logit (Cheng et al., MaskFormer, NeurIPS 2021, section 3.4). The scores of a pixel do not sum
    to 1, as queries overlap and may find no object. Their softmax is each class's share of the sum.

    Args:
        class_logits: of each query, the null class last.
        mask_logits: of each query, at each pixel.

    Returns:
        As wide as the mask logits, and float32 at least.

    >>> scores = class_scores(torch.tensor([[[0.0, -90.0]]]), torch.tensor([[[[0.0, -200.0]]]]))
    >>> [round(float(x), 2) for x in scores.flatten()]
    [-0.69, -200.0]
    """
    dtype = torch.promote_types(mask_logits.dtype, torch.float32)
    wide = torch.float32 if mask_logits.device.type == "mps" else torch.float64
    classes = class_logits.to(wide).log_softmax(-1)[..., :-1]
    masks = F.logsigmoid(mask_logits.to(wide))
    # A product of matrices, with the largest of each class and of each pixel taken out: q x k x h x w numbers at once
    # would take gigabytes. Where it underflows all the same, they are added up class by class.
    highest, brightest = classes.amax(1, keepdim=True).detach(), masks.amax(1, keepdim=True).detach()
    sums = torch.einsum("bqk,bqhw->bkhw", (classes - highest).exp(), (masks - brightest).exp())
    if bool((sums < torch.finfo(wide).tiny).any()):
        each = [(classes[:, :, n, None, None] + masks).logsumexp(1) for n in range(classes.shape[2])]
        return torch.stack(each, 1).to(dtype)
    return sums.log().to(dtype) + highest[:, 0, :, None, None].to(dtype) + brightest.to(dtype)


def resized(scores: Float[Tensor, "b k h w"], size: tuple[int, int]) -> Float[Tensor, "b k H W"]:
    """Return the logarithms of scores that were upsampled bilinearly, as post-processing does.

    A score of less than 1e-300 of the class's largest counts as that.
    """
    if tuple(scores.shape[2:]) == size:
        return scores
    top = scores.amax((2, 3), keepdim=True).detach()
    below = scores - top
    deep = float(below.detach().amin()) < _DEEP and scores.device.type != "mps"
    below = below.to(torch.float64) if deep else below  # at the images' size, twice the memory
    least = _DEEP if below.dtype == torch.float32 else -690.0
    values = F.interpolate(below.clamp_min(least).exp(), size, mode="bilinear", align_corners=False)
    return values.log().to(scores.dtype) + top


_DEEP = -80.0
"""The logarithm of what float32 can still tell from 0."""
