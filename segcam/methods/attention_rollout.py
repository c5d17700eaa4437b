"""Attention rollout, carried across the stages of a hierarchical transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segcam.errors import InputError, NotApplicableError
from segcam.methods import method
from segcam.probe.attention import Attention
from segcam.scoring.grids import averaging_matrix, to_grid


@method("attention", label="Attention rollout", needs_gradients=False)
def attention_rollout(attentions: Sequence[Attention], chosen: Bool[Tensor, "b H W"]) -> Float[Tensor, "b l h w"]:
    r"""Product of the blocks' attention from the explained pixels down to the first stage's grid.

    It tells how much each first-stage token takes part in the explained pixels, behind every block. Block `i` mixes the
    tokens of its stage by `A_i = I / 2 + mean_heads(W_i) E_i / 2`, where `W_i` are its attention matrices and `E_i`
    shares each reduced key equally among the query cells that it was made of (cells of no key get nothing but their own
    half). Between two stages tokens are carried by area: `T_s` averages the finer cells that a coarser one covers.
    Behind block `l` of stage `s` the rollout is the product of all that went before,

        R_l = A_l ... A_j T_{s-1} ... T_1 A_i ... A_1,

    a matrix of stage `s`'s tokens by the first stage's. The map is `q^T R_l`, with the weights `q` of the stage's
    tokens proportional to the share of explained pixels in each one's cell. Class and register tokens mix like the
    others, weigh nothing in `q`, and what lies on them in the end is left out and the rest scaled to sum 1. Stages
    are told apart by their grids. Mix-FFN, projections and overlaps of patches play no part.

    All maps come out of one sweep from the last block to the first, as rows times matrices.

    Args:
        attentions: of all blocks, in the order of execution, of one batch.
        chosen: the explained pixels, at any resolution.

    Returns:
        A map a block on the first block's grid, not negative, with sum 1; NaN for images whose pixel set is empty.

    Raises:
        InputError: there are no attentions.
        NotApplicableError: tokens of no place join or leave between blocks, as queries do: whose they were is not told.

    Source: Abnar and Zuidema, ACL 2020, section 3 (equation 1 and the product over layers); the reduced keys and the
    steps between stages are segcam's.
    """
    if not attentions:
        raise InputError("attention rollout needs the attention of at least one block: probe a transformer for it")
    counts = sorted({block.prefix for block in attentions})
    if len(counts) > 1:
        raise NotApplicableError(
            f"blocks have {counts[0]} and {counts[-1]} tokens of no place: some join between them, as queries do"
        )
    first = attentions[0]
    after = attentions[-1]
    rows = _start(after, chosen)[:, :0]  # none yet
    for block in reversed(attentions):
        if block.grid != after.grid:
            rows = _carry(rows, after, block)
        rows = torch.cat([_start(block, chosen), rows], 1)
        rows = (rows + block.unpool(rows @ block.mean())) / 2
        after = block
    cells = rows[..., first.prefix :]
    empty = ~chosen.flatten(1).any(1)
    maps = cells / cells.sum(-1, keepdim=True)
    return maps.view(*maps.shape[:2], *first.grid).masked_fill(empty.view(-1, 1, 1, 1), torch.nan)


def _start(block: Attention, pixels: Bool[Tensor, "b H W"]) -> Float[Tensor, "b 1 n"]:
    """Return the weights of the block's tokens, with sum 1: the share of explained pixels in each one's cell."""
    shares = to_grid(pixels[:, None].to(block.weights.dtype), block.grid).flatten(2)
    nowhere = shares.new_zeros(len(shares), 1, block.prefix)
    return torch.cat([nowhere, shares / shares.sum(-1, keepdim=True)], -1)


def _carry(rows: Float[Tensor, "b k n"], coarse: Attention, fine: Attention) -> Float[Tensor, "b k n_fine"]:
    """Hand the weight of each coarse cell on to the fine cells that it averages; other tokens keep theirs."""
    prefix, cells = rows[..., : coarse.prefix], rows[..., coarse.prefix :].reshape(*rows.shape[:2], *coarse.grid)
    down = averaging_matrix(fine.grid[0], coarse.grid[0], rows.device, rows.dtype)
    across = averaging_matrix(fine.grid[1], coarse.grid[1], rows.device, rows.dtype)
    return torch.cat([prefix, (down.T @ cells @ across).flatten(-2)], -1)
