"""Stages: a handful of layers for those who want few: the ends of a network's stages, or of its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from torch import nn
from torch.nn.modules import activation, dropout
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from segcam.probe.captures import Capture
from segcam.probe.layers import Layer
from segcam.scoring.grids import Grid

T = TypeVar("T")

FEWEST = 5
"""With fewer layers than these the modules inside of the largest are looked at."""

STAGE_GRIDS = 2
"""How many grids a stage has inside: that before its stride and that behind it."""

_STEPS = (
    *(_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.Identity),
    *(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention"),
    *(getattr(dropout, name) for name in dropout.__all__),
)
"""What goes on cell by cell behind a layer: the layer and what follows it count as one."""


def ends_of_stages(
    model: nn.Module, layers: Sequence[Layer], repeated: Mapping[str, str], capture: Capture, most: int
) -> list[Layer]:
    """Choose the ends of stages: a stage is a run of layers on one grid.

    Modules are looked at from the outside in, until there are five. The images, made ready, are left out, and so are
    the logits, rows and columns of one cell, and what lies in front of an instance norm, where gradients cancel.

    Args:
        model: the network.
        layers: those that give a map, each output once, in the order in which they run.
        repeated: modules that pass on what another one gave, by path: the path of that one.
        capture: of these layers.
        most: how many layers at most.
    """
    grids = {layer.module: _grid(capture, layer) for layer in layers}
    inner = _inner(model, [layer for layer in layers if min(grids[layer.module]) > 1] or layers, capture)
    inner = [layer for layer in inner if not bool(capture.cancels(layer, "gradients").all())] or inner
    found = _from_outside(model, inner, repeated, grids, most)
    return thinned(found, [grids[layer.module] for layer in found], most)


def thinned(items: Sequence[T], grids: Sequence[Grid], most: int) -> list[T]:
    """Return some of the items in their order: the last on each grid, and then those evenly between.

    >>> thinned("abcdefgh", [(8, 8)] * 2 + [(4, 4)] * 4 + [(8, 8)] * 2, 5)
    ['a', 'b', 'd', 'f', 'h']

    Args:
        items: such as layers, in the order in which they run.
        grids: of each, rows and columns. What follows each other on one grid is a stage.
        most: how many are returned at most.
    """
    if len(items) <= most:
        return list(items)
    stages = [[n for n, _ in run] for _, run in groupby(enumerate(grids), lambda pair: pair[1])]
    if len(stages) > most:
        return [items[stages[len(stages) - 1 - k * len(stages) // most][-1]] for k in reversed(range(most))]
    shares = [1] * len(stages)
    while sum(shares) < most:  # to the stage that is told least of
        fullest = max(range(len(stages)), key=lambda i: len(stages[i]) / shares[i] if shares[i] < len(stages[i]) else 0)
        shares[fullest] += 1
    kept = [stage[(k + 1) * len(stage) // n - 1] for stage, n in zip(stages, shares, strict=True) for k in range(n)]
    return [items[place] for place in kept]


def _grid(capture: Capture, layer: Layer) -> Grid:
    rows, columns = capture.activations[layer.label].shape[2:]
    return int(rows), int(columns)


def _inner(model: nn.Module, layers: Sequence[Layer], capture: Capture) -> Sequence[Layer]:
    """Return the layers between the images, as long as no weight has changed them, and the logits."""
    weighed = (next(model.get_submodule(layer.module).parameters(), None) is not None for layer in layers)
    first = next((n for n, has_weights in enumerate(weighed) if has_weights), 0)
    classes = capture.logits.shape[1]
    other = (n for n, layer in enumerate(layers) if capture.activations[layer.label].shape[1] != classes)
    return layers[first : max(other, default=len(layers) - 1) + 1] or layers


def _from_outside(
    model: nn.Module, layers: Sequence[Layer], repeated: Mapping[str, str], grids: dict[str, Grid], most: int
) -> list[Layer]:
    """Return the outermost modules, and where they are few those inside of the largest.

    A module is looked into as well that is half of all, or that has several stages of its own, such as a decoder.
    """
    paths = [layer.module for layer in layers]
    below = {path: sum(other.startswith(f"{path}.") for other in paths) for path, _ in model.named_modules()}
    shown: set[str] = set()
    closed = [name for name, _ in model.named_children()]
    while closed:
        shown |= set(closed) & set(paths)
        opaque = [path for path in closed if path not in paths and path not in repeated]
        picked = _steps_joined(model, [layer for layer in layers if layer.module in shown], repeated, grids)
        largest = max(closed, key=lambda path: below[path])
        several = [path for path in closed if len(picked) < most and _has_stages(path, grids, most)]
        if not opaque and not several and len(picked) >= FEWEST and 2 * below[largest] < len(paths):
            break
        inner = opaque or several or [largest]
        closed = [path for path in closed if path not in inner and below[path]]
        closed += [f"{path}.{name}" for path in inner for name, _ in model.get_submodule(path).named_children()]
    return _steps_joined(model, [layer for layer in layers if layer.module in shown], repeated, grids)


def _has_stages(path: str, grids: dict[str, Grid], most: int) -> bool:
    """Return whether a module has stages of its own, one behind the other and no more than are wanted."""
    inside = [grid for other, grid in grids.items() if other.startswith(f"{path}.")]
    return len(set(inside)) > STAGE_GRIDS and sum(1 for _ in groupby(inside)) <= most


def _steps_joined(
    model: nn.Module, layers: Sequence[Layer], repeated: Mapping[str, str], grids: dict[str, Grid]
) -> list[Layer]:
    """Leave out those that a norm or an activation of the same parent follows."""
    kept: list[Layer] = []
    for layer in layers:
        names = [layer.module, *(path for path, other in repeated.items() if other == layer.module)]
        parents = {path.rpartition(".")[0] for path in names if isinstance(model.get_submodule(path), _STEPS)}
        if kept and grids[kept[-1].module] == grids[layer.module]:
            before = kept[-1].module
            if before.rpartition(".")[0] in parents and not [*model.get_submodule(before).children()]:
                kept.pop()
        kept.append(layer)
    return kept
