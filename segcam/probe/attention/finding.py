"""Finding the attention of any network: which modules give a matrix, and on which grids its queries and keys lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segcam.probe.attention.hooks import recording_attention
from segcam.probe.attention.matrices import AttentionPlace
from segcam.probe.layers import Layer
from segcam.probe.layouts import Layout, Reading
from segcam.probe.layouts.grids import of_tokens
from segcam.probe.network.held import Network, frozen
from segcam.probe.network.inputs import Inputs, checked_inputs
from segcam.scoring.grids import Grid

NO_ATTENTION = "the network has no attention"
NOT_BEHIND = "no block's attention ends at this layer"
REDUCTIONS = (1, 2, 4, 8, 16)
"""Query cells a key's cell, along one side, that networks have."""


@dataclass(frozen=True, eq=False, slots=True)
class FoundAttention:
    """The attention of a network that can be read, and why other modules' cannot.

    Attributes:
        places: in the order in which they run.
        left_out: the reason, by path.
    """

    places: tuple[AttentionPlace, ...]
    left_out: dict[str, str]


def find_attention(
    model: nn.Module,
    images: Float[Tensor, "b ch h w"],
    layers: Sequence[Layer] = (),
    inputs: Inputs | None = None,
) -> FoundAttention:
    """Find the modules whose attention matrices can be read, by one pass of two images.

    A module is looked at whose class is called an attention and that holds no other such module. Its matrix `(b, heads,
    n, m)` must be that of each image as a whole, not of windows, with queries on a grid of the input and keys on the
    same grid or on one that is coarser by a whole factor.

    Args:
        model: the network.
        images: its input; the first is run, twice.
        layers: those probed: a place belongs to the innermost that holds its module.
        inputs: what the network takes beside the images.

    Returns:
        The places, with stages by stride; none where the network has no attention.

    >>> find_attention(nn.Conv2d(3, 2, 1), torch.rand(1, 3, 8, 8)).places
    ()
    """
    paths = [name for name, module in model.named_modules() if name and _attends(module)]
    paths = [path for path in paths if not any(other.startswith(f"{path}.") for other in paths)]
    if not paths:
        return FoundAttention((), {})
    tried = [AttentionPlace(path, path, 0, 0, 1) for path in paths]
    given = checked_inputs(inputs)
    two = torch.cat([images[:1], images[:1].flip(-1)])
    with torch.inference_mode(mode=False), torch.no_grad(), frozen(model) as tensors:
        network = Network(model, tensors, given).of_rows([0, 0], len(images))
        order: dict[str, Tensor] = {}
        handles = [model.get_submodule(path).register_forward_hook(_noting(order, path)) for path in paths]
        try:
            with recording_attention(network.modules, tried) as matrices:
                network(network.prepared(two))
        finally:
            for handle in handles:
                handle.remove()
        own = [Layer(path, path) for path in paths]
        reading = Reading(own)
        queries, (layouts, _) = reading.nowhere(own, order, two, network), reading.layouts(own, order, two, network)
    size = (int(images.shape[2]), int(images.shape[3]))
    found: dict[str, tuple[int, int, int]] = {}
    left_out: dict[str, str] = {}
    for path in order:
        seen = _seen(matrices[path], size, layouts.get(path))
        if path in queries:
            seen = "is that of queries, which lie nowhere on the image"
        if isinstance(seen, str):
            left_out[path] = seen
        elif (before := next(iter(found.values()), seen)[2]) != seen[2]:
            left_out[path] = f"has {seen[2]} tokens of no place, and blocks before it {before}: queries join them"
        else:
            found[path] = seen
    left_out |= {path: "did not run in the forward pass" for path in paths if path not in order}
    stages = {stride: stage for stage, stride in enumerate(sorted({stride for stride, _, _ in found.values()}), 1)}
    places = tuple(
        AttentionPlace(path, path, stages[stride], depth, stride, reduction, _behind(path, layers))
        for depth, (path, (stride, reduction, _)) in enumerate(found.items())
    )
    return FoundAttention(places, left_out)


def _attends(module: nn.Module) -> bool:
    name = type(module).__name__.casefold()
    return "attention" in name or name.endswith("attn") or isinstance(getattr(module, "fused_attn", None), bool)


def _noting(order: dict[str, Tensor], path: str) -> Any:
    def note(_module: nn.Module, _inputs: object, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        order.setdefault(path, first if isinstance(first, Tensor) else torch.empty(0))

    return note


def _seen(matrices: Sequence[Tensor], size: Grid, layout: Layout | None) -> tuple[int, int, int] | str:
    """Return the queries' stride, the keys' reduction and the tokens of no place; or why none can be read."""
    if len(matrices) != 1:
        return f"gave {len(matrices) or 'no'} attention matrices in one forward pass"
    batch, _, queries, keys = matrices[0].shape
    if batch != 2:
        return f"gave {batch} matrices for 2 images: its tokens are parted into windows"
    grids = ((stride, of_tokens(queries, size, stride)) for stride in range(1, min(size) + 1))
    fitting = sorted(
        (queries - grid[0] * grid[1], any(side % stride for side in size), stride, grid)  # whole cells before others
        for stride, grid in grids
        if grid is not None
    )
    if layout is not None:  # a window of padded cells has as many tokens as other grids
        fitting = [one for one in fitting if (one[0], one[3]) == (layout.prefix, layout.grid)]
    for prefix, _, stride, (rows, columns) in fitting:
        for reduction in REDUCTIONS:
            if (rows // reduction) * (columns // reduction) == keys - prefix > 0:
                return stride, reduction, prefix
    return f"has {queries} queries and {keys} keys, which lie on no grids of {size[0]} x {size[1]} pixels"


def _behind(path: str, layers: Sequence[Layer]) -> str:
    """Return the label of the innermost layer that holds a module."""
    holding = [layer for layer in layers if path == layer.module or path.startswith(f"{layer.module}.")]
    return max(holding, key=lambda layer: len(layer.module)).label if holding else ""
