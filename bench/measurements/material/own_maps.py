"""The maps of methods that take passes of their own, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from bench.measurements.material.made_maps import SIGN_BALANCE, MadeMaps
from bench.planning.measurement import Advance
from bench.planning.request import Gap, Request
from segcam.arrays import at_least_float32
from segcam.checks.diagnosis import sign_balance
from segcam.errors import NotApplicableError
from segcam.methods import Method
from segcam.methods.material.subject import Pace, Subject, examining
from segcam.probe.layers import INPUT, Layer
from segcam.probe.probe import Capture
from segcam.samples import Batch
from segcam.scoring.reference import Scenery


class OwnPasses:
    """What runs a network for methods that take passes of their own, always in float32.

    Beside methods that attribute to the input's pixels stand the controls made from the image, on the same grid, unless
    they are there for all images, beside methods that fuse layers.

    Args:
        model: the network, on its device.
        request: what is asked.
        max_memory: bytes of tensors that a step of passes may have alive at once; None for any.
    """

    def __init__(self, model: nn.Module, request: Request, max_memory: int | None = None) -> None:
        self.request = request
        self.max_memory = max_memory
        self.device = next(model.parameters()).device
        self.probe = request.probe(model)
        of_input = any(method.scope == "input" for method in request.own_pass_methods)
        self.layers = (INPUT, *request.layers) if of_input else request.layers
        beside = of_input and not request.fuses
        self.controls = tuple(m for m in request.methods if m.control is not None and beside)
        self.methods = (*request.own_pass_methods, *self.controls)

    def maps(
        self,
        batch: Batch,
        scenery: Scenery,
        captures: Sequence[Capture],
        advance: Advance,
        note: Callable[[Gap], None],
    ) -> Iterator[MadeMaps]:
        """Yield the maps of one batch, those of controls first; they count `layers` and `methods`.

        Args:
            batch: the images.
            scenery: what is known of them.
            captures: one a target.
            advance: told of each method and layer before it is begun, and of the batch's maps that are done.
            note: told of every map that there is not.
        """
        for m, method in enumerate(self.controls, len(self.request.own_pass_methods)):
            assert method.control is not None  # these are the controls
            yield MadeMaps(range(len(captures)), [0], [m], method.control(scenery.on(scenery.size))[:, None])
        for t, capture in enumerate(captures):
            yield from self._of_target(t, batch, scenery, capture, advance, note)

    def _of_target(
        self,
        target: int,
        batch: Batch,
        scenery: Scenery,
        capture: Capture,
        advance: Advance,
        note: Callable[[Gap], None],
    ) -> list[MadeMaps]:
        made, step = [], ""

        def told(done: int, of: int) -> None:
            advance(0, f"{step}, {done} of {of} passes")

        with examining(self.probe, batch.inputs(), capture, scenery, Pace(self.max_memory, told)) as subject:
            for m, method in enumerate(self.request.own_pass_methods):
                for layer in (INPUT,) if method.scope == "input" else self.request.layers:
                    step = f"{method.name}, {layer.label}"
                    advance(0, step)
                    try:
                        maps = _run(method, subject, layer)
                    except NotApplicableError as error:
                        note(Gap(layer.label, method.name, str(error)))
                    else:
                        numbers = {SIGN_BALANCE: sign_balance(maps)} if method.signed else {}
                        placement = capture.placements.get(layer.label)  # a map of the input's pixels has none
                        made.append(MadeMaps([target], [self.layers.index(layer)], [m], maps, numbers, placement))
                    advance(len(batch.ids), step)
        return made


def _run(method: Method, subject: Subject, layer: Layer) -> torch.Tensor:
    """Return one method's maps, `(b, 1, h, w)`; NaN for images whose pixel set is empty."""
    assert method.run is not None  # it takes passes of its own
    maps = at_least_float32(method.run(subject, layer).detach())
    return maps.masked_fill((subject.capture.target_pixels == 0).view(-1, 1, 1), torch.nan)[:, None]
