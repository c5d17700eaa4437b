"""Slow twins of what is measured of attention, and of its rollout: numpy, float64, one image and head at a time.

Written from the definitions with whole matrices. Tokens of no place come first, `prefix` of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from tests.reference.metrics import Array, Mask, area_average


@dataclass(frozen=True)
class Block:
    """One image's attention in one block: `(heads, n, m)`, the queries' grid, and query cells a key, along a side."""

    weights: Array
    grid: tuple[int, int]
    reduction: int = 1

    @property
    def keys(self) -> tuple[int, int]:
        return self.grid[0] // self.reduction, self.grid[1] // self.reduction

    @property
    def prefix(self) -> int:
        return self.weights.shape[1] - self.grid[0] * self.grid[1]

    def members(self, key: int) -> list[int]:
        """The query cells that a key was made of."""
        row, column = divmod(key, self.keys[1])
        return [
            (row * self.reduction + i) * self.grid[1] + column * self.reduction + j
            for i in range(self.reduction)
            for j in range(self.reduction)
        ]

    def placed(self, head: int) -> Array:
        """One head's matrix without tokens of no place, its rows scaled to sum 1."""
        inner = self.weights[head, self.prefix :, self.prefix :].astype(np.float64)
        return inner / inner.sum(1, keepdims=True)


def background_ratio(block: Block, head: int, foreground: Mask, background: Mask) -> float:
    queries = area_average(foreground.astype(float), *block.grid).ravel()
    cells = area_average(background.astype(float), *block.grid).ravel()
    keys = [float(np.mean([cells[i] for i in block.members(k)])) for k in range(block.keys[0] * block.keys[1])]
    if queries.sum() == 0 or sum(keys) == 0:
        return math.nan
    return float(queries / queries.sum() @ block.placed(head) @ keys / np.mean(keys))


def distance(block: Block, head: int, size: tuple[int, int]) -> float:
    tall, wide = size[0] / block.grid[0], size[1] / block.grid[1]

    cells = np.indices(block.grid).reshape(2, -1).T
    queries = (cells + 0.5) * (tall, wide)
    keys = np.stack([queries[block.members(key)].mean(0) for key in range(block.keys[0] * block.keys[1])])
    return float((block.placed(head) * cdist(queries, keys)).sum() / len(queries))


def mixing(block: Block) -> Array:
    """`I / 2 + mean_heads(W) E / 2` over all tokens of the block."""
    n, m = block.weights.shape[1:]
    expand = np.zeros((m, n))
    for token in range(block.prefix):
        expand[token, token] = 1
    for key in range(m - block.prefix):
        for cell in block.members(key):
            expand[block.prefix + key, block.prefix + cell] = 1 / block.reduction**2
    return np.eye(n) / 2 + block.weights.mean(0) @ expand / 2


def carrying(fine: Block, coarse: Block) -> Array:
    """Each coarse cell averages the fine ones that it covers; tokens of no place stay themselves."""
    step = np.zeros((coarse.weights.shape[1], fine.weights.shape[1]))
    step[: fine.prefix, : fine.prefix] = np.eye(fine.prefix)
    for cell in range(fine.grid[0] * fine.grid[1]):
        one = np.zeros(fine.grid[0] * fine.grid[1])
        one[cell] = 1
        step[coarse.prefix :, fine.prefix + cell] = area_average(one.reshape(fine.grid), *coarse.grid).ravel()
    return step


def rollout(blocks: Sequence[Block], chosen: Mask) -> list[Array]:
    """One map a block, from the whole rollout matrix."""
    maps = []
    product = np.eye(blocks[0].weights.shape[1])
    for before, block in zip([blocks[0], *blocks], blocks, strict=False):
        if before.grid != block.grid:
            product = carrying(before, block) @ product
        product = mixing(block) @ product
        shares = area_average(chosen.astype(float), *block.grid).ravel()
        start = np.concatenate([np.zeros(block.prefix), shares / shares.sum()])
        row = (start @ product)[blocks[0].prefix :]
        maps.append((row / row.sum()).reshape(blocks[0].grid))
    return maps


def legrad(block: Block, gradients: Array) -> Array:
    """Key by key: the mean positive gradient over heads and queries, shared by the cells that the key was made of."""
    cells = np.zeros(block.grid[0] * block.grid[1])
    heads, queries, _ = gradients.shape
    for key in range(block.keys[0] * block.keys[1]):
        column = gradients[:, :, block.prefix + key]
        total = sum(max(0.0, float(column[h, n])) for h in range(heads) for n in range(queries))
        for cell in block.members(key):
            cells[cell] = total / (heads * queries) / block.reduction**2
    return cells.reshape(block.grid)
