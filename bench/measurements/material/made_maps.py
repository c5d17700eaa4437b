"""The maps of one batch that need no passes of their own: gradient methods, controls, attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from bench.planning.measurement import quiet
from bench.planning.request import Gap, Request
from segcam.checks.diagnosis import counter_share, sign_balance
from segcam.errors import NotApplicableError
from segcam.maps import layer_maps
from segcam.methods import Method
from segcam.probe.gradients.rounding import CANCELLED
from segcam.probe.layers import Layer
from segcam.probe.probe import Capture
from segcam.scoring.grids import Grid, Placement
from segcam.scoring.reference import Scenery, View

SIGN_BALANCE, COUNTER_SHARE = "sign_balance", "counter_share"


@dataclass(frozen=True, eq=False)
class MadeMaps:
    """Maps on one grid, and what they stand for.

    Attributes:
        targets: indices of the targets; maps of controls stand for all.
        layers: indices of the layers; of controls all those with the grid.
        methods: indices of the methods, `m` of them.
        maps: `(b, m, h, w)`.
        numbers: what is known of the maps beside the metrics, `(b, m)` each, by column.
        placement: where the grid lies on the images; None where it spans them.
    """

    targets: Sequence[int]
    layers: Sequence[int]
    methods: Sequence[int]
    maps: Float[Tensor, "b m h w"]
    numbers: Mapping[str, Float[Tensor, "b m"]] = field(default_factory=dict)
    placement: Placement | None = None

    @property
    def grid(self) -> Grid:
        """Rows and columns of the maps."""
        return int(self.maps.shape[-2]), int(self.maps.shape[-1])


def control_maps(request: Request, scenery: Scenery, capture: Capture) -> Iterator[MadeMaps]:
    """Yield the maps of the controls made from the image alone, once a grid and placement."""
    controls = [(m, method.control) for m, method in enumerate(request.methods) if method.control is not None]
    layers: dict[View, list[int]] = {}
    for i, layer in enumerate(request.layers):
        h, w = capture.activations[layer.label].shape[-2:]
        layers.setdefault(((int(h), int(w)), capture.placements[layer.label]), []).append(i)
    for (grid, placement), of_view in layers.items() if controls else ():
        maps = torch.stack([control(scenery.on(grid, placement)) for _, control in controls], 1)
        targets = range(len(request.targets))
        yield MadeMaps(targets, of_view, [m for m, _ in controls], maps, placement=placement)


def attention_maps(
    request: Request, captures: Sequence[Capture], note: Callable[[Gap], None] = quiet
) -> Iterator[MadeMaps]:
    """Yield the maps made from attention, for the layers behind it; `note` is told of methods that have none."""
    for m, method in enumerate(request.methods):
        for t, capture in enumerate(captures if method.attention is not None else ()):
            try:
                maps = method.block_maps(capture)
            except NotApplicableError as error:
                note(Gap("", method.name, str(error)))
                break
            for i, block in request.blocks().items():
                placement = capture.placements[request.layers[i].label]
                yield MadeMaps([t], [i], [m], maps[block][:, None], placement=placement)


def gradient_maps(
    request: Request,
    captures: Sequence[Capture],
    rivals: Mapping[int, Capture] | None = None,
    note: Callable[[Gap], None] = quiet,
) -> Iterator[list[MadeMaps]]:
    """Yield the maps of gradient methods, layer by layer, one a target with all methods at once.

    Args:
        request: what is asked.
        captures: one a target.
        rivals: by the target's index, the capture of the best other class at the same pixels, where it is wanted.
        note: told of the methods that a layer has no map for.
    """
    methods = [m for m, method in enumerate(request.methods) if method.gradient is not None]
    rivals = rivals or {}
    for i, layer in enumerate(request.layers):
        try:
            yield _of_layer(request, captures, rivals, i, methods)
        except NotApplicableError:
            applicable = [m for m in methods if _applies(request.methods[m], captures[0], layer, note)]
            yield _of_layer(request, captures, rivals, i, applicable)
    _note_cancelled(request, captures, note)


def _of_layer(
    request: Request,
    captures: Sequence[Capture],
    rivals: Mapping[int, Capture],
    i: int,
    indices: Sequence[int],
) -> list[MadeMaps]:
    methods, layer = [request.methods[m] for m in indices], request.layers[i]
    made = []
    for t, capture in enumerate(captures if methods else ()):
        signed, maps = layer_maps(capture, layer, methods)
        numbers = {SIGN_BALANCE: sign_balance(signed)}
        if t in rivals:
            share = counter_share(maps, layer_maps(rivals[t], layer, methods)[1])
            numbers[COUNTER_SHARE] = _where(share, [method.kind == "gradient" for method in methods])
        made.append(MadeMaps([t], [i], indices, maps, numbers, capture.placements[layer.label]))
    return made


def _note_cancelled(request: Request, captures: Sequence[Capture], note: Callable[[Gap], None]) -> None:
    """Tell of the methods whose maps of a layer are all undefined, since what they sum cancels.

    All layers are asked together: each question waits for a GPU.
    """
    asked = [
        (layer.label, method.name, capture.cancels(layer, method.sums).all())
        for capture in captures
        for layer in request.layers
        for method in request.methods
        if method.sums is not None
    ]
    cancelled = torch.stack([found for _, _, found in asked]).tolist() if asked else []
    for (layer, name, _), whether in zip(asked, cancelled, strict=True):
        if whether:
            note(Gap(layer, name, CANCELLED))


def _applies(method: Method, capture: Capture, layer: Layer, note: Callable[[Gap], None]) -> bool:
    try:
        layer_maps(capture, layer, [method])
    except NotApplicableError as error:
        note(Gap(layer.label, method.name, str(error)))
        return False
    return True


def _where(values: Float[Tensor, "b m"], defined: Sequence[bool]) -> Float[Tensor, "b m"]:
    """Return the values of methods for which they are defined, and NaN for the others."""
    return values.masked_fill(~torch.tensor(defined, device=values.device), torch.nan)
