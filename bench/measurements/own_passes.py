"""Rows of methods that take passes of their own, on a few images, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from bench.measurements.made_maps import SIGN_BALANCE, Found
from bench.measurements.rows import Sheet
from bench.measurements.scores import batches, joined
from bench.measurements.sizes import Columns
from bench.planning.asked import Gap, Instruments
from bench.planning.profile import Score
from segcam.checks.diagnosis import sign_balance
from segcam.errors import NotApplicableError
from segcam.methods import Method
from segcam.methods.material.subject import Subject, examining
from segcam.probe.layers import INPUT, Layer
from segcam.probe.probe import Capture, Probe
from segcam.probe.targets import at_least_float32
from segcam.samples import Batch, Images
from segcam.scoring.reference import Scenery


class CostlyScorer:
    """Scores one checkpoint with methods that run the network themselves, always in float32.

    Beside methods that attribute to the input's pixels stand the controls made from the image, on the same grid.

    Args:
        model: the network, on its device.
        instruments: what is asked.
        settings: the profile's section.
    """

    def __init__(self, model: nn.Module, instruments: Instruments, settings: Score) -> None:
        self.instruments = instruments
        self.settings = settings
        self.device = next(model.parameters()).device
        self.probe = Probe(model, instruments.layers, channels_last=True)
        of_input = any(method.scope == "input" for method in instruments.costly)
        self.layers = (INPUT, *instruments.layers) if of_input else instruments.layers
        self.controls = tuple(m for m in instruments.methods if m.control is not None and of_input)
        self.methods = (*instruments.costly, *self.controls)

    def score(
        self,
        images: Images,
        rows: Sequence[int],
        keys: Columns,
        advance: Callable[[int, str], None],
        note: Callable[[Gap], None] = lambda _: None,
    ) -> Columns:
        """Score images and return the columns of a table with a row a map.

        Args:
            images: the split.
            rows: which of them.
            keys: values of the key columns that are the same in all rows.
            advance: called before and after each map with the number of maps done since the last call, and with the
                method and the layer.
            note: told of every map that there is not.
        """
        parts = []
        for batch in batches(images, rows, self.settings.batch_size, self.device):
            scenery = Scenery.of(batch, self.settings.class_id)
            captures = self.probe.many(batch.inputs(), self.instruments.costly_targets, masks=batch.masks)
            sheet = Sheet(
                scenery,
                captures,
                self.layers,
                self.methods,
                self.instruments.metrics,
                counter=self.settings.counter,
            )
            sheet.fill(self.found(batch, scenery, captures, advance, note))
            parts.append(sheet.rows())
            del captures, sheet  # before the next batch needs the memory
        return joined(parts, keys)

    def found(
        self,
        batch: Batch,
        scenery: Scenery,
        captures: Sequence[Capture],
        advance: Callable[[int, str], None],
        note: Callable[[Gap], None],
    ) -> Iterator[Found]:
        """Yield the maps of one batch, those of controls first; see `score`."""
        for m, method in enumerate(self.controls, len(self.instruments.costly)):
            assert method.control is not None  # these are the controls
            yield Found(range(len(captures)), [0], [m], method.control(scenery.on(scenery.size))[:, None])
        for t, capture in enumerate(captures):
            yield from self._of_target(t, batch, scenery, capture, advance, note)

    def _of_target(
        self,
        target: int,
        batch: Batch,
        scenery: Scenery,
        capture: Capture,
        advance: Callable[[int, str], None],
        note: Callable[[Gap], None],
    ) -> list[Found]:
        found = []
        with examining(self.probe, batch.inputs(), capture, scenery) as subject:
            for m, method in enumerate(self.instruments.costly):
                for layer in self._places(method):
                    step = f"{method.name}, {layer.label}"
                    advance(0, step)
                    try:
                        maps = _run(method, subject, layer)
                    except NotApplicableError as error:
                        note(Gap(layer.label, method.name, str(error)))
                    else:
                        numbers = {SIGN_BALANCE: sign_balance(maps)} if method.signed else {}
                        found.append(Found([target], [self.layers.index(layer)], [m], maps, numbers))
                    advance(len(batch.ids), step)
        return found

    def _places(self, method: Method) -> tuple[Layer, ...]:
        return (INPUT,) if method.scope == "input" else self.instruments.layers


def _run(method: Method, subject: Subject, layer: Layer) -> torch.Tensor:
    """Return one method's maps, `(b, 1, h, w)`; NaN for images whose pixel set is empty."""
    assert method.run is not None  # that is why it is costly
    maps = at_least_float32(method.run(subject, layer).detach())
    return maps.masked_fill((subject.capture.target_pixels == 0).view(-1, 1, 1), torch.nan)[:, None]
