"""Scored: the maps of one photograph and class, on their layers' own grids, with their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from segcam.arrays import at_least_float32
from segcam.channels import RGB
from segcam.classes import IGNORE, Classes, label
from segcam.errors import NotApplicableError
from segcam.explaining.kept import Key
from segcam.maps import layer_maps
from segcam.methods import Method
from segcam.methods.material.subject import Pace, Subject, examining, undefined_where_empty
from segcam.metrics import Metric, measure
from segcam.probe.attention.finding import NO_ATTENTION, NOT_BEHIND
from segcam.probe.layers import INPUT, Layer
from segcam.probe.memory import plan
from segcam.probe.probe import Capture, Probe
from segcam.probe.targets import Target
from segcam.probe.targets.dense import predicted
from segcam.scoring.reference import Scenery

if TYPE_CHECKING:
    from segcam.explaining.explained import Explained
    from segcam.explaining.passes import Turn

REGION = "predicted region"
PARTED = "it is made of all layers, which do not fit into max_memory together: allow more, or name fewer layers"
Made = Iterator[tuple[Layer, Method, Tensor]]
"""Maps `(1, h, w)`, and of what."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Makes the maps of photographs, and scores them where they are made.

    Attributes:
        explained: keeps the maps, and why there is none.
        metrics: that are measured.
        own_pass: the numbers of the photographs that methods with passes of their own explain.
        max_memory: bytes of tensors that a pass may have alive at once; None for any.
        note: told of each method and layer that takes passes of its own, before it is begun.
    """

    explained: Explained
    metrics: Sequence[Metric]
    own_pass: Sequence[int]
    max_memory: int | None
    note: Callable[[str], object]
    _groups: dict[torch.Size, tuple[Sequence[Layer], ...]] = field(default_factory=dict, init=False, repr=False)

    def rows(self, probe: Probe, turn: Turn) -> Iterator[dict[str, Any]]:
        """Keep the maps of one photograph, and yield their scores, a row a map, class by class."""
        images, of_class = turn.batch.inputs(), [list[dict[str, Any]]() for _ in turn.classes]

        def captured(layers: Sequence[Layer], _: slice) -> list[Capture]:
            known = probe if layers is probe.layers else probe.restricted(layers)
            return known.many(images, turn.targets, masks=turn.masks, valid=turn.batch.valid)

        if self.max_memory is None:
            groups: tuple[Sequence[Layer], ...] = (probe.layers,)
        else:
            if images.shape not in self._groups:
                self._groups[images.shape] = plan(captured, probe.layers, 1, self.max_memory).groups
            groups = self._groups[images.shape]
        for layers in groups:
            captures = captured(layers, slice(0, 1))
            for n, (class_id, capture) in enumerate(zip(turn.classes, captures, strict=True)):
                whole, first = len(groups) == 1, layers is groups[0]
                of_class[n] += self._of_class(probe, turn, class_id, capture, of_input=first, whole=whole)
        return chain.from_iterable(of_class)

    def _of_class(
        self, probe: Probe, turn: Turn, class_id: Classes, capture: Capture, *, of_input: bool, whole: bool
    ) -> Iterator[dict[str, Any]]:
        name = label(class_id, self.explained.network.classes)
        own = Target(class_id, "predicted", at="input", output=capture.target.output, argument=capture.target.argument)
        own = replace(own, placement=capture.target.placement, element=capture.target.element)
        region = predicted(own.dense(capture.logits, capture.size, None))
        if turn.batch.valid is not None:
            region &= turn.batch.valid
        self.explained.keep_prediction(turn.number, name, region[0].cpu().numpy(), capture)
        scenery = scenery_of(turn, class_id, region)
        facts = {
            "image": turn.batch.ids[0],
            "class": name,
            "target": capture.target.name,
            "target_pixels": int(capture.target_pixels[0]),
            "target_score": float(capture.scores[0]),
            "against": "mask" if turn.masked else REGION,
            "area": float(scenery.on(scenery.size).area[0]),
        }
        made: dict[str, dict[str, Tensor]] = {}
        for layer, method, maps in self._made(probe, turn, capture, scenery, of_input=of_input, whole=whole):
            made.setdefault(layer.label, {})[method.name] = maps
        for layer in (INPUT, *capture.layers):
            place = capture.placements.get(layer.label)  # the input's pixels need none
            of_layer = made.get(layer.label, {})
            for method in (method for method in self.explained.methods if method.name in of_layer):
                maps = of_layer[method.name][:, None]
                key = Key(turn.number, name, layer.label, method.name)
                self.explained.keep(key, maps[0, 0].float().cpu().numpy(), place)
                view = scenery.on((int(maps.shape[2]), int(maps.shape[3])), place)
                values = measure(maps.relu(), view, self.metrics)
                where = "stretched" if place is None else "receptive_field"
                scores = {metric: float(value[0, 0]) for metric, value in values.items()}
                yield {**facts, "layer": layer.label, "method": method.name, "placement": where, **scores}

    def _made(
        self, probe: Probe, turn: Turn, capture: Capture, scenery: Scenery, *, of_input: bool, whole: bool
    ) -> Made:
        methods = self.explained.methods
        for layer in capture.layers:
            h, w = capture.activations[layer.label].shape[2:]
            view = scenery.on((int(h), int(w)), capture.placements[layer.label])
            for method in methods:
                if method.control is not None:
                    yield layer, method, method.control(view)
                elif method.gradient is not None:
                    try:
                        yield layer, method, layer_maps(capture, layer, [method])[1][:, 0]
                    except NotApplicableError as error:
                        self._skip([layer], method, str(error))
        for method in (method for method in methods if method.attention is not None):
            yield from self._rolled(probe, method, capture)
        running = [method for method in methods if method.own_passes and (of_input or method.scope == "layer")]
        running = running if turn.number in self.own_pass else []
        for method in (method for method in methods if method.fuses):
            if whole:
                running.append(method)
            else:
                self._skip([INPUT], method, PARTED)
        if running:
            yield from self._run(probe, running, turn, capture, scenery)

    def _rolled(self, probe: Probe, method: Method, capture: Capture) -> Made:
        """Yield the maps made from attention, for the layers behind it."""
        blocks = {place.layer: n for n, place in enumerate(probe.attention)}
        try:
            if not blocks:
                raise NotApplicableError(NO_ATTENTION)
            maps = method.block_maps(capture)
        except NotApplicableError as error:
            self._skip(capture.layers, method, str(error))
            return
        for layer in capture.layers:
            if layer.label in blocks:
                yield layer, method, maps[blocks[layer.label]]
            else:
                self._skip([layer], method, NOT_BEHIND)

    def _run(self, probe: Probe, methods: Sequence[Method], turn: Turn, capture: Capture, scenery: Scenery) -> Made:
        """Yield the maps of methods that take a subject, and beside those of the input the controls."""
        of_input, step = False, ""

        def told(done: int, of: int) -> None:
            self.note(f"{step}, {done} of {of} passes")

        try:
            with examining(probe, turn.batch.inputs(), capture, scenery, Pace(self.max_memory, told)) as subject:
                for method in methods:
                    for layer in _places(method, capture):
                        step = f"{method.name}, {layer.label}"
                        self.note(step)
                        try:
                            yield layer, method, _map(method, subject, layer)
                        except NotApplicableError as error:
                            self._skip([layer], method, str(error))
                        else:
                            of_input |= layer is INPUT
        except NotApplicableError as error:  # the network takes more than the images
            for method in methods:
                self._skip(_places(method, capture), method, str(error))
        self.note("")
        for method in self.explained.methods if of_input else ():
            if method.control is not None:
                yield INPUT, method, method.control(scenery.on(scenery.size))

    def _skip(self, layers: Sequence[Layer], method: Method, why: str) -> None:
        for layer in layers:
            self.explained.skipped[layer.label, method.name] = why


def _places(method: Method, capture: Capture) -> Sequence[Layer]:
    return (INPUT,) if method.scope == "input" else capture.layers


def _map(method: Method, subject: Subject, layer: Layer) -> Tensor:
    assert method.run is not None  # it takes passes of its own
    return undefined_where_empty(at_least_float32(method.run(subject, layer).detach()), subject)


def scenery_of(turn: Turn, class_id: Classes, region: Tensor) -> Scenery:
    """Return what the maps of a photograph are measured against: its mask, or else the predicted region.

    Args:
        turn: the photograph's.
        class_id: the class that is explained, as masks have it.
        region: where it is predicted, `(1, h, w)`.
    """
    batch, of_class = turn.batch, class_id
    if not turn.masked:
        masks = region.to(torch.uint8)
        masks = masks if batch.valid is None else masks.masked_fill(~batch.valid, IGNORE)
        batch, of_class = replace(batch, masks=masks), 1
    if batch.channels != RGB and batch.images.dtype != torch.uint8:  # edges are those that people see
        picture = torch.from_numpy(turn.picture).permute(2, 0, 1)[None]
        batch = replace(batch, images=picture.to(batch.images.device), channels=RGB)
    return Scenery.of(batch, of_class)
