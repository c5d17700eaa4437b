"""Attention: where a transformer attends, and its matrices with the grids that their tokens lie on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from jaxtyping import Float
from torch import Tensor, nn

from segcam.errors import ProbeError
from segcam.probe.targets import at_least_float32
from segcam.probe.tokens import token_grid
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
    """

    weights: Float[Tensor, "b heads n m"]
    grid: Grid
    reduction: int = 1

    def __post_init__(self) -> None:
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

    def mean(self) -> Float[Tensor, "b n m"]:
        """Return the mean over the heads, of all tokens, each row scaled to sum 1."""
        return _to_one(self.weights.mean(1))

    def pool(self, fields: Float[Tensor, "b h w"]) -> Float[Tensor, "b m"]:
        """Average fields on the queries' grid over the cells of each key."""
        rows, columns = self.keys
        whole = fields[:, None, : rows * self.reduction, : columns * self.reduction]
        return F.avg_pool2d(whole, self.reduction).flatten(1)

    def unpool(self, masses: Float[Tensor, "b k m"]) -> Float[Tensor, "b k n"]:
        """Share the mass of each key equally among the query cells that it was made of; other tokens keep theirs."""
        own, keys = masses[..., : self.prefix], masses[..., self.prefix :]
        rows, columns = self.keys
        cells = keys.reshape(*keys.shape[:2], rows, columns) / self.reduction**2
        cells = cells.repeat_interleave(self.reduction, -2).repeat_interleave(self.reduction, -1)
        cells = F.pad(cells, (0, self.grid[1] - cells.shape[-1], 0, self.grid[0] - cells.shape[-2]))
        return torch.cat([own, cells.flatten(-2)], -1)


def _to_one(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b m"]:
    return weights / weights.sum(-1, keepdim=True)


def no_attention(_model: nn.Module) -> list[AttentionPlace]:
    """Return no places: the network has no attention, or none that can be read."""
    return []


@contextmanager
def recording(model: nn.Module, places: Sequence[AttentionPlace]) -> Iterator[dict[str, list[Tensor]]]:
    """Keep the matrices that the places compute in forward passes, by label and in the order of the calls.

    Fused kernels never hold the matrix, so the places compute step by step meanwhile (transformers' 'eager', timm's
    `fused_attn = False`); switches and hooks are as before in the end, exception or not.

    Raises:
        ProbeError: the network has no such module, or two places share a label.
    """
    modules = dict(model.named_modules())
    kept: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        for place in places:
            if place.module not in modules or place.label in kept:
                wrong = "two places share the label" if place.label in kept else f"there is no '{place.module}' for"
                raise ProbeError(f"{wrong} '{place.label}': take the places from the network's own architecture")
            kept[place.label] = []
            module = modules[place.module]
            for owner, name, value in _switches(module):
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, value)
            for part in module.modules():
                if part is module or isinstance(part, nn.Dropout):
                    stack.callback(part.register_forward_hook(_recorder(kept[place.label])).remove)
        yield kept


def read(places: Sequence[AttentionPlace], kept: Mapping[str, Sequence[Tensor]], size: Grid) -> dict[str, Attention]:
    """Lay what was recorded on its grids, by label; float32 or wider.

    Args:
        places: where was recorded.
        kept: what `recording` gave.
        size: height and width of the input, in pixels.

    Raises:
        ProbeError: a place gave no matrix, more than one, or one that fits no grid.
    """
    found: dict[str, Attention] = {}
    for place in places:
        matrices = kept[place.label]
        if len(matrices) != 1:
            raise ProbeError(
                f"'{place.label}' ({place.module}) gave {len(matrices) or 'no'} attention matrices in one forward "
                "pass; only a module that runs once and returns its weights, or has a dropout of them, can be read"
            )
        grid = token_grid(matrices[0].shape[-2], size, place.stride)
        if grid is None:
            raise ProbeError(
                f"'{place.label}' has {matrices[0].shape[-2]} queries, which fit no grid of stride {place.stride} for "
                f"an input of {size[0]} x {size[1]}: correct the stride of its AttentionPlace"
            )
        found[place.label] = Attention(at_least_float32(matrices[0].detach()), grid, place.reduction)
    return found


def _switches(module: nn.Module) -> Iterator[tuple[object, str, object]]:
    """Yield owner, attribute and value of what makes a module compute its matrix."""
    for part in module.modules():
        if isinstance(getattr(part, "fused_attn", None), bool):
            yield part, "fused_attn", False
        config = getattr(part, "config", None)
        if hasattr(config, "_attn_implementation"):
            yield config, "_attn_implementation", "eager"


def _recorder(kept: list[Tensor]) -> Callable[[nn.Module, object, object], None]:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        # A dropout hands the weights on; transformers 5 has none and returns them beside the output. Where both
        # happen (transformers 4 with output_attentions), it is the same tensor.
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else output
        if isinstance(weights, Tensor) and weights.ndim == 4 and not any(weights is one for one in kept):
            kept.append(weights)

    return hook
