"""Attention: where a transformer attends, and its matrices with the grids that their tokens lie on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam.arrays import real
from segcam.errors import ProbeError
from segcam.scoring.grids import Grid


@dataclass(frozen=True, slots=True)
class AttentionPlace:
    """A transformer block whose attention matrices can be read.

    Attributes:
        module: path of the attention module, as in `model.named_modules()`.
        label: the name in tables and figures, unique within a network.
        stage: resolution level, 1 the finest.
        depth: position among the network's blocks in the order of execution, from 0.
        stride: input pixels a query's cell, along one side.
        reduction: query cells a key's cell, along one side; 1 where each token is query and key.
        layer: label of the layer behind the attention, beside which the block's maps stand in tables; '' for none.
    """

    module: str
    label: str
    stage: int
    depth: int
    stride: int
    reduction: int = 1
    layer: str = ""


@dataclass(frozen=True, eq=False)
class Attention:
    """The attention matrices of one block for a batch.

    The queries lie on a grid, row by row. A key's cell is a square of `reduction x reduction` query cells; queries in
    rows and columns beyond the last whole square are part of no key. Tokens of no place (class, registers) come first,
    among the queries as among the keys.

    Attributes:
        weights: `(b, heads, n, m)`: how much query n takes from key m; each row sums to 1, up to the rounding of the
            precision in which the network computed it.
        grid: rows and columns of the queries.
        reduction: query cells a key's cell, along one side.
        gradients: the score's derivatives by the weights; None where they are not known.
    """

    weights: Float[Tensor, "b heads n m"]
    grid: Grid
    reduction: int = 1
    gradients: Float[Tensor, "b heads n m"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", real(self.weights, "attention weights"))
        if self.weights.ndim != 4:
            raise ProbeError(f"attention weights are {tuple(self.weights.shape)}: (b, heads, n, m) are needed")
        n, m = self.weights.shape[-2:]
        rows, columns = self.keys
        if self.prefix < 0 or m != self.prefix + rows * columns or m == self.prefix:
            raise ProbeError(
                f"attention of {n} queries and {m} keys does not fit a grid of {self.grid[0]} x {self.grid[1]} queries "
                f"with {self.reduction} x {self.reduction} of them a key"
            )

    @property
    def keys(self) -> Grid:
        """Rows and columns of the keys."""
        return self.grid[0] // self.reduction, self.grid[1] // self.reduction

    @property
    def prefix(self) -> int:
        """The number of tokens of no place."""
        return int(self.weights.shape[-2]) - self.grid[0] * self.grid[1]

    @property
    def heads(self) -> int:
        """The number of heads."""
        return int(self.weights.shape[1])

    def placed(self) -> Float[Tensor, "b heads n m"]:
        """Return what the queries on the grid take from the keys on theirs, each row scaled to sum 1.

        Tokens of no place are left out, as queries and as keys. A row that lies on them alone is NaN.
        """
        return _to_one(self.weights[:, :, self.prefix :, self.prefix :])

    def uniform(self) -> Attention:
        """Return the attention of one head that looks at all keys alike, on the same grids."""
        alike = self.weights.new_full((1, 1, 1, 1), 1 / self.weights.shape[3])
        return Attention(alike.expand(len(self.weights), 1, *self.weights.shape[2:]), self.grid, self.reduction)

    def mean(self) -> Float[Tensor, "b n m"]:
        """Return the mean over the heads, of all tokens, each row scaled to sum 1."""
        return _to_one(self.weights.mean(1))

    def pool(self, fields: Float[Tensor, "b h w"]) -> Float[Tensor, "b m"]:
        """Average fields on the queries' grid over the cells of each key."""
        rows, columns = self.keys
        squares = fields[:, None, : rows * self.reduction, : columns * self.reduction]
        return F.avg_pool2d(squares, self.reduction).flatten(1)

    def unpool(self, masses: Float[Tensor, "b k m"]) -> Float[Tensor, "b k n"]:
        """Share the mass of each key equally among the query cells that it was made of; other tokens keep theirs."""
        tokens, keys = masses[..., : self.prefix], masses[..., self.prefix :]
        rows, columns = self.keys
        cells = keys.reshape(*keys.shape[:2], rows, columns) / self.reduction**2
        cells = cells.repeat_interleave(self.reduction, -2).repeat_interleave(self.reduction, -1)
        cells = F.pad(cells, (0, self.grid[1] - cells.shape[-1], 0, self.grid[0] - cells.shape[-2]))
        return torch.cat([tokens, cells.flatten(-2)], -1)


def _to_one(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b m"]:
    return weights / weights.sum(-1, keepdim=True)


def no_attention(_model: nn.Module) -> list[AttentionPlace]:
    """Return no places: the network has no attention, or none that can be read."""
    return []
