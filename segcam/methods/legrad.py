"""LeGrad: where a transformer's attention would have to grow for the score to grow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.errors import InputError, NotApplicableError
from segcam.methods import method
from segcam.probe.attention import Attention


@method("attention", label="LeGrad")
def legrad(attentions: Sequence[Attention], chosen: Bool[Tensor, "b H W"]) -> list[Float[Tensor, "b h w"]]:
    """Positive gradients by a block's attention, averaged over its heads and queries.

    `E_m = mean over heads h and queries n of ReLU(ds/dA_hnm)`, `A` the block's attention after softmax, for each key m.
    Attention itself is no factor. Keys of no place (class, registers) are left out, queries of none count as the others
    do. A reduced key's value is shared equally among the query cells that it was made of, as in `attention_rollout`;
    cells of no key get 0.

    The paper differentiates a score of each block's own, by the classifier put behind it. What follows a block of a
    segmentation network is no classifier of its tokens, so `s` is the network's own score here; behind the last block
    both are one. The paper's map is the mean over blocks; here each block has its own.

    Args:
        attentions: of all blocks, in the order of execution, of one batch, with gradients.
        chosen: the explained pixels, at any resolution.

    Returns:
        A map a block, each on its block's own grid, not negative; NaN for images whose pixel set is empty.

    Raises:
        InputError: there are no attentions.
        NotApplicableError: a block's gradients are not known: the probe was not asked for them, or the network does not
            compute with the matrix that it returns.

    Source: Bousselham et al., ICCV 2025 (LeGrad), section 3; the reduced keys and the network's own score are segcam's.
    """
    if not attentions:
        raise InputError("LeGrad needs the attention of at least one block: probe a transformer for it")
    empty = ~chosen.flatten(1).any(1).view(-1, 1, 1)
    return [_of_block(block).masked_fill(empty, torch.nan) for block in attentions]


def _of_block(block: Attention) -> Float[Tensor, "b h w"]:
    if block.gradients is None:
        raise NotApplicableError(
            "gradients by attention are not known: probe with attention_gradients=True; a network that returns other "
            "weights than it computes with has none"
        )
    keys = block.gradients.relu().mean((1, 2))
    return block.unpool(keys[:, None])[:, 0, block.prefix :].reshape(-1, *block.grid)
