"""The maps of one batch that need no passes of their own: gradient methods, controls, attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from bench.planning.asked import Gap, Instruments
from segcam.checks.diagnosis import counter_share, sign_balance
from segcam.errors import NotApplicableError
from segcam.maps import layer_maps
from segcam.methods import Method
from segcam.probe.layers import Layer
from segcam.probe.probe import Capture
from segcam.scoring.grids import Grid
from segcam.scoring.reference import Scenery

SIGN_BALANCE, COUNTER_SHARE = "sign_balance", "counter_share"


@dataclass(frozen=True, eq=False)
class Found:
    """Maps on one grid, and what they stand for.

    Attributes:
        targets: indices of the targets; maps of controls stand for all.
        layers: indices of the layers; of controls all those with the grid.
        methods: indices of the methods, `m` of them.
        maps: `(b, m, h, w)`.
        numbers: what is known of the maps beside the metrics, `(b, m)` each, by column.
    """

    targets: Sequence[int]
    layers: Sequence[int]
    methods: Sequence[int]
    maps: Float[Tensor, "b m h w"]
    numbers: Mapping[str, Float[Tensor, "b m"]] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        """Rows and columns of the maps."""
        return int(self.maps.shape[-2]), int(self.maps.shape[-1])


def control_maps(tools: Instruments, scenery: Scenery, capture: Capture) -> Iterator[Found]:
    """Yield the maps of the controls made from the image alone, once a grid."""
    chosen = [(m, method.control) for m, method in enumerate(tools.methods) if method.control is not None]
    layers: dict[Grid, list[int]] = {}
    for i, layer in enumerate(tools.layers):
        h, w = capture.activations[layer.label].shape[-2:]
        layers.setdefault((int(h), int(w)), []).append(i)
    for grid, same in layers.items() if chosen else ():
        maps = torch.stack([control(scenery.on(grid)) for _, control in chosen], 1)
        yield Found(range(len(tools.targets)), same, [m for m, _ in chosen], maps)


def attention_maps(tools: Instruments, captures: Sequence[Capture]) -> Iterator[Found]:
    """Yield the maps made from attention, for the layers behind it."""
    for m, method in enumerate(tools.methods):
        for t, capture in enumerate(captures if method.attention is not None else ()):
            assert method.attention is not None
            found = method.attention([*capture.attentions.values()], capture.explained.chosen).unbind(1)
            yield from (Found([t], [i], [m], found[block][:, None]) for i, block in tools.blocks().items())


def gradient_maps(
    tools: Instruments,
    captures: Sequence[Capture],
    rivals: Mapping[int, Capture],
    note: Callable[[Gap], None],
) -> Iterator[list[Found]]:
    """Yield the maps of gradient methods, layer by layer, one a target with all methods at once.

    Args:
        tools: what is asked.
        captures: one a target.
        rivals: by the target's index, the capture of the best other class at the same pixels, where it is wanted.
        note: told of the methods that a layer has no map for.
    """
    chosen = [m for m, method in enumerate(tools.methods) if method.gradient is not None]
    for i, layer in enumerate(tools.layers):
        own = chosen
        try:
            yield _of_layer(tools, captures, rivals, i, own)
        except NotApplicableError:
            own = [m for m in chosen if _applies(tools.methods[m], captures[0], layer, note)]
            yield _of_layer(tools, captures, rivals, i, own)


def _of_layer(
    tools: Instruments, captures: Sequence[Capture], rivals: Mapping[int, Capture], i: int, chosen: Sequence[int]
) -> list[Found]:
    methods, layer = [tools.methods[m] for m in chosen], tools.layers[i]
    found = []
    for t, capture in enumerate(captures if methods else ()):
        signed, maps = layer_maps(capture, layer, methods)
        numbers = {SIGN_BALANCE: sign_balance(signed)}
        if t in rivals:
            share = counter_share(maps, layer_maps(rivals[t], layer, methods)[1])
            numbers[COUNTER_SHARE] = _where(share, [method.kind == "gradient" for method in methods])
        found.append(Found([t], [i], chosen, maps, numbers))
    return found


def _applies(method: Method, capture: Capture, layer: Layer, note: Callable[[Gap], None]) -> bool:
    try:
        layer_maps(capture, layer, [method])
    except NotApplicableError as error:
        note(Gap(layer.label, method.name, str(error)))
        return False
    return True


def _where(values: Float[Tensor, "b m"], told: Sequence[bool]) -> Float[Tensor, "b m"]:
    """Return the values of some methods, and NaN for the others."""
    return values.masked_fill(~torch.tensor(told, device=values.device), torch.nan)
